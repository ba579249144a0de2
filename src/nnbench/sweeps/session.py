"""From cells to recorded runs: one fresh process each, followed, recorded and tracked."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nnbench.config.installation import lacks, need
from nnbench.config.run import Cell, RunConfig
from nnbench.errors import NNBenchError, ResultsError, RunBusy, RunFailed, RunKilled
from nnbench.records.files import write_atomically
from nnbench.records.flags import Flag, SlowClock
from nnbench.records.lookup import find_weights, make_directory, run_name
from nnbench.records.run import CONFIG_NAME, RECORD_NAME, RUNS_NAME, EpochRecord, RunResult, Status
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.sweeps.observer import Follower, Observer, Telling
from nnbench.sweeps.process import Interrupts, run_isolated
from nnbench.training.job import Job

if TYPE_CHECKING:
    from nnbench.tracking.mlflow import MlflowSink

PARITY_NAME = "parity"
# What a run's own clock may miss of its process: starting and ending it, on a busy machine too.
CLOCK_SHARE = 0.1
CLOCK_SECONDS = 3.0


@contextlib.contextmanager
def open_sink(config: RunConfig) -> Iterator[MlflowSink | None]:
    """Open the sink that `tracking` asks for, None for the results folder alone."""
    if config.tracking.name == "local":
        yield None
        return
    from nnbench.tracking.mlflow import MlflowSink

    need("tracking=mlflow", "mlflow", otherwise="record in the results folder: tracking=local")
    sink = MlflowSink(config.tracking, Path(config.results))
    try:
        yield sink
    finally:
        sink.close()


@dataclass(frozen=True)
class Place:
    """Where a worker runs: the `cores` it may use (None: all), its environment, what to say of it.

    `flags` are for the record, as that other runs were timed beside it.
    """

    cores: tuple[int, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    flags: tuple[Flag, ...] = ()


ANYWHERE = Place()


class Session:
    """Runs cells under one sink; several threads may share it.

    MLflow takes the end of a run while the next one begins: call `settle` when all are done.
    `unnamed` are the overrides that all runs share, so that names need not tell them.
    """

    def __init__(
        self,
        observer: Observer,
        sink: MlflowSink | None,
        sweep: str | None = None,
        unnamed: Collection[str] = (),
        interrupts: Interrupts | None = None,
    ) -> None:
        self.observer, self.sink, self.sweep, self.unnamed = observer, sink, sweep, unnamed
        self.interrupts = interrupts
        self._open: list[tuple[RunResult, Callable[[], dict[str, Any]]]] = []

    def run_nudged(
        self, cell: Cell, stopped: RunResult | None = None, tell: Tell = nobody
    ) -> RunResult:
        """Run `cell` from one ulp away, out of sight: for a certificate, not for tables.

        Raises RunKilled where somebody asks to stop.
        """
        quiet = Session(Telling(tell), None, self.sweep, interrupts=self.interrupts)
        run = quiet.run(cell, folder=PARITY_NAME, nudged=True, stopped=stopped)
        if run.status == "killed":
            raise RunKilled(f"{run.shown}: {run.message}")
        return run

    def certify(self, run: RunResult, parity: dict[str, Any]) -> RunResult:
        """Add a parity certificate to a run's record and to its mirror; return the run with it."""
        run = dataclasses.replace(run, parity=parity)
        with contextlib.suppress(ResultsError):
            run.write()
        if self.sink is not None:
            self.sink.finishing(run)
        return run

    def mirror(self, run: RunResult) -> RunResult:
        """Give MLflow what it lacks of a run that is over; `settle` notes what came of it."""
        if self.sink is not None:
            self._open.append((run, self.sink.finishing(run)))
        return run

    def settle(self) -> dict[str, RunResult]:
        """Wait for what MLflow is still taking, bounded; note in each record where it is.

        Returns these runs by id.
        """
        settled = {}
        while self._open:
            run, wait = self._open.pop(0)
            where = {"experiment": run.config["tracking"]["experiment"]}
            settled[run.run_id] = done = dataclasses.replace(run, tracking=wait() | where)
            with contextlib.suppress(ResultsError):  # a full disk has been, or will be, shown
                done.write()
        return settled

    def run(
        self,
        cell: Cell,
        folder: str = RUNS_NAME,
        nudged: bool = False,
        stopped: RunResult | None = None,
        place: Place = ANYWHERE,
    ) -> RunResult:
        """Run one cell in a worker; return its record, kept in `folder` of the results.

        `stopped` is the run of the same cell to go on with. The record says `killed` where
        somebody asked to stop. Raises NNBenchError where it could not be done. A run that ended
        before its first epoch leaves nothing behind.
        """
        check_packages(cell.config)
        job = self._job(cell, folder, stopped, nudged, place)
        run: RunResult | None = None
        watcher = Follower()
        try:
            text = yaml.safe_dump(cell.values, sort_keys=False)
            write_atomically(job.directory / CONFIG_NAME, text.encode())
            watcher = self.observer.begin(job.name, cell)
            mirror = _Mirror(job.directory, watcher, self.sink)
            start = time.monotonic()
            run_isolated(job, mirror, self.interrupts, dict(place.environment))
            run = _timed(RunResult.read(job.directory), stopped, time.monotonic() - start)
        except (KeyboardInterrupt, NNBenchError, OSError) as error:
            if isinstance(error, RunBusy):  # somebody else's
                raise
            # A full disk is no fault of the run: it goes on when there is space.
            from_outside = isinstance(error, KeyboardInterrupt | RunKilled | ResultsError)
            status: Status = "killed" if from_outside else "failed"
            run = _close_record(job.directory, status, str(error) or "interrupted")
            # Without a record, all there can be is the log of a crash.
            if run is None and (from_outside or not isinstance(error, RunFailed)):
                shutil.rmtree(job.directory, ignore_errors=True)
            raise
        finally:
            watcher.end(run)
            if run is not None:
                self.mirror(run)
        return run

    def _job(
        self, cell: Cell, folder: str, stopped: RunResult | None, nudged: bool, place: Place
    ) -> Job:
        """Return the run as its worker gets it, in a new folder unless it was `stopped`."""
        weights = find_weights(cell.config)
        if stopped is not None:
            assert stopped.directory is not None
            name, run_id, created = stopped.name, stopped.run_id, stopped.created
            directory = stopped.directory
        else:
            name, run_id = run_name(cell, self.unnamed), "r" + secrets.token_hex(6)
            created = datetime.now(UTC).isoformat(timespec="milliseconds")
            directory = make_directory(Path(cell.config.results), name, folder)
        return Job(
            values=cell.values,
            run_id=run_id,
            name=name,
            created=created,
            directory=directory,
            weights=weights,
            sweep=self.sweep,
            nudged=nudged,
            resume=stopped is not None,
            flags=place.flags,
            cores=place.cores,
        )


