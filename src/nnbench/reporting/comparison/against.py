"""Two groups against each other: the verdicts on time and accuracy, and what else differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from nnbench.formatting import ONE_EPOCH, cut_inside
from nnbench.reporting.comparison.fairness import Caution, cautions, findings
from nnbench.reporting.comparison.groups import Group, seed
from nnbench.reporting.comparison.reaching import ToTarget, to_target
from nnbench.reporting.comparison.tested import Read, Scored, read_tested, scored
from nnbench.reporting.statistics import (
    Comparison,
    Contrast,
    compare_times,
    contrast,
    corrected,
    corrected_contrasts,
    of_figures,
)
from nnbench.schema.deferred import dataclass

ROUNDING = 0.01  # ratios no further apart than this are the same to a reader
MOST_BESIDES = 3  # that a short verdict names of what else differs
MOST_NAME = 60  # characters of a name in a short verdict


@dataclass(frozen=True)
class Quality:
    """What two groups' test samples tell of them: a difference in the figure `name`.

    `basis` says what the figures rest on, None where they were checked.
    """

    name: str
    contrast: Contrast
    basis: str | None = None

    @property
    def short(self) -> str:
        """Return the verdict with its interval alone."""
        found, ends = self._told()
        return f"{found} ({ends})"

    def __str__(self) -> str:
        """Return the verdict in words, about the second group."""
        found, ends = self._told()
        basis = f"; {self.basis}" if self.basis else ""
        return f"{found} ({ends}; {self.contrast.basis}{basis})"

    def _told(self) -> tuple[str, str]:
        value, low, high = self.contrast.difference
        accuracy = self.name == "test accuracy"
        found = f"no significant difference in {self.name}"
        if self.contrast.differs:
            size = f"{100 * abs(value):.2f} points" if accuracy else f"{abs(value):.4g}"
            found = f"{self.name} {'higher' if value > 0 else 'lower'} by {size}"
        if accuracy:
            return found, f"{100 * low:+.2f} to {100 * high:+.2f} points"
        return found, f"{low:+.4g} to {high:+.4g}"


@dataclass(frozen=True)
class Against:
    """One group against the baseline: time, test samples, and what else differs.

    `time` is None where one has no time that counts. `rows` is the ratio of the medians that the
    table shows; `warm_up` tells whether a run's time is that of its only epoch; `differences` are
    settings, `cautions` facts of the records that nobody set. `reaching` is the time to
    the table's target, None where there is none.
    """

    group: str
    baseline: str
    time: Comparison | None
    quality: Quality | None
    differences: tuple[str, ...]
    rows: float | None
    warm_up: bool = False
    cautions: tuple[Caution, ...] = ()
    reaching: ToTarget | None = None

    @property
    def fair(self) -> bool:
        """Tell whether the two differ in the backend alone."""
        return not self.differences

    def pair(self, most: int | None = None) -> str:
        """Name both groups, what they share once: `torch against numpy (batch_size=8)`.

        Each part has at most so many characters, where `most` says how many.
        """
        mine, others = self.group.split(), self.baseline.split()
        shared: list[str] = []
        while len(mine) > 1 and len(others) > 1 and mine[-1] == others[-1]:
            shared.insert(0, mine.pop())
            others.pop()
        names = [" ".join(each) for each in (mine, others, shared)]
        first, second, both = (name if most is None else cut_inside(name, most) for name in names)
        return f"{first} against {second}" + (f" ({both})" if both else "")

    @property
    def short(self) -> str:
        """Return the verdict for a reader in a hurry: what is found, with intervals, and no more.

        What else differs is named; how, and what each verdict rests on, is in the whole sentence.
        """
        time = "no times that may be compared" if self.time is None else self.time.short
        parts = [time + ", warm-up included" * (self.warm_up and self.time is not None)]
        if self.reaching is not None and not self._alike(self.reaching.time):
            parts += [self.reaching.short] if str(self.reaching) else []
        parts += [self.quality.short] if self.quality is not None else []
        besides = [text.partition(":")[0] for text in self.differences]
        besides += [caution.key.removeprefix("machine.") for caution in self.cautions]
        more = len(besides) - MOST_BESIDES
        named = ", ".join(besides[:MOST_BESIDES]) + f" and {more} more" * (more > 0)
        parts += [f"differs in {named} too"] if besides else []
        return f"{self.pair(MOST_NAME)}: {'; '.join(parts)}."

    def __str__(self) -> str:
        """Return the verdict as a sentence, with all that it rests on."""
        told = "no times that may be compared" if self.time is None else str(self.time)
        text = f"{self.pair()}: {told}"
        if self.warm_up and self.time is not None:
            text += f", by times {ONE_EPOCH}"
        text += self._by_rows()
        if self.reaching is not None and str(self.reaching):
            text += f"; {self.reaching}"
        if self.quality is not None:
            text += f"; {self.quality}"
        if self.differences:
            text += f". Not a comparison of backends alone: {'; '.join(self.differences)}"
        if self.cautions:
            text += f". Caution, recorded besides: {'; '.join(map(str, self.cautions))}"
        return text + "."

    def _alike(self, time: Comparison | None) -> bool:
        """Tell whether the time to the target says no more than that of an epoch."""
        return time is not None and self.time is not None and time.word == self.time.word

    def _by_rows(self) -> str:
        """Say what the rows of the table would give, where that is another ratio."""
        if self.time is None or self.rows is None:
            return ""
        ratio = self.time.ratio.value
        if self.time.word == "too few" or abs(math.log(self.rows / ratio)) < ROUNDING:
            return ""
        rows = 1 / self.rows if self.time.word == "faster" else self.rows
        return f" (the table's rows, medians over all seeds, give {rows:.2f})"


def compare(
    pairs: Sequence[tuple[Group, Group]], read: Read = read_tested, target: float | None = None
) -> list[Against]:
    """Compare each second group to the first; the verdicts of a table correct each other.

    Verdicts on time are one family, those on the time to `target` another, those on the test
    samples a third.
    """
    seconds = [(a.seconds(), b.seconds()) for a, b in pairs]
    families = iter(corrected([compare_times(x, y) for x, y in seconds if x and y]))
    times = [next(families) if x and y else None for x, y in seconds]
    qualities, reaching = _qualities(pairs, read), to_target(pairs, target)
    return [
        Against(
            group=b.label,
            baseline=a.label,
            time=time,
            quality=quality,
            differences=tuple(findings(a, b).values()),
            rows=median(y.values()) / median(x.values()) if x and y else None,
            warm_up=any(len(run.epochs) == 1 for run in (*a.finished, *b.finished)),
            cautions=tuple(cautions([a, b])),
            reaching=reaches,
        )
        for (a, b), (x, y), time, quality, reaches in zip(
            pairs, seconds, times, qualities, reaching, strict=True
        )
    ]


def _qualities(pairs: Sequence[tuple[Group, Group]], read: Read) -> list[Quality | None]:
    """Compare by what each test sample says; by accuracies alone where that is not at hand."""
    groups = {id(group): group for pair in pairs for group in pair}
    runs = [{seed(run): run for run in group.finished} for group in groups.values()]
    known = dict(zip(groups, scored(runs, read), strict=True))
    found = [_quality(a, b, known[id(a)], known[id(b)]) for a, b in pairs]
    changed = iter(corrected_contrasts([each.contrast for each in found if each is not None]))
    return [each and replace(each, contrast=next(changed)) for each in found]


def _quality(a: Group, b: Group, first: Scored | None, second: Scored | None) -> Quality | None:
    x, y = a.figures("test_accuracy"), b.figures("test_accuracy")
    if bool(x) != bool(y):
        return None
    name = "test accuracy" if x else "test loss"
    if first and second:
        basis = None if first.checked and second.checked else "figures not checked"
        return Quality(name, contrast(first.by_seed, second.by_seed), basis)
    samples = [int((g.first.data.get("samples") or {}).get("test") or 0) for g in (a, b)]
    if not x or not min(samples):
        return None
    basis = "predictions not recorded, samples taken as independent"
    return Quality(name, of_figures(x, y, min(samples)), basis)
