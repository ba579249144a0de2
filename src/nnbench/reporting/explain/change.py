"""What differs between two configurations: changes, and how each is made."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nnbench.config.backend import label_of
from nnbench.formatting import cut
from nnbench.model.network import describe
from nnbench.records.identity import LEFT_OUT
from nnbench.reporting.explain.effects import documented, effect_of, phrase
from nnbench.reporting.explain.layers import (
    Raw,
    differing,
    documented_value,
    edited,
    entry,
    kinds,
    slots,
)
from nnbench.schema.deferred import dataclass

GROUPS = ("backend", "arch", "data", "init", "loss", "optimizer", "schedule", "device")
UNCHANGED = (*LEFT_OUT, "case")
LAYER = re.compile(r"arch\.layers\[(\d+)\]\.?(\w*)")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """Settings that go from their first to their last value together; `keys` are dotted.

    `name` is what to call it, `text` its values: `loss`, `bce to mse`. A key of a layer is
    `arch.layers[2].epsilon`, by its slot (`nnbench.reporting.explain.layers`). `formula`: it is one
    framework's formula or constant, another's after it; `known`: what such a change is known to do.
    """

    keys: tuple[str, ...]
    name: str
    text: str
    formula: bool = False
    known: str = ""

    def __str__(self) -> str:
        """Return name and values."""
        return f"{self.name}: {self.text}"


def changes(first: Values, last: Values) -> list[Change]:
    """Return what differs: a group's option, a single setting, a layer, or a key of a layer."""
    found: list[Change] = []
    for key in sorted(first.keys() | last.keys(), key=_rank):
        old, new = first.get(key), last.get(key)
        if key in UNCHANGED or old == new:
            continue
        if key == "backend":
            found.append(Change((key,), key, f"{label_of(old)} to {label_of(new)}"))
        elif key in GROUPS and _option(old) != _option(new):
            named = sorted((str(_option(old)), str(_option(new))))
            known = effect_of(" and ".join(named), key)
            text = f"{_told(old, new)} to {_told(new, old)}"
            found.append(Change((key,), key, text, known=known))
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            for leaf in dict.fromkeys((*old, *new)):
                if old.get(leaf) == new.get(leaf):
                    continue
                if (key, leaf) == ("arch", "layers"):
                    found += _layer_changes(old[leaf], new[leaf])
                    continue
                text = _leaf_text(first, last, key, leaf)
                known = effect_of(str(old["name"]), leaf) if key == "optimizer" else ""
                found.append(Change((f"{key}.{leaf}",), f"{key}.{leaf}", text, known=known))
        else:
            found.append(Change((key,), key, f"{_short(old)} to {_short(new)}"))
    return found


def applied(first: Values, last: Values, steps: Sequence[Change]) -> dict[str, Any]:
    """Return `first` with the settings of `steps` as they are in `last`."""
    found = copy.deepcopy(dict(first))
    of_layers = []
    for key in (key for step in steps for key in step.keys):
        if layer := LAYER.fullmatch(key):
            of_layers.append((int(layer[1]), layer[2]))
            continue
        group, _, leaf = key.partition(".")
        if not leaf:
            found[group] = copy.deepcopy(last.get(group))
        elif leaf in last[group]:
            found[group][leaf] = copy.deepcopy(last[group][leaf])
        else:
            found[group].pop(leaf, None)
    if of_layers:
        found["arch"]["layers"] = edited(first["arch"]["layers"], last["arch"]["layers"], of_layers)
    return found


def _layer_changes(first: Sequence[Raw], last: Sequence[Raw]) -> Iterator[Change]:
    """Yield the changes inside a list of layers; positions count from 1, in A where it has one."""
    before = after = 0
    for i, (old, new) in enumerate(slots(first, last)):
        before, after = before + (old is not None), after + (new is not None)
        slot = f"arch.layers[{i}]"
        if old is None:
            assert new is not None
            yield Change((slot,), f"layer {after} inserted", _described(new))
        elif new is None:
            yield Change((slot,), f"layer {before} removed", _described(old))
        elif entry(old)["name"] != entry(new)["name"]:
            text = f"{_described(old)} to {_described(new)}"
            yield Change((slot,), f"layer {before}", text)
        else:
            name = f"layer {before} {entry(old)['name']}"
            for key in differing(old, new):
                text = phrase(key, *(documented_value(x, key) for x in (old, new)))
                known = effect_of(entry(old)["name"], key)
                yield Change((f"{slot}.{key}",), f"{name} {key}", text, known=known)


def _described(layer: Raw) -> str:
    """Return a layer in a few words: `dropout rate=0.2`."""
    given = entry(layer)
    kind = kinds().get(given["name"])
    if kind is None:  # an activation has its name alone
        return str(given["name"])
    return cut(describe(kind(**{k: v for k, v in given.items() if k != "name"})), 60)


def _rank(key: str) -> tuple[int, str]:
    """Return a key's place: groups as they are listed, then the other settings."""
    return (GROUPS.index(key) if key in GROUPS else len(GROUPS), key)


def _option(values: Any) -> Any:
    return values.get("name") if isinstance(values, Mapping) else values


def _leaf_text(first: Values, last: Values, group: str, leaf: str) -> str:
    """Return the values of a setting; of a constant or a form what null means."""
    values = [each[group].get(leaf) for each in (first, last)]
    if group != "optimizer":
        return " to ".join(map(_short, values))
    usual = [documented(each, leaf) for each in (first, last)]
    return phrase(leaf, *(u if v is None else v for v, u in zip(values, usual, strict=True)))


def _told(values: Any, other: Any) -> str:
    """Return an option with those of its settings that `other` has otherwise or not at all."""
    if not isinstance(values, Mapping):
        return _short(values)
    known = other if isinstance(other, Mapping) else {}
    own = {k: v for k, v in values.items() if k != "name" and known.get(k) != v}
    rest = ", ".join(f"{k}={_short(v)}" for k, v in own.items() if v is not None)
    return f"{values.get('name')} ({rest})" if rest else str(values.get("name"))


def _short(value: Any) -> str:
    return cut("none" if value is None else str(value), 60)
