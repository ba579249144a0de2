"""Figures laid out in inches: room for texts of known length, so that none is drawn to measure it.

An automatic layout draws everything twice, which is half the time of a report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHARACTER = 0.58 / 72  # inches of a character a point high: of wide ones few are in a text
SMALL, TICK = 6.95, 10.0  # points of a legend's and a tick's text
HANDLE = 0.5  # of an entry of a legend
EDGE = 0.2


def beside(labels: Iterable[str]) -> float:
    """Return the room that a small legend with `labels` takes beside its axes."""
    widest = max(map(cell_len, labels), default=0)
    return HANDLE + widest * SMALL * CHARACTER + EDGE if widest else EDGE


def before(labels: Iterable[str]) -> float:
    """Return the room that `labels` at the ticks of a vertical axis take."""
    return max(map(cell_len, labels), default=0) * TICK * CHARACTER + EDGE


class Around(NamedTuple):
    """The room around all axes of a figure, and between their columns and rows."""

    left: float
    right: float = EDGE
    bottom: float = 0.55
    top: float = 0.15
    across: float = 0.0
    down: float = 0.0


def figure(width: float, height: float, around: Around, columns: int = 1, rows: int = 1) -> Figure:
    """Return a figure for axes of `width` and `height` each, and the room `around` them."""
    from matplotlib.figure import Figure

    left, right, bottom, top, across, down = around
    whole = left + columns * width + (columns - 1) * across + right
    high = bottom + rows * height + (rows - 1) * down + top
    found = Figure(figsize=(whole, high))
    found.subplots_adjust(
        left=left / whole, right=1 - right / whole, bottom=bottom / high, top=1 - top / high,
        wspace=across / width, hspace=down / height,
    )  # fmt: skip
    return found
