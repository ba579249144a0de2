"""How far a trainer goes the way that another one went, in one case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import CHAOTIC, compare, moved_by_one_ulp, relative_difference
from nnbench.backends.protocol import Params, Trainer, TrainerFactory, Walk
from nnbench.schema.deferred import dataclass
from nnbench.testing.cases import Case
from nnbench.testing.equality import LOGIT_FACTOR, Logits, logits

Form = type[NumpyTrainer]
Part = Literal["steps", "epochs", "logits"]
PLAIN = {"float64": 1e-6, "float32": CHAOTIC}  # further apart after one step is another step


@dataclass(frozen=True)
class Way:
    """Weights after each step and, from a fresh start, each epoch; the logits at both ends."""

    steps: tuple[Params, ...]
    epochs: tuple[Params, ...]
    before: Logits
    after: Logits


@dataclass(frozen=True)
class Course:
    """How far a trainer goes a way: in which part it leaves it, and what was compared of both."""

    parted: Part | None
    steps: int = 0
    epochs: int = 0

    def covers(self, other: Course) -> bool:
        """Tell whether this one never parts, and was compared past where `other` parted."""
        if self.parted is not None:
            return False
        return {
            "steps": self.steps > other.steps,
            "epochs": self.epochs > other.epochs,
            "logits": True,
        }.get(other.parted or "", False)


class Trial:
    """One case, with what every trainer in it begins with."""

    def __init__(self, case: Case) -> None:
        self.case, self.params = case, case.params
        self.moved = moved_by_one_ulp(self.params)
        self.splits, self.excluded = case.sized(0), case.task.architecture.without_effect()
        self.walks: dict[Part, Sequence[Walk]] = {"steps": case.steps(), "epochs": case.walks()}

    def way_of(self, make: TrainerFactory, execution: str = "reference") -> Way:
        """Return the way that a trainer goes; raises whatever it raises."""
        steps, _, before = self._gone(make, execution, "steps")
        epochs, after, _ = self._gone(make, execution, "epochs")
        return Way(steps, epochs, before, after)

    def _gone(
        self, make: TrainerFactory, execution: str, part: Part
    ) -> tuple[tuple[Params, ...], Logits, Logits]:
        """Return the weights after each walk; the logits after and, of another, before them all."""
        trainer = self._loaded(make(self.case.on(execution), self.splits), self.params)
        before = logits(trainer) if part == "steps" else {}
        if before:  # a fresh one: what evaluating leaves behind is no part of a step
            trainer = self._loaded(make(self.case.on(execution), self.splits), self.params)
        found = []
        for walk in self.walks[part]:
            trainer.train(walk)
            found.append(trainer.params())
        return tuple(found), logits(trainer) if part == "epochs" else {}, before

    @staticmethod
    def _loaded(trainer: Trainer, params: Params) -> Trainer:
        trainer.load(params)
        return trainer

    def course(self, form: Form, way: Way) -> Course:
        """Return how far `form` goes the way that another trainer went."""
        fresh = self._loaded(form(self.case.task, self.splits), self.params)
        if not self._evaluates(fresh, self.params, way.before):
            return Course("logits")
        steps, parted = self._along(form, "steps", way.steps)
        if parted:
            return Course("steps", steps)
        epochs, parted = self._along(form, "epochs", way.epochs)
        if parted:
            return Course("epochs", steps, epochs)
        trainer = self._loaded(form(self.case.task, self.splits), self.params)
        for walk in self.walks["epochs"]:
            trainer.train(walk)  # for what it remembers of it
        same = self._evaluates(trainer, way.epochs[-1], way.after)
        return Course(None if same else "logits", steps, epochs)

    def _along(self, form: Form, part: Part, weights: Sequence[Params]) -> tuple[int, bool]:
        """Return how many walks are equal before one that is not (True), or all say nothing."""
        plain = self._loaded(form(self.case.task, self.splits), self.params)
        moved = self._loaded(form(self.case.task, self.splits), self.moved)
        for i, (walk, found) in enumerate(zip(self.walks[part], weights, strict=True)):
            plain.train(walk)
            moved.train(walk)
            judged = compare(plain.params(), moved.params(), found, self.excluded)
            if judged.chaotic:
                return i, False
            if not judged.within:
                return i, True
        return len(weights), False

    def may_pass(self, form: Form, way: Way, where: Course) -> bool:
        """Tell quickly whether a form may be where the reference is not any more."""
        if where.parted not in ("steps", "epochs"):
            return True
        trainer = self._loaded(form(self.case.task, self.splits), self.params)
        found = way.steps if where.parted == "steps" else way.epochs
        place = where.steps if where.parted == "steps" else where.epochs
        for walk in self.walks[where.parted][: place + 1]:
            trainer.train(walk)
        off = relative_difference(trainer.params(), found[place], self.excluded)
        return not off > PLAIN[self.case.task.dtype]

    def _evaluates(self, trainer: Trainer, params: Params, found: Logits) -> bool:
        """Tell whether the logits are the trainer's for the same weights."""
        expected, moved = (
            logits(self._loaded(trainer, each)) for each in (params, moved_by_one_ulp(params))
        )
        one_ulp = max(float(np.abs(expected[n] - moved[n]).max()) for n in expected)
        off = max(float(np.abs(expected[n] - found[n]).max()) for n in expected)
        return not off > LOGIT_FACTOR * one_ulp

    def changes(self, form: Form) -> bool:
        """Tell whether a planted mistake shows in this case."""
        return self.course(NumpyTrainer, self.way_of(form)).parted is not None


@dataclass(frozen=True)
class Parting:
    """A case in which the subject parts from the reference: its way, and where it does."""

    trial: Trial
    way: Way
    where: Course

    def is_reproduced(self, form: Form) -> bool:
        """Tell whether a planted mistake takes the subject's way past that place."""
        try:
            may = self.trial.may_pass(form, self.way, self.where)
            return may and self.trial.course(form, self.way).covers(self.where)
        except Exception:  # a mixture that cannot be, a layer that is not as the form thinks
            return False
