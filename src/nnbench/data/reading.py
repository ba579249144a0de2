"""How a file was understood where nobody said, in words; every guess names what sets it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

MOST_CLASSES = 6


def sentence(origin: str, guessed: Mapping[str, Any]) -> str | None:
    """Return one line for people on what was guessed of `origin`, None where nothing was."""
    said = sayings(guessed)
    return f"{origin} read as: {'; '.join(said)}" if said else None


def sayings(guessed: Mapping[str, Any]) -> list[str]:
    """Return a few words on each thing that was guessed; what cannot be read is left out."""
    found = []
    for key, say in _SAYINGS.items():
        with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError):
            if key in guessed:  # a record of others may hold anything
                found.append(say(guessed[key]))
    return found


def _classes(labels: list[str]) -> str:
    pairs = [f"{label}={i}" for i, label in enumerate(labels)]
    if len(pairs) > MOST_CLASSES:
        pairs = [*pairs[: MOST_CLASSES - 1], "...", pairs[-1]]
    return f"classes {', '.join(pairs)}"


def _quoted(names: list[str]) -> str:
    listed = ", ".join(repr(name) for name in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _arrays(names: dict[str, str]) -> str:
    return ", ".join(f"{role} from {name}" for role, name in names.items() if role != name)


_DONE = {"drop": "left out", "mean": "filled with the column's mean"}
_NORMALIZED = {"standard": "standardized", "255": "divided by 255"}
_SAYINGS: dict[str, Callable[[Any], str]] = {
    "encoding": lambda name: f"text in {name}",
    "delimiter": lambda name: f"fields separated by {name} (data.delimiter)",
    "decimal": lambda _: "decimal commas (data.decimal)",
    "header": lambda _: "no header line (data.header)",
    "arrays": _arrays,
    "label": lambda name: f"label in column {name!r} (data.label)",
    "dropped": lambda names: f"without column {_quoted(names)} (data.drop)",
    "missing": lambda found: f"{found['rows']} rows with missing values {_DONE[found['done']]}",
    "classes": _classes,
    "one_hot": lambda width: f"one-hot labels of {width} classes",
    "layout": lambda _: "channels first (data.layout)",
    "pixels": lambda dtype: f"8-bit images stored as {dtype}",
    "normalize": lambda way: f"inputs {_NORMALIZED[way]} (data.normalize)",
}
