"""What was typed, in a message: cut to a length that can be read, and what it may have meant."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from nnbench.formatting import cut, printable

SHOWN_CHARACTERS = 80  # of a value in a message
DEEPEST_SHOWN = 5


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the closest allowed word, or nothing."""
    close = closest(word, allowed)
    return f"; did you mean '{close}'?" if close else ""


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that is most like `word`, small letters or capitals; or None."""
    known = {each.lower(): each for each in reversed(list(allowed))}
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


def told(value: Any) -> str:
    """Return a value as a message shows it: as one types it."""
    return cut(printable(_typed(value)), SHOWN_CHARACTERS)


def _typed(value: Any, depth: int = 0) -> str:
    """Return a value as it is typed: `null`, `true`, `[128,64]`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if depth < DEEPEST_SHOWN and isinstance(value, list | tuple):
        few = itertools.islice(value, SHOWN_CHARACTERS)  # a foreign file's may be long
        return "[" + ",".join(_typed(item, depth + 1) for item in few) + "]"
    if depth < DEEPEST_SHOWN and isinstance(value, Mapping):
        pairs = itertools.islice(value.items(), SHOWN_CHARACTERS)
        return "{" + ",".join(f"{k}:{_typed(v, depth + 1)}" for k, v in pairs) + "}"
    return str(value)
