"""Two groups against each other: the verdicts on time and accuracy, and what else differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from nnbench.formatting import ONE_EPOCH
from nnbench.reporting.comparison.fairness import Caution, cautions, findings
from nnbench.reporting.comparison.groups import Group, seed
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

ROUNDING = 0.01  # ratios no further apart than this are the same to a reader


@dataclass(frozen=True)
class Quality:
    """What two groups' test samples tell of them: a difference in the figure `name`.

    `basis` says what the figures rest on, None where they were checked.
    """

    name: str
    contrast: Contrast
    basis: str | None = None

    def __str__(self) -> str:
        """Return the verdict in words, about the second group."""
        value, low, high = self.contrast.difference
        accuracy = self.name == "test accuracy"
        found = f"no significant difference in {self.name}"
        if self.contrast.differs:
            size = f"{100 * abs(value):.2f} points" if accuracy else f"{abs(value):.4g}"
            found = f"{self.name} {'higher' if value > 0 else 'lower'} by {size}"
        ends = f"{low:+.4g} to {high:+.4g}"
        if accuracy:
            ends = f"{100 * low:+.2f} to {100 * high:+.2f} points"
        basis = f"; {self.basis}" if self.basis else ""
        return f"{found} ({ends}; {self.contrast.basis}{basis})"


@dataclass(frozen=True)
class Against:
    """One group against the baseline: time, test samples, and what else differs.

    `time` is None where one has no time that counts. `rows` is the ratio of the medians that the
    table shows; `warm_up` tells whether a run's time is that of its only epoch; `differences` are
    settings, `cautions` facts of the records that nobody set.
    """

    group: str
    baseline: str
    time: Comparison | None
    quality: Quality | None
    differences: tuple[str, ...]
    rows: float | None
    warm_up: bool = False
    cautions: tuple[Caution, ...] = ()

    @property
    def fair(self) -> bool:
        """Tell whether the two differ in the backend alone."""
        return not self.differences

    def pair(self) -> str:
        """Name both groups, what they share once: `torch against numpy (batch_size=8)`."""
        mine, others = self.group.split(), self.baseline.split()
        shared: list[str] = []
        while len(mine) > 1 and len(others) > 1 and mine[-1] == others[-1]:
            shared.insert(0, mine.pop())
            others.pop()
        told = f" ({' '.join(shared)})" if shared else ""
        return f"{' '.join(mine)} against {' '.join(others)}{told}"

    def __str__(self) -> str:
        """Return the verdict as a sentence."""
        told = "no times that may be compared" if self.time is None else str(self.time)
        text = f"{self.pair()}: {told}"
        if self.warm_up and self.time is not None:
            text += f", by times {ONE_EPOCH}"
        text += self._by_rows()
        if self.quality is not None:
            text += f"; {self.quality}"
        if self.differences:
            text += f". Not a comparison of backends alone: {'; '.join(self.differences)}"
        if self.cautions:
            text += f". Caution, recorded besides: {'; '.join(map(str, self.cautions))}"
        return text + "."

    def _by_rows(self) -> str:
        """Say what the rows of the table would give, where that is another ratio."""
        if self.time is None or self.rows is None:
            return ""
        ratio = self.time.ratio.value
        if self.time.word == "too few" or abs(math.log(self.rows / ratio)) < ROUNDING:
            return ""
        rows = 1 / self.rows if self.time.word == "faster" else self.rows
        return f" (the table's rows, medians over all seeds, give {rows:.2f})"


def compare(pairs: Sequence[tuple[Group, Group]], read: Read = read_tested) -> list[Against]:
    """Compare each second group to the first; the verdicts of a table correct each other.

    Verdicts on time are one family, those on the test samples another.
    """
    seconds = [(a.seconds(), b.seconds()) for a, b in pairs]
    families = iter(corrected([compare_times(x, y) for x, y in seconds if x and y]))
    times = [next(families) if x and y else None for x, y in seconds]
    qualities = _qualities(pairs, read)
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
        )
        for (a, b), (x, y), time, quality in zip(pairs, seconds, times, qualities, strict=True)
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
