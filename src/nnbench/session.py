"""From cells to recorded runs: one fresh process each, followed, recorded and tracked."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml

from nnbench.compose import Cell
from nnbench.config import RunConfig
from nnbench.errors import ConfigError, MissingPackage, NNBenchError, ResultsError, RunFailed
from nnbench.init import FromRun
from nnbench.isolate import run_isolated
from nnbench.record import (
    RECORD_NAME,
    EpochRecord,
    RunResult,
    Status,
    read_runs,
)

CONFIG_NAME = "config.yaml"
# Overrides that a run's name leaves out: they are in it already, or decide no figure.
UNNAMED = ("backend", "batch_size", "seed", "epochs", "results", "name", "experiment", "tracking")


class Observer(Protocol):
    """Who watches runs: a progress display, or nobody."""

    def begin(self, name: str, config: RunConfig) -> None:
        """A run's process is being started."""

    def event(self, event: dict[str, Any]) -> None:
        """The worker reports; see `nnbench.runner.execute`."""

    def end(self, run: RunResult | None) -> None:
        """The run has ended; None where it left no record."""


class Silent:
    """An observer that shows nothing."""

    def begin(self, name: str, config: RunConfig) -> None:
        """Show nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """Show nothing."""

    def end(self, run: RunResult | None) -> None:
        """Show nothing."""


class Sink(Protocol):
    """Where runs are mirrored; see `nnbench.tracking.mlflow.MlflowSink`."""

    def start(self, run: RunResult) -> None: ...  # noqa: D102

    def epochs(self, run: RunResult, records: Sequence[EpochRecord]) -> None: ...  # noqa: D102

    def finish(self, run: RunResult) -> dict[str, Any]: ...  # noqa: D102

    def certify(self, run: RunResult) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


@contextlib.contextmanager
def open_sink(config: RunConfig) -> Iterator[Sink | None]:
    """Open the sink that `tracking` asks for, None for the results folder alone."""
    if config.tracking.name == "local":
        yield None
        return
    from nnbench.tracking.mlflow import MlflowSink

    sink = MlflowSink(config.tracking, Path(config.results))
    try:
        yield sink
    finally:
        sink.close()


class Session:
    """Runs cells one after the other, under one sink.

    `unnamed` are the overrides that all runs share, so that names need not tell them.
    """

    def __init__(
        self,
        observer: Observer,
        sink: Sink | None,
        sweep: str | None = None,
        unnamed: Collection[str] = (),
    ) -> None:
        self.observer, self.sink, self.sweep, self.unnamed = observer, sink, sweep, unnamed

    def run_nudged(self, cell: Cell) -> RunResult:
        """Run `cell` from one ulp away, out of sight: for a certificate, not for tables."""
        quiet = Session(Silent(), None, self.sweep)
        return quiet.run(cell, folder="parity", nudged=True)

    def certify(self, run: RunResult, parity: dict[str, Any]) -> RunResult:
        """Add a parity certificate to a run's record and to its mirror; return the run with it."""
        run = dataclasses.replace(run, parity=parity)
        with contextlib.suppress(ResultsError):
            run.write()
        if self.sink is not None:
            self.sink.certify(run)
        return run

    def run(self, cell: Cell, folder: str = "runs", nudged: bool = False) -> RunResult:
        """Run one cell in a worker; return its record, kept in `folder` of the results.

        Raises NNBenchError where it could not be done. A run that ended before its first epoch
        leaves nothing behind.
        """
        check_packages(cell.config)
        weights = find_weights(cell.config)
        name = run_name(cell, self.unnamed)
        directory = make_directory(Path(cell.config.results), name, folder)
        follower = _Follower(directory, self.observer, self.sink)
        job = {
            "values": cell.values,
            "run_id": "r" + secrets.token_hex(6),
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "directory": str(directory),
            "weights": str(weights) if weights else None,
            "sweep": self.sweep,
            "nudged": nudged,
        }
        run: RunResult | None = None
        try:
            (directory / CONFIG_NAME).write_text(yaml.safe_dump(cell.values, sort_keys=False))
            self.observer.begin(name, cell.config)
            run_isolated(cell.config, job, follower)
            run = RunResult.read(directory)
        except (KeyboardInterrupt, NNBenchError, OSError) as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            status: Status = "killed" if interrupted else "failed"
            run = _close_record(directory, status, str(error) or "interrupted")
            # Without a record, all there can be is the log of a crash.
            if run is None and not isinstance(error, RunFailed):
                shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            self.observer.end(run)
            run = self._finish(run)
        return run

    def _finish(self, run: RunResult | None) -> Any:
        """Complete the mirror of `run` and note in run.json where it is."""
        if run is None or self.sink is None:
            return run
        run = dataclasses.replace(run, tracking=self.sink.finish(run))
        with contextlib.suppress(ResultsError):  # a full disk has been, or will be, shown
            run.write()
        return run


