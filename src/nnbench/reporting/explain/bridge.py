"""From one configuration to another, one change at a time: the bridge that `nnbench explain` runs.

Settings that only work together (`init=native` needs `semantics=native`) change together where no
order of single changes leads across.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.records.identity import deciding
from nnbench.reporting.explain.change import Change, Values, applied, changes
from nnbench.schema.deferred import dataclass

Possible = Callable[[Values], bool]


@dataclass(frozen=True)
class Bridge:
    """Both ends and two ways between them: changes in one order, and in the opposite one.

    They are not quite opposite where a change had to wait for another. `forward[i]` is what there
    is after the first `i` of `changes`, `backward[i]` after the first `i` of `opposite`. Changes of
    one name have one effect, the sum of theirs.
    """

    changes: tuple[Change, ...]
    opposite: tuple[Change, ...]
    forward: tuple[Values, ...]
    backward: tuple[Values, ...]

    @property
    def named(self) -> tuple[Change, ...]:
        """Return the changes, each name once."""
        return tuple({change.name: change for change in reversed(self.changes)}.values())[::-1]


def bridge(
    first: Values, last: Values, possible: Possible, steps: Sequence[Change] | None = None
) -> Bridge:
    """Return the way from `first` to `last`; `possible` tells which configurations can be run.

    `steps` are the changes, each difference one without them. Changes that are not possible alone
    wait for the one that makes them so.
    """
    steps = list(changes(first, last) if steps is None else steps)
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
    done: list[Change] = []
    waiting: list[Change] = []
    taken: list[tuple[Change, ...]] = []

    def take(together: tuple[Change, ...]) -> bool:
        if not possible(applied(first, last, [*done, *together])):
            return False
        done.extend(together)
        taken.append(together)
        return True

    for step in steps:
        tries = [(step,), *((step, other) for other in waiting)]
        together = next((each for each in tries if take(each)), None)
        if together is None:
            waiting.append(step)
            continue
        waiting = [other for other in waiting if other not in together]
        waiting = [other for other in waiting if not take((other,))]
    return [*taken, tuple(waiting)] if waiting else taken


def _path(first: Values, last: Values, steps: Sequence[Change]) -> tuple[Values, ...]:
    if not steps:
        return (first,)
    between = [applied(first, last, steps[:i]) for i in range(1, len(steps))]
    return (first, *between, last)


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


def _join(steps: Sequence[Change]) -> Change:
    keys = tuple(key for step in steps for key in step.keys)
    text = "; ".join(step.text if i == 0 else str(step) for i, step in enumerate(steps))
    formula = all(step.formula for step in steps)
    return Change(keys, " + ".join(step.name for step in steps), text, formula)
