"""Run one cell or many, show them, and say how it ended."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nnbench.cli.progress import Display
from nnbench.config.launcher import Slurm
from nnbench.config.run import Cell, RunConfig
from nnbench.errors import (
    ConfigError,
    NNBenchError,
    ResultsError,
    RunBusy,
    RunKilled,
    Stopped,
    SweepFailed,
)
from nnbench.records.run import RunResult, any_stopped
from nnbench.reporting.pages.plan import PlanRow, plan_table
from nnbench.reporting.pages.runs import summary
from nnbench.reporting.pages.tables import comparison
from nnbench.sweeps.launchers.pool import places, run_in_places
from nnbench.sweeps.launchers.slurm import run_on_slurm
from nnbench.sweeps.loop import (
    Asked,
    certify_runs,
    checked_plan,
    is_complete,
    planner_for,
    run_or_take_up,
)
from nnbench.sweeps.plan import Planner, Step, arrange
from nnbench.sweeps.process import Interrupts
from nnbench.sweeps.session import Place, Session, open_sink

Impossible = tuple[Sequence[str], str]
STOPPING = "stopping after this part of the walk; Ctrl-C again: at once"


def run_cells(
    cells: Sequence[Cell],
    sweep: str | None,
    asked: Asked = Asked(),  # noqa: B008 - frozen
    impossible: Sequence[Impossible] = (),
) -> None:
    """Run `cells` and print a summary or, in a sweep, a comparison.

    A single run's error is raised; in a sweep it is shown at once, the rest goes on, and
    SweepFailed is raised at the end. Raises Stopped after Ctrl-C. `impossible` are the overrides of
    cells that no configuration came of, and why.
    """
    console = Console()
    if asked.plan:
        show_plan(cells, console, asked, impossible)
        return
    if impossible:
        first, *others = dict.fromkeys(reason for _, reason in impossible)
        raise ConfigError(first + (f" ({len(others)} other mistakes: --plan)" if others else ""))
    if sweep is None:
        _run_one(cells[0], console, asked)
        return
    runs: list[RunResult] = []
    try:
        failures = run_sweep(cells, sweep, console, runs, asked)
    finally:  # after Ctrl-C too: what is done is worth seeing
        if runs:
            console.print(comparison(runs))
    check_all_ran(len(cells), failures, runs)


def check_all_ran(cells: int, failures: int, runs: Sequence[RunResult]) -> None:
    """Raise SweepFailed where some did not."""
    if failures:
        raise SweepFailed(f"{failures} of {cells} runs failed (see above)")
    if left := cells - len(_over(runs)):
        raise SweepFailed(
            f"{left} of {cells} runs were stopped; the same command goes on with them"
        )


def run_sweep(
    cells: Sequence[Cell],
    sweep: str,
    console: Console,
    runs: list[RunResult],
    asked: Asked = Asked(),  # noqa: B008 - frozen
) -> int:
    """Run what is not finished yet in a good order; add each record to `runs`.

    Returns how many failed.
    """
    planner, steps = checked_plan(cells, asked)
    config = cells[0].config
    _say_what_there_is(steps, planner, console)
    shared = set.intersection(*(set(cell.overrides) for cell in cells))
    finished = sum(step.state == "finished" for step in steps)
    tracked = not all(is_complete(step) for step in steps)
    with Sweeping(config, sweep, console, len(cells), shared, finished, tracked) as sweeping:
        try:
            sweeping.run(cells, planner)
        finally:
            sweeping.settle()
        runs[:] = sweeping.runs(cells)
        if config.parity and not sweeping.stopping():
            runs[:] = certify_runs(sweeping.session, cells, runs, sweeping.display.say)
        if sweeping.session.sink is not None:
            sweeping.session.sink.describe(runs)
    _warn_of_tracking(runs)
    sweeping.raise_if_stopped(len(cells) - len(_over(runs)))
    return len(sweeping.failures)


class Sweeping:
    """A sweep on its way: sink, display, signals, and what has come of its cells so far."""

    def __init__(
        self,
        config: RunConfig,
        sweep: str,
        console: Console,
        total: int,
        unnamed: Collection[str],
        finished: int = 0,
        tracked: bool = True,
    ) -> None:
        self.tracked = tracked
        self.config, self.sweep, self.unnamed = config, sweep, unnamed
        self.display = Display(console, total=total, count=finished)
        self.interrupts = Interrupts(on_ask=lambda: self.display.say(STOPPING))
        self.failures: list[NNBenchError] = []
        self._found: dict[int, RunResult] = {}
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Sweeping:
        sink = None
        if self.tracked:
            sink = self._open.enter_context(open_sink(self.config))
        self._open.enter_context(self.display)
        self._open.enter_context(self.interrupts)
        self.session = Session(self.display, sink, self.sweep, self.unnamed, self.interrupts)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.__exit__(*exception)

    def run(self, cells: Sequence[Cell], planner: Planner) -> None:
        """Run the cells as the launcher does it; failures are shown and kept."""
        launcher = self.config.launcher
        arranged = arrange(cells, self.config.order)
        if isinstance(launcher, Slurm):
            names = (self.sweep, tuple(self.unnamed))
            left = [cell for cell in arranged if not self._take(cell, planner)]
            if left:
                run_on_slurm(left, launcher, self._end, self.stopping, self.display.say, names)
            return

        def do(cell: Cell, place: Place) -> None:
            try:
                self._found[id(cell)] = run_or_take_up(cell, planner, self.session, place)
            except RunBusy:
                raise
            except NNBenchError as error:
                if not (isinstance(error, RunKilled) and self.interrupts.asked):
                    self._fail(cell, error)
            except OSError as error:
                where = f" {error.filename}" if error.filename else ""
                self._fail(cell, ResultsError(f"Cannot use{where}: {error.strerror or error}."))

        run_in_places(arranged, places(launcher, cells), do, self.stopping)

    def settle(self) -> None:
        """Wait for MLflow, and note where the runs are."""
        settled = self.session.settle()
        self._found = {key: settled.get(r.run_id, r) for key, r in self._found.items()}

    def runs(self, cells: Sequence[Cell]) -> list[RunResult]:
        """Return the runs there are of `cells`."""
        return [self._found[id(cell)] for cell in cells if id(cell) in self._found]

    def stopping(self) -> bool:
        """Tell whether no more runs are to begin."""
        return self.interrupts.asked or bool(self.failures and self.config.on_error == "stop")

    def raise_if_stopped(self, left: int) -> None:
        """Raise Stopped where a signal came."""
        if self.interrupts.signal is not None:
            raise Stopped(self.interrupts.signal, left)

    def _take(self, cell: Cell, planner: Planner) -> bool:
        """Take the finished run of `cell`, if there is one."""
        if planner.look(cell).state != "finished":
            return False
        self._found[id(cell)] = run_or_take_up(cell, planner, self.session)
        return True

    def _end(self, cell: Cell, result: RunResult | NNBenchError) -> None:
        """Note what a job on a cluster came to, and bring it to MLflow."""
        if isinstance(result, NNBenchError):
            self._fail(cell, result)
            return
        self.display.begin(result.name, cell.config).end(result)
        self._found[id(cell)] = self.session.mirror(result)

    def _fail(self, cell: Cell, error: NNBenchError) -> None:
        self.failures.append(error)
        self.display.failed(cell, error)


def show_plan(
    cells: Sequence[Cell], console: Console, asked: Asked, impossible: Sequence[Impossible] = ()
) -> None:
    """Print what a sweep would do, in its order, and how long that would take."""
    rows = [PlanRow(words, "impossible", None, reason) for words, reason in impossible]
    if cells or not impossible:
        planner = planner_for(cells, asked)
        steps = planner.plan(arrange(cells, cells[0].config.order))
        rows[:0] = [PlanRow(s.cell.overrides, s.state, planner.seconds(s), s.reason) for s in steps]
        for problem in planner.folder.problems:
            console.print(f"left out: {problem}", markup=False, highlight=False, soft_wrap=True)
    console.print(plan_table(rows))


def _say_what_there_is(steps: Sequence[Step], planner: Planner, console: Console) -> None:
    """Say what is taken from earlier, and what could not be."""
    lines = [f"left out: {problem}" for problem in planner.folder.problems]
    counts = {state: sum(s.state == state for s in steps) for state in ("finished", "stopped")}
    if counts["finished"]:
        lines.append(
            f"{counts['finished']} of {len(steps)} runs are finished already "
            "(--fresh runs them again)"
        )
    if counts["stopped"]:
        one = counts["stopped"] == 1
        words = "goes on where it was stopped" if one else "go on where they were stopped"
        lines.append(f"{counts['stopped']} of {len(steps)} run{'s' * (len(steps) > 1)} {words}")
    reasons = [step.reason for step in steps if step.state == "new" and step.reason]
    lines += [f"a new run: {reason}" for reason in reasons if not reason.startswith("after ")]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _run_one(cell: Cell, console: Console, asked: Asked) -> None:
    """Run a single cell: anew, unless it was stopped before."""
    stopped = None
    if not asked.fresh and any_stopped(Path(cell.config.results)):
        planner, (step,) = checked_plan([cell], asked)
        stopped = step.run if step.state == "stopped" else None
        if step.state != "finished":  # a single run is asked for to be run
            _say_what_there_is([step], planner, console)
    display = Display(console, total=1, on_end=lambda run: console.print(summary(run)))
    interrupts = Interrupts(on_ask=lambda: display.say(STOPPING))
    with open_sink(cell.config) as sink, display, interrupts:
        session = Session(display, sink, interrupts=interrupts)
        try:
            run = session.run(cell, stopped=stopped)
        except RunKilled:
            if interrupts.signal is not None:
                raise Stopped(interrupts.signal, 1) from None
            raise
        finally:
            settled = session.settle()
        run = settled.get(run.run_id, run)
    _warn_of_tracking([run])
    if run.status == "killed":
        raise Stopped(interrupts.signal or signal.SIGTERM, 1)


def _over(runs: Sequence[RunResult]) -> list[RunResult]:
    return [run for run in runs if run.status in ("finished", "diverged")]


def _warn_of_tracking(runs: Sequence[RunResult]) -> None:
    """Say once per message that MLflow did not get a run; the results folder has it."""
    for message in dict.fromkeys(r.tracking["error"] for r in runs if "error" in r.tracking):
        print(f"nnbench: not in MLflow: {message}", file=sys.stderr)
