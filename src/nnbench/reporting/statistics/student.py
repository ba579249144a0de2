"""Intervals and probabilities of Student's t, and what a family of verdicts does to them."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Collection, Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
FEWEST = 3  # runs of each side below which nothing is said of times
OUTLIER = 3.5  # of Iglewicz and Hoaglin, "How to detect and handle outliers", 1993
LEAST_P = 1e-12  # the smallest probability that is told


class Ratio(NamedTuple):
    """A ratio and the ends of its 95 % interval, which one pair alone does not have."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not math.isfinite(self.high):
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class Difference(NamedTuple):
    """A difference and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class Part(NamedTuple):
    """A part of a figure's variance, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return the geometric mean of `above[i] / below[i]` with its interval.

    The interval is Student's t on the logarithms: exact for paired log-normal ratios, however few.
    """
    logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
    return as_ratio(statistics.mean(logs), half_width(parts_of_mean(logs)))


def interval(values: Sequence[float], *, ratios: bool = False) -> Difference:
    """Return the mean of `values` with its interval; of ratios, the geometric mean.

    The ends of the interval of one value are infinitely far.
    """
    if ratios and all(value > 0 for value in values):
        ones = [1.0] * len(values)
        return Difference(*paired_ratio(values, ones))
    middle, half = statistics.mean(values), half_width(parts_of_mean(values))
    return Difference(middle, middle - half, middle + half)


def parts_of_mean(values: Sequence[float]) -> list[Part]:
    """Return the variance of the mean of `values`, infinite of one."""
    n = len(values)
    return [Part(statistics.variance(values) / n if n > 1 else math.inf, max(1, n - 1))]


def half_width(parts: Sequence[Part], among: int = 1) -> float:
    """Return half the width of the interval of a figure whose variance has `parts`.

    The half-widths that each part alone would have, added in quadrature: Student's t for one part;
    for several never narrower than Cochran's approximation (Biometrics 20, 1964), and unlike
    Satterthwaite's not deceived by a part that few values make small by luck. `among` figures in
    a family each have to be surer by so much (Bonferroni).
    """
    if any(math.isinf(part.variance) for part in parts):
        return math.inf
    return math.sqrt(sum(part.variance * _t(part.freedom, among) ** 2 for part in parts))


def probability(middle: float, parts: Sequence[Part]) -> float:
    """Return the p-value of `middle`: where the interval of this confidence just reaches 0."""
    if middle == 0.0 or any(math.isinf(part.variance) for part in parts):
        return 1.0
    kept = [part for part in parts if part.variance > 0]
    if not kept:
        return 0.0
    from scipy.special import stdtr, stdtrit

    if len(kept) == 1:
        ((variance, freedom),) = kept
        return float(2 * stdtr(freedom, -abs(middle) / math.sqrt(variance)))
    low, high = math.log(LEAST_P), 0.0
    for _ in range(50):
        guess = (low + high) / 2
        reach = sum(v * float(stdtrit(f, math.exp(guess) / 2)) ** 2 for v, f in kept)
        low, high = (guess, high) if reach > middle**2 else (low, guess)
    return math.exp(high)


def by_pairs(a: Collection[int], b: Collection[int]) -> list[int]:
    """Return the seeds to compare by, none where the groups are better compared as they are.

    Pairs, unless fewer than `FEWEST` seeds are shared and both groups have as many of their own.
    """
    shared = sorted(set(a) & set(b))
    return [] if len(shared) < FEWEST <= min(len(a), len(b)) else shared


def as_ratio(middle: float, half: float) -> Ratio:
    """Return the ratio whose logarithm is `middle`, give or take `half`."""
    high = middle + half
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(high) if high < 700 else
                 math.inf)  # fmt: skip


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm, Scand. J. Statist. 6, 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, highest = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected


def outliers(values: Sequence[float]) -> list[int]:
    """Return which values lie far from the rest; they are told, never left out.

    By the modified z-score, 0.6745 |x - median| / MAD, above 3.5 (Iglewicz and Hoaglin, 1993).
    """
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    if deviation == 0.0:
        return []
    return [i for i, v in enumerate(values) if 0.6745 * abs(v - middle) / deviation > OUTLIER]


@functools.cache
def _t(freedom: float, among: int = 1) -> float:
    """Return the quantile of Student's t that intervals reach to."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - (1 - CONFIDENCE) / 2 / among))