class _Mirror:
    """Passes a worker's events to who watches and its records to the sink."""

    def __init__(self, directory: Path, watcher: Follower, sink: MlflowSink | None) -> None:
        self.directory, self.watcher, self.sink = directory, watcher, sink
        self.run: RunResult | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        self.watcher.event(event)
        if self.sink is None:
            return
        if event["event"] == "start":
            self.run = RunResult.read(self.directory)
            self.sink.start(self.run)
        elif event["event"] == "epoch" and self.run is not None:
            self.sink.epochs(self.run, [EpochRecord(**event["record"])])


def _timed(run: RunResult, stopped: RunResult | None, elapsed: float) -> RunResult:
    """Return `run`, flagged where its own clock counted much less than the `elapsed` seconds."""
    own = run.phases.wall_seconds - (stopped.phases.wall_seconds if stopped else 0.0)
    if own >= (1 - CLOCK_SHARE) * elapsed - CLOCK_SECONDS:
        return run
    run = dataclasses.replace(run, flags=(*run.flags, SlowClock(own, elapsed)))
    run.write()
    return run


def _close_record(directory: Path, status: Status, message: str) -> RunResult | None:
    """Mark the record in `directory` as ended early; None where there is none yet.

    A full disk may refuse the mark; what the run has written stays as it is.
    """
    if not (directory / RECORD_NAME).exists():
        return None
    run = dataclasses.replace(RunResult.read(directory), status=status, message=message)
    with contextlib.suppress(ResultsError):
        run.write()
    return run


def check_packages(config: RunConfig) -> None:
    """Raise MissingPackage where the backend's packages are not installed."""
    for package in config.backend.packages:
        if importlib.util.find_spec(package) is None:
            raise lacks(f"backend={config.backend.name}", package, config.backend.extra)
