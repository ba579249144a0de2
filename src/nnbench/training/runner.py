"""One run from its configuration to its record, whatever the backend; begun or taken up again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nnbench import data
from nnbench.backends.drift import Backwards
from nnbench.backends.parity import moved_by_one_ulp
from nnbench.backends.protocol import Chooser, Effective
from nnbench.backends.trainers import described
from nnbench.data.reading import sentence
from nnbench.errors import RunFailed, RunKilled
from nnbench.records import identity, machine
from nnbench.records.environment import switches
from nnbench.records.flags import of_config
from nnbench.records.run import RunResult
from nnbench.training import checkpoint
from nnbench.training.assembly import all_splits, load_weights, make_task, trainer_factory
from nnbench.training.clock import Clock
from nnbench.training.epochs import Announce, Epochs
from nnbench.training.first_steps import first_steps
from nnbench.training.job import Job


def execute(
    job: Job, announce: Announce, stopping: Callable[[], bool] = lambda: False
) -> RunResult:
    """Train and evaluate as `job` says; write run.json after every epoch and results at the end.

    `announce` receives events for a display: `phase`, `reading`, `start`, `progress`, `epoch`,
    `note`. When `stopping` turns true the run is left with a checkpoint, as `killed`. Raises
    NNBenchError before anything is written where the job cannot be done.
    """
    config = job.config
    clock = Clock(job.started)
    environment = switches()  # frameworks set some of their own
    announce({"event": "phase", "phase": "import"})
    factory = trainer_factory(config)
    clock.since_start("import")
    announce({"event": "phase", "phase": "data"})
    with clock.phase("data"):
        dataset = data.load(config.data, kind=config.task, seed=config.seed)
        digests = {"payload": dataset.payload_digest} | dataset.digests()
    if line := sentence(getattr(config.data, "path", dataset.name), dataset.guessed):
        announce({"event": "reading", "text": line})
    announce({"event": "phase", "phase": "build"})
    with clock.phase("build"):
        task = make_task(config, dataset)
        trainer = factory(task, all_splits(dataset, config.eval.train_samples))
        taken = load_weights(config, job.weights, task, trainer)
        digests |= {"initial_weights": taken} if taken else {}
        if job.nudged:
            trainer.load(moved_by_one_ulp(trainer.params()))
            if isinstance(trainer, Backwards):
                trainer.go_backwards(yes=True)
        backend = config.backend
        where = machine.describe(
            backend.packages,
            device=config.device.name,
            target=backend.target,
            environment=environment,
        )
        where["accelerator"] = getattr(trainer, "accelerator", None)
    announce({"event": "phase", "phase": "warm-up"})
    with clock.phase("warm_up"):
        trainer.warm_up(len(dataset.splits["train"]))
    with clock.phase("build"):
        # Once all of them are made.
        choices = trainer.choices if isinstance(trainer, Chooser) else {}
        own = choices.get("part_threads")
        threads = machine.threads(where["environment"], own if isinstance(own, int) else None)
        where |= {"threads": threads, "blas": machine.blas()}
    with clock.phase("track"):
        first = first_steps(config, task, trainer, len(dataset.splits["train"]))
    if stopping() and not job.resume:
        raise RunKilled("stopped before its first epoch")
    effective = trainer.effective if isinstance(trainer, Effective) else described(task)
    run = RunResult(
        run_id=job.run_id,
        name=job.name,
        status="running",
        semantics=config.semantics,
        fingerprint=identity.fingerprint(job.values, where, dataset.payload_digest, taken),
        created=job.created,
        config=job.values,
        architecture=str(task.architecture),
        parameters=task.architecture.parameter_count(),
        data={"name": dataset.name, "digests": digests}
        | {"inputs": dataclasses.asdict(dataset.inputs), "outputs": dataset.outputs}
        | {"samples": dataset.samples}
        | ({"guessed": dataset.guessed} if dataset.guessed else {})
        | ({"target_scale": dataset.target_scale} if dataset.target_scale else {}),
        machine=where,
        effective=effective,
        choices=choices,
        sweep=job.sweep,
        flags=(*of_config(config), *machine.crowding(config.threads), *job.flags),
        layers=tuple(task.architecture.with_values(effective).rows()),
        without_effect=tuple(sorted(map(str, task.architecture.without_effect()))),
        directory=job.directory,
    )
    epochs = Epochs(config, task, dataset, trainer, clock, announce, stopping)
    epochs.first = first
    return epochs.run(_taken_up(run, epochs, clock, announce) if job.resume else run)


def _taken_up(new: RunResult, epochs: Epochs, clock: Clock, announce: Announce) -> RunResult:
    """Return the stopped run in `new.directory`, on its way again from its last checkpoint.

    Without one that is whole it starts over; what is on record stays. Raises RunFailed where it
    is another run than `new`.
    """
    assert new.directory is not None
    old = RunResult.read(new.directory)
    if old.fingerprint != new.fingerprint:
        raise RunFailed(
            f"The run in {new.directory} was another one: {identity.differences(old, new)}. "
            "Start anew with --fresh."
        )
    clock.add_phases(old.phases)
    start, damaged = checkpoint.latest(new.directory)
    for path in damaged:
        announce({"event": "note", "text": f"{path.name} is damaged and was not used"})
    if start is not None:
        epochs.resume(old, start)
    return dataclasses.replace(
        old,
        status="running",
        message=None,
        resumed=(*old.resumed, epochs.at.epoch),
        flags=tuple(dict.fromkeys((*old.flags, *new.flags))),
    )
