"""How far work is, told to whoever shows it; from another process, in lines of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Called with how much is done, of how much in all (0: unknown), and what is being done.
Tell = Callable[[float, float, str], None]
MARK = '{"progress": '


def nobody(done: float, total: float, what: str) -> None:
    """Tell nobody."""


def counted(items: Sequence[T], tell: Tell, what: str) -> Iterator[T]:
    """Yield `items`, telling before each how many are done, and at the end that all are."""
    for done, item in enumerate(items):
        tell(done, len(items), f"{what} {done + 1:,} of {len(items):,}")
        yield item
    tell(len(items), len(items), "")


def part(tell: Tell, start: float, end: float) -> Tell:
    """Return what tells of a part of the work: from the fraction `start` of the whole to `end`."""

    def of_part(done: float, total: float, what: str) -> None:
        fraction = min(1.0, done / total) if total > 0 else 0.0
        tell(start + (end - start) * fraction, 1.0, what)

    return of_part


def line(done: float, total: float, what: str) -> str:
    """Return a line for another process, which `read` reads."""
    return f"{MARK}{json.dumps([done, total, what])}}}"


def read(text: str) -> tuple[float, float, str] | None:
    """Return what a line tells, None for a line that is something else."""
    if not text.startswith(MARK):
        return None
    try:
        done, total, what = json.loads(text)["progress"]
        found = float(done), float(total), str(what)
    except (ValueError, TypeError, KeyError):
        return None
    return found if all(map(math.isfinite, found[:2])) else None
