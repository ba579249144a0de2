"""Which classic mistake a trainer behaves like: proved by its numbers, or not said.

The NumPy reference is trained with each mistake planted (`nnbench.testing.mistakes`). One is named
if it takes the subject's steps, within what one ulp in the initial weights does, in the cases in
which the subject parts from the reference, and changes nothing where the subject agrees with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import CHAOTIC, compare, moved_by_one_ulp, relative_difference
from nnbench.backends.protocol import Params, Trainer, TrainerFactory, Walk
from nnbench.data.dataset import Split
from nnbench.model import layers as spec
from nnbench.schema.progress import Tell, nobody
from nnbench.testing.cases import Case, case
from nnbench.testing.equality import LOGIT_FACTOR, Logits, logits
from nnbench.testing.mistakes import MISTAKES, SAME_START, Mistake

Form = type[NumpyTrainer]
Part = Literal["steps", "epochs", "logits"]
SOON, FEW = 2, 40  # where more cases part, one mistake is in all of them, or it is another one
PLAIN = {"float64": 1e-6, "float32": CHAOTIC}  # further apart after one step is another step


@dataclass(frozen=True)
class Named:
    """`mistakes`: one, or two that are made together; they reproduce so many `of` the cases.

    `of` 0: it was seen in the trainer itself.
    """

    mistakes: tuple[Mistake, ...]
    reproduced: int
    of: int

    @property
    def text(self) -> str:
        """Return what ends the sentence "behaves like: ..."."""
        return ", and ".join(each.text for each in self.mistakes)


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

    @cached_property
    def reference(self) -> Way:
        """Return the way of the reference."""
        return self.way_of(NumpyTrainer)

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


def _blank_rows(split: Split) -> Split:
    inputs = split.inputs.copy()
    inputs[:, :4] = 0
    return Split(inputs, split.targets)


# What tells mistakes apart that the blocks do not.
FURTHER: dict[str, Case] = {
    "max_pool2d of blank images": case(
        spec.Conv2d(3), spec.MaxPool2d(), spec.Activation("tanh"), spec.Flatten()
    ).where(_blank_rows)
}


def starts_the_same(make: TrainerFactory, execution: str, case: Case) -> list[Named]:
    """Return SAME_START if every kernel that a trainer starts with by itself has one value."""
    built = make(case.on(execution), case.sized(0)).params()
    kernels = [p for key, p in built.items() if key.role == "kernel"]
    same = kernels and all(bool((p == p.flat[0]).all()) for p in kernels)
    return [Named((SAME_START,), 0, 0)] if same else []


def named(
    make: TrainerFactory,
    execution: str,
    failed: Mapping[str, Case],
    passed: Mapping[str, Case],
    tell: Tell = nobody,
) -> list[Named]:
    """Return the mistakes that reproduce what a trainer does; none where none is proved.

    `failed` and `passed`: the cases in which it does not and does train as the reference. First
    single mistakes that reproduce every case that parts, else pairs that do, else single ones that
    reproduce some of the cases and do not show in the others.
    """
    tell(0, 0, "looking for a classic mistake")
    partings = sorted(_partings(make, execution, failed), key=lambda each: each.where.steps)
    if not partings:
        return []
    sound = [Trial(each) for each in passed.values()]
    whole = len(partings)
    found = [
        Named((mistake,), whole, whole)
        for mistake in MISTAKES
        if _any(mistake.forms, lambda form: _always(form, partings, sound))
    ]
    first = partings[0].where
    soon = first.parted == "steps" and first.steps < SOON  # others take minutes
    if not found and soon and whole > 1:
        found = list(_pairs(partings, sound))
    return found or (list(_partly(partings, sound)) if whole <= FEW else [])


def _partings(
    make: TrainerFactory, execution: str, failed: Mapping[str, Case]
) -> Iterator[Parting]:
    for each in failed.values():
        trial = Trial(each)
        try:
            way = trial.way_of(make, execution)
            where = trial.course(NumpyTrainer, way)
        except Exception:  # the check has said what it raises
            continue
        if where.parted is not None:
            yield Parting(trial, way, where)


def _any(forms: Sequence[Form], holds: Callable[[Form], bool]) -> bool:
    return any(holds(form) for form in forms)


def _always(form: Form, partings: Sequence[Parting], sound: Sequence[Trial]) -> bool:
    """Tell whether a form reproduces every parting, and shows in no case that is sound."""
    return all(each.is_reproduced(form) for each in partings) and not any(
        trial.changes(form) for trial in sound
    )


def _pairs(partings: Sequence[Parting], sound: Sequence[Trial]) -> Iterator[Named]:
    """Yield two mistakes that, made together, reproduce everything: each in its first form."""
    for one, other in combinations([each for each in MISTAKES if each.forms], 2):
        try:
            form = type("Both", (one.forms[0], other.forms[0]), {})
        except TypeError:  # one is a special case of the other
            continue
        if _always(form, partings, sound):
            yield Named((one, other), len(partings), len(partings))


def _partly(partings: Sequence[Parting], sound: Sequence[Trial]) -> Iterator[Named]:
    """Yield single mistakes that reproduce some partings and show in none of the others."""
    for mistake in MISTAKES:
        for form in mistake.forms:
            count = _where_it_shows(form, partings)
            if count and not any(trial.changes(form) for trial in sound):
                yield Named((mistake,), count, len(partings))
                break


def _where_it_shows(form: Form, partings: Sequence[Parting]) -> int:
    """Return how many partings a form reproduces, 0 if it shows in one that it does not."""
    others = [each for each in partings if not each.is_reproduced(form)]
    count = len(partings) - len(others)
    return 0 if count and any(each.trial.changes(form) for each in others) else count
