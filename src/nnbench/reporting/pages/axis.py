"""Ticks that are read at a glance: whole epochs, per cent, and a few plain numbers of ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

FEWEST, MOST = 3, 7  # ticks of a logarithmic axis
# The finer the steps within a power of ten, the later they are tried.
STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
LINEAR = (1.0, 2.0, 2.5, 5.0)


def epochs(axis: Any) -> None:
    """Write whole numbers along an axis of epochs."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def per_cent(axis: Any) -> None:
    """Write fractions along an axis as per cent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))


def logarithmic(axis: Any, low: float, high: float) -> None:
    """Write plain numbers, two or three at the least, along a logarithmic `axis` from low to high.

    The axis is set to that range.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (low, high)})
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_locator(NullLocator())  # they would be made, and not be seen


def log_ticks(low: float, high: float) -> list[float]:
    """Return ticks between `low` and `high` that read well: 1, 2, 5, or finer where there is less.

    Where even the finest steps leave fewer than `FEWEST`, they are evenly spaced numbers.
    """
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    for steps in STEPS:
        found = [s * 10.0**k for k in decades for s in steps if low <= s * 10.0**k <= high]
        if len(found) >= FEWEST:
            return found[:: -(-len(found) // MOST)]
    return even_ticks(low, high)


def even_ticks(low: float, high: float) -> list[float]:
    """Return `FEWEST` or more multiples of a plain step between `low` and `high`."""
    power = math.floor(math.log10(high - low))
    for size in (power, power - 1):
        for step in reversed(LINEAR):
            width = step * 10.0**size
            first, last = math.ceil(low / width), math.floor(high / width)
            if last - first + 1 >= FEWEST:
                return [round(i * width, 12) for i in range(first, last + 1)]
    return [low, high]


def plain(value: float) -> str:
    """Return a number as people write it: 0.02, 1, 20, 5,000."""
    return f"{value:,.4g}" if value < 1e4 else f"{value:.3g}" if value >= 1e6 else f"{value:,.0f}"


def around(values: Sequence[float], share: float = 0.08) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that holds positive `values`, with a margin."""
    low, high = min(values), max(values)
    margin = max((high / low) ** share, 1.02)
    return low / margin, high * margin
