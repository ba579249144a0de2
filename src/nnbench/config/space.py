"""What a search may vary, read from overrides: `interval(0.01,1)`, `range(32,257,32)`, `a,b`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nnbench.schema.deferred import dataclass

REPEATED = ("seed", "backend")  # a search tries each point with all of them


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole ones where `step` says so."""

    low: float
    high: float
    step: float | None = None
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    """One of `options`, each as it is typed."""

    options: tuple[str, ...]


Space = Mapping[str, Interval | Choice]


@dataclass(frozen=True)
class Question:
    """What to search: a `space`, with `fixed` overrides, each point with every mix of `grid`."""

    space: Space
    fixed: tuple[str, ...]
    grid: tuple[tuple[str, ...], ...]


def read_question(overrides: Iterable[Any]) -> Question:
    """Tell the space from what is fixed in `overrides`, as Hydra's parser returns them."""
    space: dict[str, Interval | Choice] = {}
    fixed, grid = [], []
    for override in overrides:
        key, value = override.get_key_element(), override.value()
        if not override.is_sweep_override():
            fixed.append(f"{key}={override.get_value_element_as_str()}")
        elif override.is_interval_sweep():
            whole = isinstance(value.start, int) and isinstance(value.end, int)
            space[key] = Interval(value.start, value.end, log="log" in value.tags, whole=whole)
        elif override.is_range_sweep():  # as in Python, the end is not part of a range
            whole = all(isinstance(n, int) for n in (value.start, value.stop, value.step))
            count = math.ceil((value.stop - value.start) / value.step) - 1
            high = value.start + count * value.step
            space[key] = Interval(value.start, high, value.step, "log" in value.tags, whole)
        else:
            words = tuple(override.sweep_string_iterator())
            if key in REPEATED:
                grid.append(tuple(f"{key}={word}" for word in words))
            else:
                space[key] = Choice(words)
    return Question(space, tuple(fixed), tuple(grid))
