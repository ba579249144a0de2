"""What the Trainers of all backends do alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from nnbench.errors import UnsupportedSpec

V = TypeVar("V")


def supported(table: Mapping[Any, V], key: Any, option: str, backend: str) -> V:
    """Return `table[key]`, the backend's entry for a name or for a class of the description.

    Raises UnsupportedSpec, which lists the entries, where there is none.
    """
    if key not in table:
        known = ", ".join(map(_name, table))
        raise UnsupportedSpec(f"Received {option}={_name(key)}; backend={backend} has {known}.")
    return table[key]


def _name(key: Any) -> str:
    return key if isinstance(key, str) else getattr(key, "name", key.__name__.lower())
