"""Backends in one process, on the same walk: what `nnbench parity`, `trace` and `profile` run.

Reads a job as JSON from standard input and writes its answer as one JSON line.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnbench import data
from nnbench.backends.drift import ONE, SEVERAL, drift, first_parting
from nnbench.backends.evaluation import Evaluator
from nnbench.backends.parity import first_parts, verdict
from nnbench.backends.profiling import profile
from nnbench.backends.protocol import Params, Task, Trainer, Walk
from nnbench.config.run import RunConfig, read_config
from nnbench.errors import NNBenchError
from nnbench.model.metrics import accuracy, mean_loss
from nnbench.model.schedule import Plateau
from nnbench.records.certificate import Certificate, Place
from nnbench.records.figures import SPLITS, Figures, wrong_logits
from nnbench.records.files import write_arrays
from nnbench.schema import progress
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.training import tracing
from nnbench.training.assembly import (
    all_splits,
    load_weights,
    make_task,
    make_walk,
    trainer_factory,
)


@dataclass(frozen=True)
class Sides:
    """Trainers by label, the reference first, all of them from the same `params`."""

    config: RunConfig
    task: Task
    trainers: dict[str, Trainer]
    params: Params
    dataset: data.Dataset
    splits: dict[str, data.Split]

    @classmethod
    def build(cls, configs: Sequence[RunConfig], source: Path | None) -> Sides:
        """Load the data once and build a trainer for each of `configs`."""
        first = configs[0]
        dataset = data.load(first.data, kind=first.task, seed=first.seed)
        splits = all_splits(dataset, first.eval.train_samples)
        trainers: dict[str, Trainer] = {
            config.backend.label: trainer_factory(config)(make_task(config, dataset), splits)
            for config in configs
        }
        task, reference = make_task(first, dataset), next(iter(trainers.values()))
        load_weights(first, source, task, reference)
        return cls(first, task, trainers, reference.params(), dataset, splits)

    @property
    def steps(self) -> int:
        """Return how many steps an epoch has."""
        return self.task.steps(len(self.dataset.splits["train"]))

    @property
    def reference(self) -> Trainer:
        """Return the first trainer."""
        return next(iter(self.trainers.values()))

    def walks(self, epochs: int) -> Iterator[Walk]:
        """Yield the walks of the first `epochs` epochs; a plateau is the reference's."""
        samples = len(self.dataset.splits["train"])
        scores: list[float] = []
        for epoch in range(epochs):
            rates = self.config.schedule.per_step(epoch, self.steps, self.config.epochs, scores)
            yield make_walk(self.config, self.task, samples, epoch, rates)
            if isinstance(self.config.schedule, Plateau):
                scores.append(self._score())

    def _score(self) -> float:
        split, _, figure = self.config.monitor.partition("_")
        logits = self.reference.evaluate("train_eval" if split == "train" else split)
        targets = self.dataset.splits[split].targets[: len(logits)]
        if figure == "accuracy":
            return -accuracy(logits, targets)
        activation = self.task.architecture.output_activation
        return mean_loss(logits, targets, self.task.loss, activation)


def certificates(sides: Sides, epochs: int, tell: Tell = nobody) -> list[Certificate]:
    """Train all side by side for so many epochs and judge each backend against the first.

    The first steps are taken before, from the same weights.
    """
    net, size = sides.task.architecture, sides.task.step_samples
    excluded = net.without_effect()
    (reference, _), *others = sides.trainers.items()
    start = first_parts(next(sides.walks(1)), size)

    def told() -> Iterator[Walk]:
        for epoch, walk in enumerate(sides.walks(epochs)):
            tell(epoch, epochs, f"{sides.config.dtype}, epoch {epoch + 1}/{epochs}")
            yield walk

    for coins in (ONE, SEVERAL):  # more chances for rounding, before anyone is accused
        first, whole = (
            list(drift(sides.reference, dict(others), sides.params, walks, excluded, coins))
            for walks in (start, told())
        )
        ways = ([each[name] for each in (*first, *whole)] for name, _ in others)
        if all(verdict(way).parted is None for way in ways):
            break
    wrong = {name: wrong_answers(sides, trainer) for name, trainer in sides.trainers.items()}
    own = tuple(f"{reference}: {text}" for text in wrong[reference])
    found = []
    for name, trainer in others:
        certificate = Certificate(
            backend=name,
            dtype=sides.config.dtype,
            seed=sides.config.seed,
            reference=reference,
            steps=sides.steps,
            first={s: each[name] for s, each in zip(_ends(start), first, strict=True)},
            epochs=tuple(each[name] for each in whole),
            layers=tuple(row.layer for row in net.rows()),
            figures=Figures((*wrong[name], *own)),
        )
        found.append(_located(sides, trainer, certificate))
    return found