class _Follower:
    """Passes a worker's events to the observer and its records to the sink."""

    def __init__(self, directory: Path, observer: Observer, sink: Sink | None) -> None:
        self.directory, self.observer, self.sink = directory, observer, sink
        self.run: RunResult | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        self.observer.event(event)
        if self.sink is None:
            return
        if event["event"] == "start":
            self.run = RunResult.read(self.directory)
            self.sink.start(self.run)
        elif event["event"] == "epoch" and self.run is not None:
            self.sink.epochs(self.run, [EpochRecord(**event["record"])])


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
            from nnbench.installation import install_command

            remedy = install_command(config.backend.extra) if config.backend.extra else package
            raise MissingPackage(
                f"Received backend={config.backend.name}; the package {package} is not installed. "
                f"Install it: {remedy}"
            )


def find_weights(config: RunConfig) -> Path | None:
    """Return the folder or file whose weights `init=from_run` takes, None for other inits.

    Raises ConfigError when nothing fits `init.run`.
    """
    if not isinstance(config.init, FromRun):
        return None
    wanted, results = config.init.run, Path(config.results)
    if wanted.startswith("case:"):
        case = wanted.removeprefix("case:")
        for run in reversed(list(read_runs(results))):
            same = run.config.get("case") == case and run.config.get("seed") == config.seed
            if same and run.status == "finished":
                return run.directory
        raise ConfigError(
            f"Received init.run={wanted}; {results} has no finished run of it with "
            f"seed={config.seed}. Run `nnbench experiment={case} seed={config.seed}` first."
        )
    if (found := find_run(wanted, results)) is not None:
        return found
    raise ConfigError(
        f"Received init.run={wanted}; no such file, and no run of that name or id in {results}. "
        "`nnbench runs` lists them."
    )


def find_run(wanted: str, results: Path) -> Path | None:
    """Return the folder (or weights file) that `wanted` names: a path, a run's name or its id.

    Of several runs of one name it is the latest.
    """
    if Path(wanted).exists():
        return Path(wanted).resolve()
    if (results / "runs" / wanted).is_dir():
        return results / "runs" / wanted
    for run in reversed(list(read_runs(results))):
        if wanted in (run.run_id, run.name):
            return run.directory
    return None


def run_name(cell: Cell, unnamed: Collection[str] = ()) -> str:
    """Return a short readable name, good in a legend: `torch b32 s1 scale=0.1`."""
    config = cell.config
    if config.name:
        return config.name
    if config.case:
        return f"{config.case.rpartition('/')[2]} s{config.seed}"
    parts = [config.backend.label]
    parts += [f"b{config.batch_size}", f"s{config.seed}"]
    for override in cell.overrides:
        key, _, value = override.lstrip("+~").partition("=")
        told = override in unnamed or key.split(".")[0] in UNNAMED or key.startswith("hydra")
        if not told:
            # A chosen option tells its group (`relu`), a value does not (`scale=0.1`).
            parts.append(f"{key.split('.')[-1]}={value}" if _is_value(key) else value)
    return " ".join(parts)[:80]


def _is_value(key: str) -> bool:
    from nnbench.catalogue import groups

    return key not in groups()


def make_directory(results: Path, name: str, folder: str = "runs") -> Path:
    """Make a new folder `results/FOLDER/NAME-TIME-RANDOM`; raises ResultsError."""
    slug = re.sub(r"[^A-Za-z0-9._=+-]+", "-", name).strip("-.")[:60] or "run"
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    directory = results.resolve() / folder / f"{slug}-{stamp}-{secrets.token_hex(3)}"
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ResultsError(
            f"Cannot write results={results}: {error.strerror}; choose a writable folder with "
            "results=DIR."
        ) from None
    return directory
