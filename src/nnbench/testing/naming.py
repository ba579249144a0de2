"""Which classic mistake a trainer behaves like: proved by its numbers, or not said.

The NumPy reference is trained with each mistake planted (`nnbench.testing.mistakes`). One is named
if it takes the subject's steps, within what one ulp in the initial weights does, in the cases in
which the subject parts from the reference, and changes nothing where the subject agrees with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import NamedTuple

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import TrainerFactory
from nnbench.data.dataset import Split
from nnbench.model import layers as spec
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.testing.cases import Case, case
from nnbench.testing.mistakes import MISTAKES, SAME_START, Mistake
from nnbench.testing.trial import Course, Form, Parting, Trial

FIRST = 12  # partings that a mistake is tried with before all are looked at
SOON = 2  # steps: pairs that show later take minutes to try
FEW = 40  # where more cases part, one mistake is in all of them, or it is another one


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
    met = _partings(make, execution, failed)
    partings = sorted(islice(met, FIRST), key=lambda each: each.where.steps)
    singles = [found for found in _alone() if _all(found.form, partings)]
    pairs = [] if singles else list(_together(partings))
    if not partings or not (singles or pairs or len(failed) <= FEW):
        return []
    partings = sorted((*partings, *met), key=lambda each: each.where.steps)
    sound = [Trial(each) for each in passed.values()]
    return (
        _proved(singles, partings, sound)
        or _proved(pairs or _together(partings), partings, sound)
        or (list(_partly(partings, sound)) if len(partings) <= FEW else [])
    )


class Candidate(NamedTuple):
    """Mistakes and a trainer that makes them."""

    mistakes: tuple[Mistake, ...]
    form: Form


def _alone() -> Iterator[Candidate]:
    for mistake in MISTAKES:
        for form in mistake.forms:
            yield Candidate((mistake,), form)


def _together(partings: Sequence[Parting]) -> Iterator[Candidate]:
    """Yield two mistakes that, made together, reproduce everything: each in its first form."""
    first = partings[0].where if partings else Course(None)
    if len(partings) < 2 or first.parted != "steps" or first.steps >= SOON:  # it takes minutes
        return
    for one, other in combinations([each for each in MISTAKES if each.forms], 2):
        try:
            form = type("Both", (one.forms[0], other.forms[0]), {})
        except TypeError:  # one is a special case of the other
            continue
        if _all(form, partings):
            yield Candidate((one, other), form)


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


def _all(form: Form, partings: Sequence[Parting]) -> bool:
    """Tell whether a form reproduces every parting."""
    return all(each.is_reproduced(form) for each in partings)


def _proved(
    candidates: Iterable[Candidate], partings: Sequence[Parting], sound: Sequence[Trial]
) -> list[Named]:
    """Return those that reproduce every parting, and show in no case that is sound."""
    found: dict[tuple[Mistake, ...], Named] = {}
    for mistakes, form in candidates:
        if mistakes in found or not _all(form, partings):
            continue
        if not any(trial.changes(form) for trial in sound):
            found[mistakes] = Named(mistakes, len(partings), len(partings))
    return list(found.values())


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
