"""From one configuration to another, one change at a time: the bridge that `nnbench explain` runs.

Settings that only work together (`init=native` needs `semantics=native`) change together where no
order of single changes leads across.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nnbench.config.backend import label_of
from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.formatting import cut
from nnbench.records.identity import LEFT_OUT, deciding

GROUPS = ("backend", "arch", "data", "init", "loss", "optimizer", "schedule", "device")
UNCHANGED = (*LEFT_OUT, "case")
Values = Mapping[str, Any]
Possible = Callable[[Values], bool]


@dataclass(frozen=True)
class Change:
    """Settings that go from their first to their last value together; `keys` are dotted.

    `name` is what to call it, `text` its values: `loss`, `bce to mse`.
    """

    keys: tuple[str, ...]
    name: str
    text: str

    def __str__(self) -> str:
        """Return name and values."""
        return f"{self.name}: {self.text}"


@dataclass(frozen=True)
class Bridge:
    """Both ends and two ways between them: changes in one order, and in the opposite one.

    They are not quite opposite where a change had to wait for another. `forward[i]` is what there
    is after the first `i` of `changes`, `backward[i]` after the first `i` of `opposite`.
    """

    changes: tuple[Change, ...]
    opposite: tuple[Change, ...]
    forward: tuple[Values, ...]
    backward: tuple[Values, ...]


def changes(first: Values, last: Values) -> list[Change]:
    """Return what differs, each difference a change: a group's option, or a single setting."""
    found = []
    for key in sorted(first.keys() | last.keys(), key=_rank):
        old, new = first.get(key), last.get(key)
        if key in UNCHANGED or old == new:
            continue
        if key == "backend":
            found.append(Change((key,), key, f"{label_of(old)} to {label_of(new)}"))
        elif key in GROUPS and _option(old) != _option(new):
            found.append(Change((key,), key, f"{_told(old, new)} to {_told(new, old)}"))
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            for leaf in dict.fromkeys((*old, *new)):
                if old.get(leaf) != new.get(leaf):
                    text = f"{_short(old.get(leaf))} to {_short(new.get(leaf))}"
                    found.append(Change((f"{key}.{leaf}",), f"{key}.{leaf}", text))
        else:
            found.append(Change((key,), key, f"{_short(old)} to {_short(new)}"))
    return found


def bridge(first: Values, last: Values, possible: Possible) -> Bridge:
    """Return the way from `first` to `last`; `possible` tells which configurations can be run.

    Changes that are not possible alone wait for the one that makes them so.
    """
    steps = changes(first, last)
    while True:
        forward = _order(first, last, steps, possible)
        backward = _order(first, last, steps[::-1], possible)
        joined = [step for step in (*forward, *backward) if len(step) > 1]
        if not joined:
            break
        together = set(joined[0])
        merged = _join([step for step in steps if step in together])
        at = min(steps.index(step) for step in together)
        rest = [step for step in steps if step not in together]
        steps = [*rest[:at], merged, *rest[at:]]
    there = [step for (step,) in forward]
    back = [step for (step,) in backward]
    return Bridge(tuple(there), tuple(back), _path(first, last, there), _path(first, last, back))


def _order(
    first: Values, last: Values, steps: Sequence[Change], possible: Possible
) -> list[tuple[Change, ...]]:
    """Return the steps in an order in which each is possible; those in one tuple go together."""
    current = first
    waiting: list[Change] = []
    taken: list[tuple[Change, ...]] = []
    for step in steps:
        tries = [(step,), *((step, other) for other in waiting)]
        for together in tries:
            if possible(found := applied(current, last, together)):
                current = found
                taken.append(together)
                waiting = [other for other in waiting if other not in together]
                break
        else:
            waiting.append(step)
            continue
        for other in list(waiting):
            if possible(found := applied(current, last, (other,))):
                current = found
                taken.append((other,))
                waiting.remove(other)
    return [*taken, tuple(waiting)] if waiting else taken


def _path(first: Values, last: Values, steps: Sequence[Change]) -> tuple[Values, ...]:
    return tuple(accumulate(steps, lambda at, step: applied(at, last, (step,)), initial=first))


def applied(values: Values, last: Values, steps: Sequence[Change]) -> dict[str, Any]:
    """Return `values` with the settings of `steps` as they are in `last`."""
    found = copy.deepcopy(dict(values))
    for key in (key for step in steps for key in step.keys):
        group, _, leaf = key.partition(".")
        if not leaf:
            found[group] = copy.deepcopy(last.get(group))
        elif leaf in last[group]:
            found[group][leaf] = copy.deepcopy(last[group][leaf])
        else:
            found[group].pop(leaf, None)
    return found


def cell(values: Values, name: str | None = None) -> Cell:
    """Return `values` as a run to do, called `name`. Raises ConfigError where they do not fit."""
    plain = {key: value for key, value in values.items() if key != "config_name"}
    plain |= {"case": None, "name": name}
    return Cell.read(plain)


def is_possible(check: Callable[[Cell], None]) -> Possible:
    """Return a function that tells whether `check` accepts a configuration; each asked once."""
    known: dict[str, bool] = {}

    def possible(values: Values) -> bool:
        key = deciding(values)
        if key not in known:
            try:
                check(cell(values))
                known[key] = True
            except NNBenchError:
                known[key] = False
        return known[key]

    return possible


def _rank(key: str) -> tuple[int, str]:
    """Return a key's place: groups as they are listed, then the other settings."""
    return (GROUPS.index(key) if key in GROUPS else len(GROUPS), key)


def _join(steps: Sequence[Change]) -> Change:
    keys = tuple(key for step in steps for key in step.keys)
    text = "; ".join(step.text if i == 0 else str(step) for i, step in enumerate(steps))
    return Change(keys, " + ".join(step.name for step in steps), text)


def _option(values: Any) -> Any:
    return values.get("name") if isinstance(values, Mapping) else values


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
