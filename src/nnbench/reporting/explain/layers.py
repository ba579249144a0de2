"""How two lists of layers differ: which stand for each other, which are inserted or removed.

Layers are what `arch.layers` has: a name, or a mapping with a name. A slot is a pair of layers
that stand for each other, with None for what one of the lists lacks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args

from nnbench.model import layers as spec
from nnbench.model.formulas import FAMILIES

Raw = str | Mapping[str, Any]
Slot = tuple[Raw | None, Raw | None]
# What changes cost: an inserted or removed layer, another function, a layer of another kind.
ALONE, FUNCTION, REPLACED = 2.0, 1.5, 3.5


@cache
def kinds() -> dict[str, Any]:
    """Return the classes of layers by name; activations are one class."""
    return {getattr(kind, "name", ""): kind for kind in get_args(spec.Layer)}


def entry(layer: Raw) -> dict[str, Any]:
    """Return a layer as a mapping, with its defaults where it says nothing."""
    given = {"name": layer} if isinstance(layer, str) else dict(layer)
    kind = kinds().get(given.get("name", ""))
    if kind is None:
        return given
    own = {f.name: f.default for f in dataclasses.fields(kind)}
    return {k: v for k, v in own.items() if v is not dataclasses.MISSING} | given


def documented_value(layer: Raw, key: str) -> Any:
    """Return a layer's constant, the documented one where it has none."""
    given = entry(layer)
    kind = kinds().get(given["name"])
    family = FAMILIES["nnbench"].get(kind, {}) if kind is not None else {}
    value = given.get(key)
    return family.get(key) if value is None else value


def differing(old: Raw, new: Raw) -> list[str]:
    """Return the keys in which two layers of one kind differ."""
    before, after = entry(old), entry(new)
    return [k for k in dict.fromkeys((*before, *after)) if before.get(k) != after.get(k)]


def slots(first: Sequence[Raw], last: Sequence[Raw]) -> list[Slot]:
    """Return both lists as one, aligned so that least has to be changed.

    A key that differs costs 1; see ALONE for the rest.
    """
    best: dict[tuple[int, int], tuple[float, tuple[Slot, ...]]] = {(0, 0): (0.0, ())}
    for i in range(len(first) + 1):
        for j in range(len(last) + 1):
            ways = []
            if i and j:
                cost, way = best[i - 1, j - 1]
                ways.append((cost + _cost(first[i - 1], last[j - 1]), i, j, way))
            if i:
                ways.append((best[i - 1, j][0] + ALONE, i, 0, best[i - 1, j][1]))
            if j:
                ways.append((best[i, j - 1][0] + ALONE, 0, j, best[i, j - 1][1]))
            if ways:
                cost, a, b, way = min(ways, key=lambda each: each[0])
                slot = (first[a - 1] if a else None, last[b - 1] if b else None)
                best[i, j] = (cost, (*way, slot))
    return list(best[len(first), len(last)][1])


def _cost(old: Raw, new: Raw) -> float:
    before, after = entry(old).get("name"), entry(new).get("name")
    if before == after:
        return float(len(differing(old, new)))
    return FUNCTION if not {before, after} & kinds().keys() else REPLACED


def edited(first: Sequence[Raw], last: Sequence[Raw], keys: Sequence[tuple[int, str]]) -> list[Raw]:
    """Return the layers of `first` with those changes that `keys` name, as they are in `last`.

    A key is a slot's position with the layer's key, none for the layer as a whole.
    """
    found: list[Raw] = []
    for i, (old, new) in enumerate(slots(first, last)):
        mine = [key for at, key in keys if at == i]
        whole = old is None or new is None or entry(old)["name"] != entry(new)["name"]
        if whole:
            layer = new if mine else old
        elif old is not None and new is not None and mine:
            layer = entry(old) | {key: entry(new).get(key) for key in mine}
        else:
            layer = old
        if layer is not None:
            found.append(layer)
    return found
