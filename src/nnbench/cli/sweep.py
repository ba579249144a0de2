"""Run one cell or many, show them, and say how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.cli.progress import Display
from nnbench.config.run import Cell
from nnbench.errors import ConfigError
from nnbench.reporting.pages.plan import PlanRow, plan_table
from nnbench.reporting.pages.runs import summary
from nnbench.reporting.pages.screen import Screen
from nnbench.reporting.pages.tables import comparison
from nnbench.sweeps.cells import AS_USUAL, Asked, planner_for
from nnbench.sweeps.loop import at_once, run_one, run_sweep
from nnbench.sweeps.plan import arrange

Impossible = tuple[Sequence[str], str]


def run_cells(
    cells: Sequence[Cell],
    sweep: str | None,
    asked: Asked = AS_USUAL,
    impossible: Sequence[Impossible] = (),
) -> None:
    """Run `cells` and print a summary or, in a sweep, a comparison.

    A single run's error is raised; in a sweep it is shown at once, the rest goes on, and
    SweepFailed is raised at the end. Raises Stopped after Ctrl-C. `impossible` are the overrides of
    cells that no configuration came of, and why.
    """
    console = Screen()
    if asked.plan:
        show_plan(cells, console, asked, impossible)
        return
    if impossible:
        first, *others = dict.fromkeys(reason for _, reason in impossible)
        raise ConfigError(first + (f" ({len(others)} other mistakes: --plan)" if others else ""))
    if sweep is None:
        display = Display(console, on_end=lambda run: console.print(summary(run)))
        run_one(cells[0], display, asked)
        return
    result = run_sweep(cells, sweep, Display(console), asked)
    if result.runs:
        console.print(comparison(result.runs))
    result.check()


def show_plan(
    cells: Sequence[Cell], console: Screen, asked: Asked, impossible: Sequence[Impossible] = ()
) -> None:
    """Print what a sweep would do, in its order, and how long that would take."""
    rows = [PlanRow(words, "impossible", None, reason) for words, reason in impossible]
    together = 1
    if cells or not impossible:
        planner = planner_for(cells, asked)
        with Display(console).work("plan") as work:
            steps = planner.plan(arrange(cells, cells[0].config.order), work)
        together = at_once(cells[0].config.launcher, cells)
        rows[:0] = [
            PlanRow(
                step.cell.overrides,
                step.state,
                planner.estimate(step),
                f"after {step.waits_for}" if step.waits_for else step.reason,
            )
            for step in steps
        ]
        for problem in planner.folder.problems:
            console.print(f"left out: {problem}", markup=False, highlight=False, soft_wrap=True)
    console.print(plan_table(rows, together))
