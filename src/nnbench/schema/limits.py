"""What a value may be: intervals of numbers, texts of some length and form."""

from __future__ import annotations

import math
import re
from typing import Any, Protocol

from nnbench.schema.deferred import dataclass

LARGEST = 2**63 - 1  # what 64 bits hold, as files and frameworks have it


class Limit(Protocol):
    """What a value may be; as text it follows "must be"."""

    def __contains__(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Range:
    """An interval of allowed numbers; `low_open` and `high_open` exclude the end itself."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'greater than' if self.low_open else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'less than' if self.high_open else 'at most'} {self.high:g}")
        return " and ".join(parts)


def at_least(low: float) -> Range:
    """Allow `low` and everything above it."""
    return Range(low=low)


def above(low: float) -> Range:
    """Allow everything above `low`, not `low` itself."""
    return Range(low=low, low_open=True)


def within(low: float, high: float, *, high_open: bool = False) -> Range:
    """Allow the interval from `low` to `high`."""
    return Range(low=low, high=high, high_open=high_open)


_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*"


@dataclass(frozen=True)
class Text:
    """Text of at most `most` characters that `pattern` matches whole; `said` is that in words.

    Without a pattern it is any text without control characters.
    """

    most: int
    said: str
    pattern: str = ""

    def __contains__(self, value: str) -> bool:
        if len(value) > self.most:
            return False
        return (not self.pattern and value.isprintable()) or bool(
            re.fullmatch(self.pattern or _PRINTABLE, value)
        )

    def __str__(self) -> str:
        return f"{self.said}, at most {self.most} characters"


@dataclass(frozen=True)
class Unknown:
    """None in place of a number that is not finite, as JSON has it."""

    def __contains__(self, value: Any) -> bool:
        return True


UNKNOWN = Unknown()
NAME = Text(120, "printable text")
