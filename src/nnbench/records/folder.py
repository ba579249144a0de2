"""The runs of a results folder: each record read once, and again while it changes."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from nnbench.errors import ResultsError
from nnbench.records.locks import is_locked
from nnbench.records.run import (
    CHECKPOINTS_NAME,
    OVER,
    RECORD_NAME,
    RUNS_NAME,
    WEIGHTS_NAME,
    RunResult,
)
from nnbench.writing import clear

SETTLED_NANOSECONDS = 2_000_000_000


def read_runs(results: Path) -> list[RunResult]:
    """Return every readable run below `results`, oldest first; damaged ones are left out."""
    return Folder(results).runs()


class Folder:
    """The runs of a results folder; each is read once, and again only while it is not over.

    `name` is where in the folder they are; `problems` says, in a line each, which records
    cannot be read.
    """

    def __init__(self, results: Path, name: str = RUNS_NAME) -> None:
        self.path = results / name
        self._known: dict[str, RunResult] = {}
        self._bad: dict[str, str] = {}
        self._sorted: list[RunResult] = []
        self._settled: int | None = None  # when the folder changed last, if all in it is over

    @property
    def problems(self) -> list[str]:
        """Return what could not be read, as of the last look."""
        return list(self._bad.values())

    def runs(self) -> list[RunResult]:
        """Look into the folder and return its runs, oldest first."""
        if self._settled is not None and self._settled == self._stamp():
            return list(self._sorted)
        stamp = self._stamp()
        try:
            names = {entry.name for entry in os.scandir(self.path)}
        except OSError:
            names = set()
        for name in self._known.keys() - names:
            del self._known[name]
        self._bad = {name: text for name, text in self._bad.items() if name in names}
        for name in names:
            known = self._known.get(name)
            if name in self._bad or (known and known.status in OVER):
                continue
            directory = self.path / name
            if not (directory / RECORD_NAME).is_file():
                continue
            try:
                self._known[name] = _as_it_is(RunResult.read(directory))
            except ResultsError as error:
                self._bad[name] = str(error)
        self._sorted = sorted(self._known.values(), key=lambda run: (run.created, run.run_id))
        over = all(run.status in OVER for run in self._sorted)
        whole = len(self._known) + len(self._bad) == len(names)
        # Of a folder that has just changed nobody can tell by its time whether it changes again.
        old = stamp is not None and time.time_ns() - stamp > SETTLED_NANOSECONDS
        self._settled = stamp if over and whole and old else None
        return list(self._sorted)

    def _stamp(self) -> int | None:
        try:
            return os.stat(self.path).st_mtime_ns
        except OSError:
            return None


def _as_it_is(run: RunResult) -> RunResult:
    """Return the run; one that was running when its process died is `killed`, and tidied up."""
    if run.status != "running" or run.directory is None or is_locked(run.directory):
        return run
    for folder in (run.directory, run.directory / CHECKPOINTS_NAME):
        clear(folder)
    return dataclasses.replace(run, status="killed", message="its process ended")


def any_stopped(results: Path) -> bool:
    """Tell whether a run in the folder was stopped; looks at runs without a result alone."""
    unfinished = (
        path
        for path in (results / RUNS_NAME).glob("*/")
        if (path / RECORD_NAME).is_file() and not (path / WEIGHTS_NAME).is_file()
    )
    for path in unfinished:
        try:
            if _as_it_is(RunResult.read(path)).status == "killed":
                return True
        except ResultsError:
            continue
    return False
