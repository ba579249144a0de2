"""A setting in which two programs differ."""

from __future__ import annotations

from typing import Any

from nnbench.model.reading import Place
from nnbench.reporting.explain.change import Change
from nnbench.reporting.explain.effects import phrase
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Difference:
    """A setting in which two programs differ: `a` and `b` are its values in words.

    `change` makes it in a run's configuration; `part` is `layers`, `loss`, `optimizer` or
    `schedule`; `key` the setting's own name; `layers` are the positions in A and in B, in the
    common form, of the layers that have it.
    """

    name: str
    a: str
    b: str
    part: str
    key: str
    change: Change
    known: str = ""
    place_a: Place | None = None
    place_b: Place | None = None
    layers: tuple[tuple[int | None, int | None], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.a} against {self.b}"


SWITCHES = {"trainable": ("held still", "learning"), "in_evaluation": ("off", "on")}


def said(key: str, value: Any) -> str:
    """Return a value in the words of its field."""
    if key in SWITCHES:
        return SWITCHES[key][bool(value)]
    return phrase(key, value, None).rpartition(" to ")[0]
