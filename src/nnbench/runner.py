"""The epoch loop: one run from its configuration to its record, whatever the backend."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnbench import data, identity, machine, metrics, trajectory, weights
from nnbench.assembly import all_splits, load_weights, make_task, make_walk, trainer_factory
from nnbench.clock import Clock
from nnbench.config import RunConfig
from nnbench.data.dataset import Dataset
from nnbench.init import Params
from nnbench.parity import moved_by_one_ulp
from nnbench.record import EpochRecord, RunResult
from nnbench.selection import Watch
from nnbench.trainer import Task, Trainer, TrainStats, Walk

SLICE_SECONDS = 0.5  # how often a long epoch reports progress
FIRST_SLICE_STEPS = 1000
Announce = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One run as its worker receives it: the configuration, resolved, and where it is kept.

    `values` is the configuration as plain data, `weights` the folder or file of `init=from_run`.
    `nudged`: start one ulp away from the initial weights, to see what rounding comes to.
    """

    config: RunConfig
    values: dict[str, Any]
    run_id: str
    name: str
    created: str
    directory: Path
    started: float
    weights: Path | None = None
    sweep: str | None = None
    nudged: bool = False


def execute(job: Job, announce: Announce) -> RunResult:
    """Train and evaluate as `job` says; write run.json after every epoch and results at the end.

    `announce` receives events for a display: `phase`, `start`, `progress`, `epoch`. Raises
    NNBenchError before anything is written where the job cannot be done.
    """
    config = job.config
    clock = Clock(job.started)
    announce({"event": "phase", "phase": "import"})
    factory = trainer_factory(config)
    clock.since_start("import")
    announce({"event": "phase", "phase": "data"})
    with clock.phase("data"):
        dataset = data.load(config.data, kind=config.task, seed=config.seed)
        digests = {"payload": dataset.payload_digest} | dataset.digests()
    announce({"event": "phase", "phase": "build"})
    with clock.phase("build"):
        task = make_task(config, dataset)
        trainer = factory(task, all_splits(dataset, config.eval.train_samples))
        taken = load_weights(config, job.weights, task, trainer)
        if job.nudged:
            trainer.load(moved_by_one_ulp(trainer.params()))
        where = machine.describe(config.backend.packages, device=config.device.name)
    announce({"event": "phase", "phase": "warm-up"})
    with clock.phase("warm_up"):
        trainer.warm_up(len(dataset.splits["train"]))
    run = RunResult(
        run_id=job.run_id,
        name=job.name,
        status="running",
        semantics=config.semantics,
        fingerprint=identity.fingerprint(job.values, where, digests, taken),
        created=job.created,
        config=job.values,
        architecture=str(task.architecture),
        parameters=task.architecture.parameter_count(),
        data={"name": dataset.name, "digests": digests}
        | {"inputs": dataclasses.asdict(dataset.inputs), "outputs": dataset.outputs}
        | {"samples": {name: len(split) for name, split in dataset.splits.items()}},
        machine=where,
        choices=getattr(trainer, "choices", {}),
        sweep=job.sweep,
        flags=(*config.flags(), *machine.crowding(config.threads)),
        layers=tuple(task.architecture.rows()),
        without_effect=tuple(sorted(map(str, task.architecture.without_effect()))),
        directory=job.directory,
    )
    return _Epochs(config, task, dataset, trainer, clock, announce).run(run)


