"""The plan of a sweep in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group

from nnbench.formatting import count, rough
from nnbench.reporting.pages.grid import fold, right, titled
from nnbench.sweeps.forecast import Estimate

STATES = {
    "finished": "finished",
    "running": "running elsewhere",
    "stopped": "to resume",
    "failed": "to run again (failed)",
    "new": "to run",
    "impossible": "impossible",
}


class PlanRow(NamedTuple):
    """One cell of a plan; `estimate` says how long it takes, None where that is unknown."""

    overrides: Sequence[str]
    state: str
    estimate: Estimate | None
    reason: str | None


def plan_table(rows: Sequence[PlanRow], at_once: int = 1) -> Group:
    """Return what a sweep would do, in its order, `at_once` runs at a time."""
    shared = set.intersection(*(set(row.overrides) for row in rows)) if rows[1:] else set()
    words = " ".join(word for word in rows[0].overrides if word in shared)
    title = f"Plan, each run with {words}" if words else "Plan"
    table = titled(fold("run"), "state", right("time"), fold("why"), title=title)
    left = [row for row in rows if row.state not in ("finished", "impossible")]
    for row in rows:
        estimate = "?" if row.estimate is None else f"about {rough(row.estimate.seconds)}"
        words = " ".join(word for word in row.overrides if word not in shared) or "as configured"
        why = row.reason or ""
        table.add_row(words, STATES[row.state], estimate if row in left else "", why)
    number = Counter(row.state for row in rows)
    counts = [f"{number[state]} {words}" for state, words in STATES.items() if number[state]]
    total = _total(left, at_once) if left else "Nothing left to run."
    return Group(table, f"{', '.join(counts)}. {total}")


def _total(left: Sequence[PlanRow], at_once: int) -> str:
    """Say how long all of it takes, and what that is taken from."""
    known = [row.estimate for row in left if row.estimate is not None]
    if not known:
        return "No estimate: no comparable run recorded."
    unknown = len(left) - len(known)
    seconds = max(sum(e.seconds for e in known) / at_once, *(e.seconds for e in known), 0.0)
    many = f", {at_once} at a time" if at_once > 1 else ""
    by = count(sum({e.cost: e.cost.runs for e in known}.values()), "comparable recorded run")
    rest = f"; {unknown} more without an estimate" if unknown else ""
    most, measured = max(
        ((e.epochs, e.cost.epochs) for e in known), key=lambda each: each[0] / each[1]
    )
    far = (
        f" Extrapolated: runs of {most:,} epochs, and none of more than {measured:,} is recorded."
        if most > measured
        else ""
    )
    return f"About {rough(seconds)}{many}, by {by}{rest}.{far}"
