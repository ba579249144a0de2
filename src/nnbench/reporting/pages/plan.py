"""The plan of a sweep in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Group

from nnbench.formatting import duration
from nnbench.reporting.pages.grid import fold, right, titled

STATES = {
    "finished": "finished",
    "running": "running elsewhere",
    "stopped": "to resume",
    "failed": "to run again (failed)",
    "new": "to run",
    "impossible": "impossible",
}


class PlanRow(NamedTuple):
    """One cell of a plan; `seconds` is an estimate, None where that is unknown."""

    overrides: Sequence[str]
    state: str
    seconds: float | None
    reason: str | None


def plan_table(rows: Sequence[PlanRow]) -> Group:
    """Return what a sweep would do, in its order."""
    shared = set.intersection(*(set(row.overrides) for row in rows)) if rows[1:] else set()
    words = " ".join(word for word in rows[0].overrides if word in shared)
    title = f"Plan, each run with {words}" if words else "Plan"
    table = titled(fold("run"), "state", right("time"), fold("why"), title=title)
    left = [row for row in rows if row.state not in ("finished", "impossible")]
    for row in rows:
        estimate = "?" if row.seconds is None else f"about {duration(row.seconds)}"
        words = " ".join(word for word in row.overrides if word not in shared) or "as configured"
        why = row.reason or ""
        table.add_row(words, STATES[row.state], estimate if row in left else "", why)
    number = Counter(row.state for row in rows)
    counts = [f"{number[state]} {words}" for state, words in STATES.items() if number[state]]
    known = [row.seconds for row in left if row.seconds is not None]
    if not left:
        total = "Nothing left to run."
    elif not known:
        total = "No estimate: no comparable run recorded."
    else:
        unknown = len(left) - len(known)
        rest = f", and {unknown} without an estimate" if unknown else ""
        total = f"About {duration(sum(known))}{rest}."
    return Group(table, f"{', '.join(counts)}. {total}")
