"""Figures as text: percentages, durations, sizes, and curves in a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

EPOCH_TIME = "training time, the median of all epochs but the first"
ONE_EPOCH = "of a single epoch, warm-up included"
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48


def percent(value: float | None) -> str:
    """Format a share from 0 to 1 as per cent."""
    return "-" if value is None else f"{100 * value:.2f}%"


def number(value: float | None) -> str:
    """Format a loss or difference."""
    return "-" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Format seconds with the unit that suits."""
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} us"
    return f"{1e3 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def memory(count: float) -> str:
    """Format bytes as the most that a process had in memory."""
    return f"{count / 2**20:,.0f} MiB at most"


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
