"""Curves in a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48


def sparkline(
    values: Sequence[float | None], width: int = WIDTH, ends: tuple[float, float] | None = None
) -> str:
    """Return a bar for each value, of many the median of each part; a blank where there is none.

    `ends` are the values of the lowest and the highest bar, so that several lines can be compared.
    """
    parts = [list(values[start:stop]) for start, stop in _cuts(len(values), width)]
    heights = [median(finite) if (finite := _finite(part)) else None for part in parts]
    known = [height for height in heights if height is not None]
    if not known:
        return " " * len(heights)
    low, high = ends or (min(known), max(known))
    span = high - low
    steps = len(BARS) - 1
    return "".join(
        " " if height is None else BARS[round(steps * (height - low) / span) if span else 0]
        for height in heights
    )


def _cuts(n: int, width: int) -> list[tuple[int, int]]:
    count = min(n, width)
    return [(i * n // count, (i + 1) * n // count) for i in range(count)]


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
