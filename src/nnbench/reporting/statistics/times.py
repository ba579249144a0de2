"""Ratios of times: which of two groups is faster, and by how much.

Runs are the units, not epochs: epochs of one run share its process, its memory layout and the mood
of the machine. A run counts by its epoch time (`nnbench.records.run.epoch_time`). Runs with the
same seed are pairs; what pairs share cancels. Intervals are Student's t on the logarithms of the
ratios, widened by `SERIAL`. tests/reporting/test_simulations.py holds them against many kinds of
noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from nnbench.formatting import count
from nnbench.reporting.statistics.student import (
    CONFIDENCE,
    FEWEST,
    Part,
    Ratio,
    as_ratio,
    by_pairs,
    half_width,
    holm,
    parts_of_mean,
    probability,
)
from nnbench.schema.deferred import dataclass

EQUAL_WITHIN = 0.02  # ratios no further from 1 than this are as good as equal
MOST_ASKED = 100  # pairs; a question that needs more is not worth asking
# Runs that follow each other are alike. Where their noise is AR(1) with coefficient r, differences
# of neighbouring pairs in opposite orders (AB BA) correlate by r (1 - r) / 2, at most by 1/8, those
# in the same order by as much less than 0. In ABBA BAAB ... (`nnbench.sweeps.order`) two of three
# neighbours are opposite: the variance of the mean is up to 1 + 2/8 (2/3 - 1/3) times that of
# independent pairs, and the estimate a little too small. In ABBA ABBA ... it would be 1 + 2/8.
SERIAL = 1.125
Word = Literal["faster", "slower", "equal", "undecided", "too few"]


@dataclass(frozen=True)
class Comparison:
    """How long `b` takes against `a`: their ratio, from `runs` of each.

    `paired` tells whether they were matched by seed, of which `shared` are in both. `p` is the
    probability of a ratio this far from 1 between equals (of one of `among` comparisons, corrected
    by `corrected`); `more` estimates how many further pairs would decide, None where no reasonable
    number would. `error` is the variance of the ratio's logarithm.
    """

    ratio: Ratio
    runs: tuple[int, int]
    paired: bool
    p: float
    word: Word
    error: Part
    shared: int = 0
    more: int | None = None
    among: int = 1

    @property
    def pairs(self) -> int:
        """Return the number of runs of the smaller side."""
        return min(self.runs)

    @property
    def basis(self) -> str:
        """Say what was compared: so many pairs, or unpaired runs."""
        if self.paired:
            return count(self.pairs, "pair")
        text = "{} and {} unpaired runs".format(*self.runs)
        return text + f", {count(self.shared, 'seed')} in common" * (self.shared > 0)

    @property
    def short(self) -> str:
        """Return the verdict with its interval and number of pairs alone."""
        low, high = self.ratio.low, self.ratio.high
        if self.word == "undecided":
            return f"time undecided, {low:.2f} to {high:.2f} times as long ({self.basis})"
        if self.word == "too few":
            return f"too few seeds for a verdict on time ({self.basis})"
        return str(self)

    def __str__(self) -> str:
        """Return the verdict in words, about b."""
        low, high = self.ratio.low, self.ratio.high
        if self.word == "too few":
            return f"too few seeds to tell ({self.basis}; {FEWEST} are needed)"
        if self.word == "undecided":
            more = f"; about {count(self.more, 'more pair')} would decide" if self.more else ""
            among = f", one of {self.among} comparisons" if self.among > 1 else ""
            return f"undecided, {low:.2f} to {high:.2f} times as long ({self.basis}{among}{more})"
        if self.word == "equal":
            return (
                f"equal within {100 * EQUAL_WITHIN:.0f} % ({low:.2f} to {high:.2f}; {self.basis})"
            )
        if self.word == "slower":
            return f"{self.ratio.value:.2f} times as slow ({low:.2f} to {high:.2f}; {self.basis})"
        ends = f"{1 / high:.2f} to {1 / low:.2f}"
        return f"{1 / self.ratio.value:.2f} times as fast ({ends}; {self.basis})"


def compare_times(a: Mapping[int, float], b: Mapping[int, float]) -> Comparison:
    """Compare seconds by seed: those of `b` over those of `a`, in pairs or as `by_pairs` says."""
    shared = by_pairs(a, b)
    first, second = ([math.log(value) for value in group.values()] for group in (a, b))
    if shared:
        logs = [math.log(b[seed] / a[seed]) for seed in shared]
        middle, (part,), runs = statistics.mean(logs), parts_of_mean(logs), (len(shared),) * 2
    else:
        middle = statistics.mean(second) - statistics.mean(first)
        part, runs = _welch(first, second), (len(a), len(b))
    error = Part(SERIAL * part.variance, part.freedom)
    found = Comparison(
        ratio=as_ratio(middle, math.inf),
        runs=(runs[0], runs[1]),
        paired=bool(shared),
        p=1.0,
        word="undecided",
        error=error,
        shared=len(a.keys() & b.keys()),
    )
    return corrected([found])[0]


def spread_of_times(seconds: Sequence[float]) -> Ratio:
    """Return the geometric mean of the times of a group's runs, with its interval.

    It is for new runs on the machine as it was: what drifts between two groups is cancelled by
    their pairs alone.
    """
    (part,) = parts_of_mean([math.log(value) for value in seconds])
    middle = statistics.mean(math.log(value) for value in seconds)
    return as_ratio(middle, half_width([Part(SERIAL * part.variance, part.freedom)]))


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one table; what does not hold among so many is undecided.

    None is taken to have less noise than half of them: three pairs can agree by luck, where runs
    are either fast or slow, and the more comparisons there are the more often some of them do.
    """
    spreads = [c.error.variance * c.pairs for c in comparisons if c.pairs >= FEWEST]
    least = statistics.median_low(spreads) if spreads else 0.0
    among = len(comparisons)
    sure = [_as_sure(c, Part(max(c.error.variance, least / c.pairs), c.error.freedom))
            for c in comparisons]  # fmt: skip
    found = []
    for c, p in zip(sure, holm([c.p for c in sure]), strict=True):
        word = _word(c, p, among)
        more = _more(c, among) if word == "undecided" else None
        found.append(replace(c, p=p, word=word, more=more, among=among))
    return found


