"""The statistics of comparison."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    """A ratio and the ends of its 95 % interval, which one pair alone does not have."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if not math.isfinite(self.high):
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return the geometric mean of `above[i] / below[i]` with its interval.

    The interval is Student's t on the logarithms: exact for paired log-normal ratios, however few.
    """
    from scipy.stats import t

    logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
    middle = statistics.mean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(middle), 0.0, math.inf)
    half = t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half))
