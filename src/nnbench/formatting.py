"""Figures as text: percentages, durations, sizes, and curves in a line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

EPOCH_TIME = "training time, the median of all epochs but the first"
ONE_EPOCH = "of a single epoch, warm-up included"
ONLY_EPOCH = "that epoch, which includes warm-up"
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48
NAME_CHARACTERS = 80  # of a name that somebody gave, where it is shown
# C0 and C1 control characters, surrogates, and marks that turn the direction of what follows.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def percent(value: float | None) -> str:
    """Format a fraction as a percentage."""
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


# Up to how many seconds an estimate is given in a unit, the seconds of one, and its name.
_ROUGH = (
    (90.0, 1.0, "s"), (5400.0, 60.0, "min"), (1.5 * 86400, 3600.0, "h"),
    (60 * 86400.0, 86400.0, "days"), (2 * 365.25 * 86400, 30.4375 * 86400, "months"),
    (1e6 * 365.25 * 86400, 365.25 * 86400, "years"),
)  # fmt: skip


def rough(seconds: float) -> str:
    """Format an estimate of a time (seconds) to a whole number of the unit that people count in."""
    if math.isnan(seconds):
        return "an unknown time"
    for limit, unit, name in _ROUGH:
        if seconds < limit:
            return f"{max(1, round(seconds / unit)):,} {name}"
    return "more than a million years"


def memory(size: float | None) -> str:
    """Format bytes."""
    return "-" if size is None else f"{size / 2**20:,.0f} MiB"


def count(n: int, noun: str) -> str:
    """Return how many there are: `1 run`, `2 runs`."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def cut(text: str, limit: int) -> str:
    """Return `text`, shortened to `limit` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_inside(text: str, limit: int) -> str:
    """Return `text`, shortened to `limit` characters in its middle: names differ at their ends."""
    end = limit // 3
    return text if len(text) <= limit else f"{text[: limit - end - 3]}...{text[-end:]}"


def printable(text: str) -> str:
    """Return `text` so that a terminal shows it and does nothing else: ESC stands there as \\x1b.

    Line ends and tabs stay.
    """
    return text if text.isprintable() else _UNSEEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def near(path: Path) -> Path:
    """Return `path` relative to the working directory where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def sparkline(
    values: Sequence[float | None], width: int = WIDTH, ends: tuple[float, float] | None = None
) -> str:
    """Return a bar for each value, of many the median of each part; a blank where there is none.

    `ends` are the values of the lowest and the highest bar, so that several lines can be compared.
    """
    parts = [list(values[start:stop]) for start, stop in _cuts(len(values), width)]
    heights = [median(known) if (known := finite(part)) else None for part in parts]
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


def finite(values: Iterable[float | None]) -> list[float]:
    """Return those of `values` that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
