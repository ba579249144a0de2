"""Many runs, or one: what is finished is taken, the rest is run as the launcher does it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from nnbench import data
from nnbench.config.launcher import LauncherConfig, Slurm
from nnbench.config.run import Cell, RunConfig
from nnbench.data import reading
from nnbench.errors import (
    NNBenchError,
    ResultsError,
    RunBusy,
    RunKilled,
    Stopped,
    SweepFailed,
)
from nnbench.records.folder import any_stopped
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.cells import AS_USUAL, Asked, checked_plan, is_complete, run_or_take_up
from nnbench.sweeps.certify import certify_runs, twins
from nnbench.sweeps.forecast import Waiting, kind
from nnbench.sweeps.launchers.pool import places, run_in_places
from nnbench.sweeps.launchers.slurm import run_on_slurm
from nnbench.sweeps.observer import Observer, Outlook
from nnbench.sweeps.plan import Planner, Step, arrange
from nnbench.sweeps.process import Interrupts
from nnbench.sweeps.session import Place, Session, open_sink

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Failure:
    """A cell that could not be run, and why."""

    cell: Cell
    error: NNBenchError


@dataclass(frozen=True, repr=False)
class SweepResult:
    """What came of a sweep: `runs` in the order of `cells`, those that failed left out.

    `signal` is what stopped it (None: nothing did).
    """

    name: str
    cells: tuple[Cell, ...]
    runs: tuple[RunResult, ...]
    failures: tuple[Failure, ...] = ()
    signal: int | None = None

    def _repr_html_(self) -> str:
        """Return the comparison as a table, for notebooks."""
        return f"<p>{escape(repr(self))}</p>{self.comparison.to_html()}"

    @property
    def left(self) -> int:
        """Return how many cells have no result yet, those that failed included."""
        return len(self.cells) - sum(r.status in ("finished", "diverged") for r in self.runs)

    @property
    def comparison(self) -> pd.DataFrame:
        """Return the runs side by side: what varies among them, and their figures."""
        from nnbench.records.frame import comparison

        return comparison(self.runs)

    def check_stopped(self) -> None:
        """Raise Stopped where a signal stopped it."""
        if self.signal is not None:
            raise Stopped(self.signal, self.left)

    def check_done(self) -> None:
        """Raise Stopped where a signal stopped it, SweepFailed where a run has no end."""
        self.check_stopped()
        if self.failures:
            raise SweepFailed(f"{len(self.failures)} of {len(self.cells)} runs failed (see above)")
        if self.left:
            raise SweepFailed(
                f"{self.left} of {len(self.cells)} runs were stopped. Run the same command again "
                "to resume."
            )

    def check(self) -> None:
        """Raise as `check_done` does, and SweepFailed where a run is wrong.

        Wrong is one that its certificate keeps out of every ranking.
        """
        self.check_done()
        if wrong := sum(not standing(run).ranked for run in self.runs):
            raise SweepFailed(
                f"{wrong} of {len(self.cells)} runs diverge or report wrong figures (see above)"
            )

    def __repr__(self) -> str:
        counts = f"{len(self.runs)} of {len(self.cells)} runs"
        failed = f", {len(self.failures)} failed" if self.failures else ""
        stopped = ", stopped" if self.signal is not None else ""
        return f"<SweepResult {self.name}: {counts}{failed}{stopped}>"


def new_name() -> str:
    """Return the name of a sweep that begins now."""
    return datetime.now().strftime("%Y%m%d-%H%M%S-%f")


def run_sweep(
    cells: Sequence[Cell], sweep: str, observer: Observer | None = None, asked: Asked = AS_USUAL
) -> SweepResult:
    """Run what is not finished yet of `cells`, in a good order, under the name `sweep`.

    Runs that fail are in the result. Raises ConfigError before the first where some are
    impossible.
    """
    observer = observer or Observer()
    with observer.work("plan") as work:
        planner, steps = checked_plan(cells, asked, work)
    config = cells[0].config
    observer.expect(outlook(steps, planner, at_once(config.launcher, cells)))
    several = len(cells) > 1  # else there is nothing to tell it from
    shared = set.intersection(*(set(cell.overrides) for cell in cells)) if several else set()
    tracked = not all(is_complete(step) for step in steps)
    with open_sweep(config, sweep, observer, shared, tracked) as sweeping:
        try:
            sweeping.run(cells, planner)
        finally:
            sweeping.settle()
        runs = sweeping.runs(cells)
        if config.parity and not sweeping.stopping():
            with observer.work("agreement") as work:
                runs = certify_runs(sweeping.session, cells, runs, work)
        if sweeping.session.sink is not None:
            sweeping.session.sink.describe(runs)
    observer.settled(runs)
    failures, number = tuple(sweeping.failures), sweeping.interrupts.signal
    return SweepResult(sweep, tuple(cells), tuple(runs), failures, number)


def run_one(cell: Cell, observer: Observer | None = None, asked: Asked = AS_USUAL) -> RunResult:
    """Run a single cell: anew, unless it was stopped before.

    Raises NNBenchError where it cannot be done, Stopped where somebody asked to stop.
    """
    observer = observer or Observer()
    stopped = None
    if not asked.fresh and any_stopped(Path(cell.config.results)):
        planner, (step,) = checked_plan([cell], asked)
        stopped = step.run if step.state == "stopped" else None
        if step.state != "finished":  # a single run is asked for to be run
            observer.expect(outlook([step], planner))
    interrupts = Interrupts(on_ask=observer.stopping)
    with open_sink(cell.config) as sink, observer, interrupts:
        session = Session(observer, sink, interrupts=interrupts)
        try:
            run = session.run(cell, stopped=stopped)
        except RunKilled:
            if interrupts.signal is not None:
                raise Stopped(interrupts.signal, 1) from None
            raise
        finally:
            settled = session.settle()
        run = settled.get(run.run_id, run)
    observer.settled([run])
    if run.status == "killed":
        raise Stopped(interrupts.signal or signal.SIGTERM, 1)
    return run


def at_once(launcher: LauncherConfig, cells: Sequence[Cell]) -> int:
    """Return how many runs there are at a time."""
    if isinstance(launcher, Slurm):
        return launcher.at_once * launcher.tasks_per_job
    return len(places(launcher, cells))


def outlook(steps: Sequence[Step], planner: Planner, at_once: int = 1) -> Outlook:
    """Return how the cells stand, in numbers."""
    states = [step.state for step in steps]
    left = [step for step in steps if step.state != "finished"]
    return Outlook(
        total=len(steps),
        finished=states.count("finished"),
        stopped=states.count("stopped"),
        changed=tuple(dict.fromkeys(s.reason for s in steps if s.state == "new" and s.reason)),
        unreadable=tuple(planner.folder.problems),
        readings=tuple(readings([step.cell for step in left])),
        waiting=(
            *(Waiting(kind(step.cell.values), step.epochs) for step in left),
            *(Waiting(kind(c.values), c.config.epochs) for c in twins([s.cell for s in left])),
        ),
        places=at_once,
        costs=planner.costs,
    )


def readings(cells: Sequence[Cell]) -> list[str]:
    """Return what was guessed about the files that cells train on, a line for each."""
    lines = (
        reading.sentence(str(getattr(config.data, "path", config.data.name)), outline.guessed)
        for config in (cell.config for cell in cells)
        for outline in [data.outline(config.data, kind=config.task, seed=config.seed)]
    )
    return list(dict.fromkeys(line for line in lines if line))


@contextlib.contextmanager
def open_sweep(
    config: RunConfig, sweep: str, observer: Observer, unnamed: Collection[str], tracked: bool
) -> Iterator[Sweeping]:
    """Open what the runs of a sweep share; `tracked`: MLflow takes part, if it is asked for."""
    interrupts = Interrupts(on_ask=observer.stopping)
    sinks = open_sink(config) if tracked else contextlib.nullcontext()
    with sinks as sink, observer, interrupts:
        yield Sweeping(config, Session(observer, sink, sweep, unnamed, interrupts), interrupts)


class Sweeping:
    """A sweep on its way: sink, observer, signals, and what has come of its cells so far."""

    def __init__(self, config: RunConfig, session: Session, interrupts: Interrupts) -> None:
        self.config, self.session, self.interrupts = config, session, interrupts
        self.observer = session.observer
        self.failures: list[Failure] = []
        self._found: dict[Cell, RunResult] = {}

    def run(self, cells: Sequence[Cell], planner: Planner) -> None:
        """Run the cells as the launcher does it; failures are shown and kept."""
        launcher = self.config.launcher
        arranged = arrange(cells, self.config.order)
        if isinstance(launcher, Slurm):
            names = (self.session.sweep, tuple(self.session.unnamed))
            left = [cell for cell in arranged if not self._take(cell, planner)]
            if left:
                run_on_slurm(left, launcher, self._end, self.stopping, self.observer.say, names)
            return

        def do(cell: Cell, place: Place) -> None:
            try:
                self._found[cell] = run_or_take_up(cell, planner, self.session, place)
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
        self._found = {cell: settled.get(r.run_id, r) for cell, r in self._found.items()}

    def runs(self, cells: Sequence[Cell]) -> list[RunResult]:
        """Return the runs there are of `cells`."""
        return [self._found[cell] for cell in cells if cell in self._found]

    def stopping(self) -> bool:
        """Tell whether no more runs are to begin."""
        return self.interrupts.asked or bool(self.failures and self.config.on_error == "stop")

    def _take(self, cell: Cell, planner: Planner) -> bool:
        """Take the finished run of `cell`, if there is one."""
        if planner.look(cell).state != "finished":
            return False
        self._found[cell] = run_or_take_up(cell, planner, self.session)
        return True

    def _end(self, cell: Cell, result: RunResult | NNBenchError) -> None:
        """Note what a job on a cluster came to, and bring it to MLflow."""
        if isinstance(result, NNBenchError):
            self._fail(cell, result)
            return
        self.observer.begin(result.name, cell).end(result)
        self._found[cell] = self.session.mirror(result)

    def _fail(self, cell: Cell, error: NNBenchError) -> None:
        self.failures.append(Failure(cell, error))
        self.observer.failed(cell, error)
