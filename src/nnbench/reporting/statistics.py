"""The statistics of comparison: ratios of times, differences of accuracies, what they tell.

Runs are the units, not epochs: epochs of one run share its process, its memory layout and the mood
of the machine. A run counts by its epoch time (`nnbench.records.run.epoch_time`). Runs with the
same seed are pairs; what pairs share cancels. Intervals are Student's t on logarithms of ratios (on
differences of accuracies): exact for log-normal ratios however few, and close for what timings look
like (tests/reporting/test_statistics.py simulates skewed epochs under between-run variance).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from nnbench.formatting import count

CONFIDENCE = 0.95
EQUAL_WITHIN = 0.02  # ratios no further from 1 than this are as good as equal
FEWEST = 3  # pairs below which nothing is said
MOST_ASKED = 100  # pairs; a question that needs more is not worth asking
OUTLIER = 3.5  # of Iglewicz and Hoaglin, "How to detect and handle outliers", 1993
Word = Literal["faster", "slower", "equal", "undecided", "too few"]


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


@dataclass(frozen=True)
class Comparison:
    """How long `b` takes against `a`: their ratio, from `pairs` runs of each.

    `paired` tells whether runs were matched by seed. `p` is the probability of a ratio this far
    from 1 between equals (of one among several comparisons, corrected by `holm`); `more` estimates
    how many further pairs would decide, None where no reasonable number would. `spread` is the
    standard deviation of the logarithms, `among` how many comparisons the table has.
    """

    ratio: Ratio
    pairs: int
    paired: bool
    p: float
    word: Word
    more: int | None = None
    spread: float = math.inf
    among: int = 1

    def __str__(self) -> str:
        """Return the verdict in words, about b."""
        pairs = count(self.pairs, "pair") if self.paired else "unpaired runs"
        low, high = self.ratio.low, self.ratio.high
        if self.word == "too few":
            return f"too few seeds to tell ({pairs}; {FEWEST} are needed)"
        if self.word == "undecided":
            more = f"; about {count(self.more, 'more pair')} would decide" if self.more else ""
            among = f", one of {self.among} comparisons" if self.among > 1 else ""
            return f"undecided, {low:.2f} to {high:.2f} times as long ({pairs}{among}{more})"
        if self.word == "equal":
            return f"equal within {100 * EQUAL_WITHIN:.0f} % ({low:.2f} to {high:.2f}; {pairs})"
        if self.word == "slower":
            return f"{self.ratio.value:.2f} times as slow ({low:.2f} to {high:.2f}; {pairs})"
        return (
            f"{1 / self.ratio.value:.2f} times as fast ({1 / high:.2f} to {1 / low:.2f}; {pairs})"
        )


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return the geometric mean of `above[i] / below[i]` with its interval.

    The interval is Student's t on the logarithms: exact for paired log-normal ratios, however few.
    """
    middle, half, _ = _t_interval([math.log(a / b) for a, b in zip(above, below, strict=True)])
    return Ratio(math.exp(middle), math.exp(middle - half), _exp(middle + half))


def interval(values: Sequence[float], *, ratios: bool = False) -> Difference:
    """Return the mean of `values` with its interval; of ratios, the geometric mean.

    The ends of the interval of one value are infinitely far.
    """
    if ratios and all(value > 0 for value in values):
        ones = [1.0] * len(values)
        return Difference(*paired_ratio(values, ones))
    middle, half, _ = _t_interval(values)
    return Difference(middle, middle - half, middle + half)


