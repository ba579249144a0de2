"""The only clock of a run: named phases that add up, read when the device is idle.

What reads the time is bound here and beside it when the process starts: a backend that replaces
`time.perf_counter` later changes its own idea of time alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time

from nnbench.records.run import Phases


class Clock:
    """Adds up seconds by phase since `started` (a `time.time()`, taken before the process)."""

    def __init__(self, started: float) -> None:
        now = perf_counter()
        self._started = now - max(0.0, time() - started)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._origin = self._started

    def add_phases(self, before: Phases) -> None:
        """Count what the processes took that worked on the run before this one."""
        for name, seconds in vars(before).items():
            if name == "wall_seconds":
                self._origin -= seconds
            else:
                self._seconds[name.removesuffix("_seconds")] += seconds

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the seconds of the block towards `name`."""
        start = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += perf_counter() - start

    def add(self, name: str, seconds: float) -> None:
        """Count `seconds`, measured elsewhere, towards `name`."""
        self._seconds[name] += seconds

    def since_start(self, name: str) -> None:
        """Count everything from the start until now towards `name`."""
        self._seconds[name] += perf_counter() - self._started

    def seconds(self, name: str) -> float:
        """Return what has been counted towards `name`."""
        return self._seconds[name]

    def phases(self) -> Phases:
        """Return all phases as they stand."""
        values = {f"{name}_seconds": seconds for name, seconds in self._seconds.items()}
        return Phases(**values, wall_seconds=perf_counter() - self._origin)