class _Epochs:
    """The loop over epochs, with what it keeps between them."""

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        dataset: Dataset,
        trainer: Trainer,
        clock: Clock,
        announce: Announce,
    ) -> None:
        self.config, self.task, self.dataset = config, task, dataset
        self.trainer, self.clock, self.announce = trainer, clock, announce
        self.samples = len(dataset.splits["train"])
        self.steps = task.steps(self.samples)
        self.slice_steps = FIRST_SLICE_STEPS
        self.watch = Watch(config.monitor, config.early_stopping)
        self.best: tuple[int, Params] | None = None
        self.visited: list[Params] = []

    def run(self, run: RunResult) -> RunResult:
        """Run every epoch, or until the loss is no longer finite."""
        with self.clock.phase("track"):
            run.write()
        self.announce({"event": "start"})
        for epoch in range(self.config.epochs):
            record = self._epoch(epoch)
            diverged = not math.isfinite(record.running_loss + record.train_loss)
            self.watch.see(getattr(record, self.config.monitor))
            if self.config.keeps_best and self.watch.best_epoch == epoch:
                self.best = (epoch, self.trainer.params())
            stop = None if diverged else self.watch.reason_to_stop()
            with self.clock.phase("track"):
                self.visited.append(trajectory.sample(self.trainer.params()))
                run = dataclasses.replace(
                    run,
                    epochs=(*run.epochs, record),
                    kept_epoch=self.best[0] if self.best else epoch,
                    message=stop,
                    status="diverged" if diverged else "running",
                    phases=self.clock.phases(),
                )
                run.write()
                self.announce({"event": "epoch", "record": dataclasses.asdict(record)})
            if diverged or stop:
                break
        return self._finish(run)

    def _finish(self, run: RunResult) -> RunResult:
        """Save weights and predictions of the kept epoch, and the final record."""
        assert run.directory is not None
        if self.best and self.best[0] != run.epochs[-1].epoch:
            self.trainer.load(self.best[1])
        with self.clock.phase("evaluate"):
            logits = self.trainer.evaluate("test")
            params = self.trainer.params()
        with self.clock.phase("track"):
            path = run.directory
            trajectory.save(path / trajectory.TRAJECTORY_NAME, self.visited)
            weights.save_weights(path / weights.WEIGHTS_NAME, params, run.architecture)
            weights.save_predictions(
                path / weights.PREDICTIONS_NAME,
                logits,
                self.dataset.splits["test"].targets,
                self.task.architecture.output_activation,
            )
        status = "finished" if run.status == "running" else run.status
        run = dataclasses.replace(
            run,
            status=status,
            phases=self.clock.phases(),
            peak_memory_bytes=machine.peak_memory_bytes(),
        )
        run.write()
        return run

    def _epoch(self, epoch: int) -> EpochRecord:
        lr = self.config.schedule.per_step(epoch, self.steps, self.config.epochs, self.watch.scores)
        stats, train_seconds = self._train(
            make_walk(self.config, self.task, self.samples, epoch, lr), epoch
        )
        before = self.clock.seconds("evaluate")
        with self.clock.phase("evaluate"):
            train_loss, train_accuracy = self._evaluate("train_eval")
            test_loss, test_accuracy = self._evaluate("test")
            has_val = "val" in self.dataset.splits
            val_loss, val_accuracy = self._evaluate("val") if has_val else (None, None)
        if train_accuracy is not None and test_accuracy is not None:
            gap = train_accuracy - test_accuracy
        else:
            gap = test_loss - train_loss
        return EpochRecord(
            epoch=epoch,
            learning_rate=float(lr[0]),
            running_loss=stats.loss_sum / stats.samples,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            generalization_gap=gap,
            train_seconds=train_seconds,
            evaluate_seconds=self.clock.seconds("evaluate") - before,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )

    def _train(self, walk: Walk, epoch: int) -> tuple[TrainStats, float]:
        """Train one epoch, a long one in slices; return its statistics and seconds."""
        stats, seconds, done = TrainStats(0.0, 0), 0.0, 0
        while done < self.steps:
            whole = walk.order is None or self.steps <= self.slice_steps
            stop = self.steps if whole else min(done + self.slice_steps, self.steps)
            part = walk if whole and done == 0 else walk.part(done, stop, self.task.batch_size)
            start = time.perf_counter()
            stats += self.trainer.train(part)
            elapsed = time.perf_counter() - start
            self._set_slice(stop - done, elapsed)
            seconds, done = seconds + elapsed, stop
            if done < self.steps:
                self.announce(
                    {"event": "progress", "epoch": epoch, "step": done, "steps": self.steps}
                )
        self.clock.add("train", seconds)
        return stats, seconds

    def _set_slice(self, steps: int, seconds: float) -> None:
        """Choose the next slice by the clock; the slice law makes the result indifferent to it."""
        multiple = self.trainer.slice_multiple
        wished = int(steps * SLICE_SECONDS / max(seconds, 1e-9))
        wished = max(wished, FIRST_SLICE_STEPS)
        self.slice_steps = -(-wished // multiple) * multiple

    def _evaluate(self, split: str) -> tuple[float, float | None]:
        logits = self.trainer.evaluate(split)
        source = "train" if split == "train_eval" else split
        targets = self.dataset.splits[source].targets[: len(logits)]
        activation = self.task.architecture.output_activation
        loss = metrics.mean_loss(logits, targets, self.config.loss, activation)
        if self.config.task == "regression":
            return loss, None
        return loss, metrics.accuracy(logits, targets)