def compare_times(a: Mapping[int, float], b: Mapping[int, float]) -> Comparison:
    """Compare seconds by seed: those of `b` over those of `a`, paired where both have the seed.

    Without two seeds in common, unpaired (Welch's t on logarithms).
    """
    shared = sorted(a.keys() & b.keys())
    if len(shared) > 1 or (len(shared) == 1 and len(a) == len(b) == 1):
        logs = [math.log(b[seed] / a[seed]) for seed in shared]
        middle, half, p = _t_interval(logs)
        pairs, paired = len(shared), True
        spread = statistics.stdev(logs) if len(logs) > 1 else math.inf
    else:
        first, second = ([math.log(value) for value in group.values()] for group in (a, b))
        middle, half, p = _welch(first, second)
        pairs, paired = min(len(a), len(b)), False
        spread = math.sqrt(sum(_variance(logs) for logs in (first, second)))
    ratio = Ratio(math.exp(middle), math.exp(middle - half), _exp(middle + half))
    word = _word(ratio, pairs)
    more = _more(middle, spread, pairs, 1) if word == "undecided" else None
    return Comparison(ratio, pairs, paired, p, word, more, spread)


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[Difference, float]:
    """Return the mean of `b[i] - a[i]` with its interval, and p for none."""
    middle, half, p = _t_interval([y - x for x, y in zip(a, b, strict=True)])
    return Difference(middle, middle - half, middle + half), p


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm, Scand. J. Statist. 6, 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, highest = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one table; what does not hold among so many is undecided."""
    found, among = [], len(comparisons)
    for c, p in zip(comparisons, holm([c.p for c in comparisons]), strict=True):
        lost = c.word in ("faster", "slower") and p > 1 - CONFIDENCE
        word: Word = "undecided" if lost else c.word
        more = c.more
        if word == "undecided":
            more = _more(math.log(c.ratio.value), c.spread, c.pairs, among)
        found.append(replace(c, p=p, word=word, more=more, among=among))
    return found


def outliers(values: Sequence[float]) -> list[int]:
    """Return which values lie far from the rest; they are told, never left out.

    By the modified z-score, 0.6745 |x - median| / MAD, above 3.5 (Iglewicz and Hoaglin, 1993).
    """
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    if deviation == 0.0:
        return []
    return [i for i, v in enumerate(values) if 0.6745 * abs(v - middle) / deviation > OUTLIER]


def _word(ratio: Ratio, pairs: int) -> Word:
    if pairs < FEWEST:
        return "too few"
    if ratio.low > 1 / (1 + EQUAL_WITHIN) and ratio.high < 1 + EQUAL_WITHIN:
        return "equal"
    if ratio.high < 1.0:
        return "faster"
    return "slower" if ratio.low > 1.0 else "undecided"


def _more(middle: float, spread: float, pairs: int, among: int) -> int | None:
    """Return how many more pairs would bring the interval off 1, or inside `EQUAL_WITHIN`.

    `among` comparisons each have to be surer by so much.
    """
    if not math.isfinite(spread):
        return None
    margin = math.log1p(EQUAL_WITHIN)
    for n in range(pairs + 1, pairs + MOST_ASKED + 1):
        half = _t(n - 1, among) * spread / math.sqrt(n)
        if abs(middle) > half or abs(middle) + half < margin:
            return n - pairs
    return None


def _t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, half the width of its interval, and p of a mean this far from 0."""
    n, middle = len(values), statistics.mean(values)
    if n == 1:
        return middle, math.inf, 1.0
    return _around(middle, statistics.stdev(values) / math.sqrt(n), n - 1)


def _welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    middle = statistics.mean(b) - statistics.mean(a)
    if len(a) == 1 or len(b) == 1:
        return middle, math.inf, 1.0
    parts = [_variance(values) / len(values) for values in (a, b)]
    sizes = (len(a), len(b))
    squares = sum(p**2 / (n - 1) for p, n in zip(parts, sizes, strict=True))
    return _around(middle, math.sqrt(sum(parts)), sum(parts) ** 2 / squares if squares else 1.0)


def _around(middle: float, error: float, freedom: float) -> tuple[float, float, float]:
    """Return `middle`, half its interval's width, and p, of a mean with that standard error."""
    if error == 0.0:
        return middle, 0.0, 0.0 if middle else 1.0
    return middle, _t(freedom) * error, _p(middle / error, freedom)


def _variance(values: Sequence[float]) -> float:
    return statistics.variance(values) if len(values) > 1 else math.inf


@functools.cache
def _t(freedom: float, among: int = 1) -> float:
    """Return the quantile of Student's t that intervals reach to."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - (1 - CONFIDENCE) / 2 / among))


def _p(statistic: float, freedom: float) -> float:
    """Return the probability of a statistic of Student's t as far from 0, either way."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(statistic)))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
