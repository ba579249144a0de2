"""Who watches runs: a progress display, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from nnbench.config.run import Cell, RunConfig
from nnbench.errors import NNBenchError
from nnbench.records.run import RunResult


@dataclass(frozen=True)
class Outlook:
    """How `total` runs stand before the first of them begins.

    `finished` are on record, `stopped` are resumed. `changed` says of new runs which stopped one
    they are not, and why; `unreadable` which records cannot be read; `readings` how files of
    data were understood.
    """

    total: int
    finished: int = 0
    stopped: int = 0
    changed: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()


class Follower:
    """Watches one run; this one shows nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """The worker reports; see `nnbench.training.runner.execute`."""

    def end(self, run: RunResult | None) -> None:
        """The run has ended; None where it left no record."""


class Observer:
    """Watches runs, open while they run; this one shows nothing."""

    def __init__(self) -> None:
        self._readings: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def expect(self, outlook: Outlook) -> None:
        """Runs are about to begin."""

    def begin(self, name: str, config: RunConfig) -> Follower:
        """A run's process is being started."""
        return Follower()

    def failed(self, cell: Cell, error: NNBenchError) -> None:
        """A run of a sweep has failed."""

    def stopping(self) -> None:
        """Somebody has asked to stop: runs under way are being left with a checkpoint."""

    def read_as(self, line: str) -> None:
        """Say once how a file of data was understood."""
        if line not in self._readings:
            self._readings.add(line)
            self.say(line)

    def say(self, text: str) -> None:
        """Something else has to be known."""

    def settled(self, runs: Sequence[RunResult]) -> None:
        """These runs are over, and tracked, or their `tracking` says why not."""
