"""The runs of a results folder: each record read once, and again while it changes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from bisect import insort
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from nnbench.errors import ResultsError
from nnbench.records import text
from nnbench.records.run import (
    CHECKPOINTS_NAME,
    OVER,
    RECORD_NAME,
    RUNS_NAME,
    WEIGHTS_NAME,
    RunResult,
)
from nnbench.schema.files import Damage, content
from nnbench.schema.progress import Tell, counted, nobody
from nnbench.writing import clear

SETTLED_NANOSECONDS = 2_000_000_000


def read_runs(results: Path) -> list[RunResult]:
    """Return every readable run below `results`, oldest first; damaged ones are left out."""
    return Folder(results).runs()


class Latest(NamedTuple):
    """The latest runs of those that fit; `fitting` and `total` are how many fit, and there are."""

    runs: list[RunResult]
    fitting: int
    total: int


class Folder:
    """The runs of a results folder; each is read once, and again only while it is not over.

    `name` is where in the folder they are; `problems` says, in a line each, which records
    cannot be read.
    """

    def __init__(self, results: Path, name: str = RUNS_NAME) -> None:
        self.path = results / name
        self._known: dict[str, RunResult] = {}
        self._bad: dict[str, str] = {}
        self._over: set[str] = set()  # the names of those that change no more
        self._sorted: list[RunResult] = []
        self._by_fingerprint: dict[str, list[RunResult]] = {}
        self._settled: int | None = None  # when the folder changed last, if all in it is over

    @property
    def problems(self) -> list[str]:
        """Return what could not be read, as of the last look."""
        return list(self._bad.values())

    def runs(self, tell: Tell = nobody) -> list[RunResult]:
        """Look into the folder and return its runs, oldest first."""
        self.look(tell)
        return list(self._sorted)

    def look(self, tell: Tell = nobody) -> None:
        """Read what is new in the folder, and what was not over at the last look."""
        stamp = self._stamp()
        if self._settled is not None and self._settled == stamp:
            return
        names = self._names()
        gone = (self._known.keys() | self._bad.keys()) - names
        for name in gone:
            self._known.pop(name, None)
            self._bad.pop(name, None)
        left = names - self._over - self._bad.keys()
        new = left - self._known.keys()
        read = [name for name in counted(sorted(left), tell, "reading run") if self._read(name)]
        if gone or not new.issuperset(read):
            self._sort()
        else:
            for name in read:
                self._add(name, self._known[name])
        whole = len(self._known) + len(self._bad) == len(names)
        # Of a folder that has just changed nobody can tell by its time whether it changes again.
        old = stamp is not None and time.time_ns() - stamp > SETTLED_NANOSECONDS
        over = len(self._over) == len(self._known)
        self._settled = stamp if over and whole and old else None

    def _sort(self) -> None:
        self._over = {name for name, run in self._known.items() if run.status in OVER}
        self._sorted = sorted(self._known.values(), key=_age)
        self._by_fingerprint = {}
        for run in self._sorted:
            self._by_fingerprint.setdefault(run.fingerprint, []).append(run)

    def _add(self, name: str, run: RunResult) -> None:
        """Put in one that is new: of thousands, a sweep adds one at a time."""
        insort(self._sorted, run, key=_age)
        insort(self._by_fingerprint.setdefault(run.fingerprint, []), run, key=_age)
        if run.status in OVER:
            self._over.add(name)

    def of_fingerprint(self, fingerprint: str) -> list[RunResult]:
        """Return the runs of one fingerprint as of the last look, oldest first."""
        return list(self._by_fingerprint.get(fingerprint, []))

    def latest(self, most: int, fits: Callable[[text.Head], bool]) -> Latest:
        """Return the latest `most` runs of those whose heads fit, oldest first; 0 for all.

        Of the others their heads alone are read, and the digests that prove them whole.
        """
        heads = sorted(self._heads(), key=lambda each: (each[1].created, each[1].run_id))
        fitting = [name for name, head in heads if fits(head)]
        found: list[RunResult] = []
        for name in reversed(fitting):
            run = self._known.get(name) or self._read(name)
            if run is not None:
                found.append(run)
            if len(found) == most:
                break
        bad = sum(name in self._bad for name in fitting)
        return Latest(found[::-1], len(fitting) - bad, len(heads) - bad)

    def _heads(self) -> Iterator[tuple[str, text.Head]]:
        for name in self._names():
            head = None
            with contextlib.suppress(OSError, Damage):  # `_read` says what is wrong
                head = text.head(content(f"{self.path}/{name}/{RECORD_NAME}"))
            if head is not None and head.status in OVER:
                yield name, head
            elif (run := self._read(name)) is not None:
                yield name, text.Head(run.run_id, run.name, run.status, run.created, run.sweep)

    def _read(self, name: str) -> RunResult | None:
        """Read a record, and know it or what is wrong with it."""
        directory = self.path / name
        try:
            if not os.path.lexists(directory / RECORD_NAME):
                clear(directory)  # of a process that was killed before it had a record
                return None
            self._known[name] = run = _as_it_is(RunResult.read(directory))
        except ResultsError as error:
            self._bad[name] = str(error)
            return None
        return run

    def _names(self) -> set[str]:
        try:
            return {entry.name for entry in os.scandir(self.path)}
        except OSError:
            return set()

    def _stamp(self) -> int | None:
        try:
            return os.stat(self.path).st_mtime_ns
        except OSError:
            return None


def _age(run: RunResult) -> tuple[str, str]:
    return run.created, run.run_id


def _as_it_is(run: RunResult) -> RunResult:
    """Return the run; one that was running when its process died is `killed`, and tidied up."""
    if run.status != "running" or run.directory is None:
        return run
    from nnbench.records.locks import is_locked  # here: most folders have nothing but old runs

    if is_locked(run.directory):
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