def _ends(parts: Sequence[Walk]) -> list[int]:
    """Return after which step each part ends."""
    return [part.first_step + len(part.lr) for part in parts]


def _located(sides: Sides, trainer: Trainer, certificate: Certificate) -> Certificate:
    """Return the certificate with the first step of the epoch in which a backend parts."""
    epoch = certificate.parted_epoch
    if epoch is None:
        return certificate
    excluded = sides.task.architecture.without_effect()
    way = list(sides.walks(epoch + 1))
    where = first_parting(
        sides.reference, trainer, sides.params, way, sides.task.step_samples, excluded
    )
    if where is None:
        return certificate
    place = Place(epoch + 1, where.step + 1, where.layer)
    return replace(certificate, place=place, by_rounding=where.by_rounding)


def wrong_answers(sides: Sides, trainer: Trainer) -> tuple[str, ...]:
    """Hold what a backend says of every split against what the reference makes of its weights."""
    evaluator = Evaluator(sides.task, sides.splits)
    params = trainer.params()
    wrong: list[str] = []
    for split, name in SPLITS.items():
        if split in sides.splits:
            found = evaluator.evaluate(params, split)
            wrong += wrong_logits(name, trainer.evaluate(split), found)
    return tuple(wrong)


def answer(job: dict[str, Any], tell: Tell = nobody) -> dict[str, Any]:
    """Do `job`: `what` it is about, `values` the configurations, the reference first."""
    configs = [read_config(values) for values in job["values"]]
    sides = Sides.build(configs, Path(job["weights"]) if job["weights"] else None)
    net = sides.task.architecture
    facts = {"architecture": str(net), "layers": [row.layer for row in net.rows()]}
    if job["what"] == "trace":
        step = int(job["step"])
        write_arrays(Path(job["path"]), tracing.arrays(sides, tracing.traces(sides, step, tell)))
        return facts | tracing.facts(sides, step)
    if job["what"] == "effective":
        return facts | {"effective": getattr(sides.reference, "effective", {})}
    if job["what"] == "profile":
        (name, trainer), walk = next(iter(sides.trainers.items())), next(sides.walks(1))
        trainer.load(sides.params)
        profiled = profile(name, trainer, walk, sides.task.step_samples)
        return facts | dataclasses.asdict(profiled)
    epochs = job.get("epochs") or sides.config.epochs
    found = [certificate.as_data() for certificate in certificates(sides, epochs, tell)]
    return facts | {"steps": sides.steps, "certificates": found}


def main() -> int:
    """Answer the job on standard input; return 0, 2 for an error of the user's, 1 for ours."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    code = 0

    def tell(done: float, total: float, what: str) -> None:
        out.write(progress.line(done, total, what) + "\n")
        out.flush()

    try:
        said = answer(json.loads(sys.stdin.readline()), tell)
    except NNBenchError as error:
        said, code = {"kind": type(error).__name__, "error": str(error)}, 2
    except Exception as error:
        traceback.print_exc()
        said, code = {"kind": "RunFailed", "error": f"{type(error).__name__}: {error}"}, 1
    out.write(json.dumps(said) + "\n")
    out.flush()
    return code


if __name__ == "__main__":
    done = main()
    sys.stderr.flush()
    os._exit(done)  # frameworks' exit handlers have nothing to save
