"""What the records behind a study's figures say besides: mixed, or no longer what would run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.formatting import count
from nnbench.records import identity
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.facts import NOT_RECORDED, two
from nnbench.reporting.comparison.fairness import cautions
from nnbench.reporting.comparison.groups import tables
from nnbench.sweeps.plan import Planner

# What keeps runs apart and belongs to no case: the others are settings of the cases.
PLACES = ("machine", "GPU", "cores", "physical cores", "BLAS kernel", "threads in use")


def stale(runs: Sequence[RunResult], cells: Sequence[Cell]) -> list[str]:
    """Say which runs would be others if they were run now, by the settings and the source."""
    asked = {(cell.config.case, cell.config.seed): cell for cell in cells}
    by_difference: dict[str, int] = {}
    planner = Planner(Path())
    for run in runs:
        cell = asked.get((run.config.get("case"), run.config.get("seed", 0)))
        if cell is None:
            continue
        try:
            now = planner.where(cell.config)
        except NNBenchError:
            continue
        found = ", ".join(identity.differing(run.config, run.machine, cell.values, now))
        if found:
            by_difference[found] = by_difference.get(found, 0) + 1
    return [
        f"Caution: {number} of {count(len(runs), 'run')} cannot be repeated to the recorded "
        f"figures: {found}."
        for found, number in by_difference.items()
    ]


def mixed(runs: Sequence[RunResult]) -> list[str]:
    """Say in what else than the settings of their cases the runs differ."""
    found = tables([run for run in runs if run.status in ("finished", "diverged")])
    said = [f"Caution: {c}." for t in found for c in cautions(t.groups, t.varying)]
    for place in PLACES:
        values = [table.apart[place] for table in found]
        other = next(
            (v for v in values if v != values[0] and NOT_RECORDED not in (v, values[0])), 0
        )
        if other:
            said.append(f"Caution: {place}: {' against '.join(two(values[0], other))}.")
    return list(dict.fromkeys(said))