def _as_sure(c: Comparison, error: Part) -> Comparison:
    """Return the comparison with the interval and the p-value that follow from `error`."""
    middle = math.log(c.ratio.value)
    ratio, p = as_ratio(middle, half_width([error])), probability(middle, [error])
    return replace(c, ratio=ratio, p=p, error=error)


def _word(c: Comparison, p: float, among: int) -> Word:
    if c.pairs < FEWEST:
        return "too few"
    if abs(math.log(c.ratio.value)) + half_width([c.error], among) < math.log1p(EQUAL_WITHIN):
        return "equal"
    if p > 1 - CONFIDENCE:
        return "undecided"
    return "faster" if c.ratio.value < 1.0 else "slower"


def _more(c: Comparison, among: int) -> int | None:
    """Return how many more pairs would bring the interval off 1, or inside `EQUAL_WITHIN`.

    `among` comparisons each have to be surer by so much.
    """
    middle, margin = abs(math.log(c.ratio.value)), math.log1p(EQUAL_WITHIN)
    for n in range(c.pairs + 1, c.pairs + MOST_ASKED + 1):
        half = half_width([Part(c.error.variance * c.pairs / n, n - 1)], among)
        if middle > half or middle + half < margin:
            return n - c.pairs
    return None


def _welch(a: Sequence[float], b: Sequence[float]) -> Part:
    """Return the variance of the difference of two means, with Welch's degrees of freedom."""
    (first,), (second,) = parts_of_mean(a), parts_of_mean(b)
    variance = first.variance + second.variance
    squares = first.variance**2 / first.freedom + second.variance**2 / second.freedom
    return Part(variance, variance**2 / squares if 0 < squares < math.inf else 1.0)
