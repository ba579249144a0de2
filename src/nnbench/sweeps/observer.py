"""Who watches work: a progress display (`nnbench.sweeps.watcher`), or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Self

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell
from nnbench.sweeps.forecast import Costs, Waiting


@dataclass(frozen=True)
class Outlook:
    """How `total` runs stand before the first of them begins.

    `finished` are on record, `stopped` are resumed. `changed` says of new runs which stopped one
    they are not, and why; `unreadable` which records cannot be read; `readings` how files of
    data were understood. `waiting` are those to be run, `places` of them at a time; `costs` says
    what runs took before.
    """

    total: int
    finished: int = 0
    stopped: int = 0
    changed: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    places: int = 1
    costs: Costs = field(default_factory=Costs)


class Follower:
    """Watches one run; this one shows nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """The worker reports; see `nnbench.training.runner.execute`."""

    def end(self, run: RunResult | None) -> None:
        """The run has ended; None where it left no record."""


class Work:
    """A piece of work besides runs, open while it lasts; this one shows nothing.

    It is called as `nnbench.schema.progress.Tell` is.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def __call__(self, done: float, total: float, what: str) -> None:
        """Say how far it is."""


class Observer:
    """Watches runs and other work, open while they last; this one shows nothing."""

    def __init__(self) -> None:
        self._readings: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def expect(self, outlook: Outlook) -> None:
        """Runs are about to begin."""

    def begin(self, name: str, cell: Cell) -> Follower:
        """A run's process is being started."""
        return Follower()

    def failed(self, cell: Cell, error: NNBenchError) -> None:
        """A run of a sweep has failed."""

    def work(self, title: str) -> Work:
        """Something else begins that may take seconds."""
        return Work()

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


class Telling(Observer):
    """Tells how far each of its runs is, and shows nothing by itself."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def begin(self, name: str, cell: Cell) -> Follower:
        """A run's process is being started."""
        return TellingRun(self._tell, name, cell.config.epochs)


class TellingRun(Follower):
    """Tells how far a run is."""

    def __init__(self, tell: Tell, name: str, epochs: int) -> None:
        self._tell, self._name, self._epochs = tell, name, epochs
        tell(0, 0, f"{name} once more")

    def event(self, event: dict[str, Any]) -> None:
        """The worker reports."""
        if event["event"] == "epoch":
            done = event["record"]["epoch"] + 1
            self._tell(done, self._epochs, f"{self._name} once more, epoch {done}/{self._epochs}")
        elif event["event"] in ("start", "progress"):
            done = event.get("epoch", 0) + event.get("step", 0) / event.get("steps", 1)
            self._tell(done, self._epochs, f"{self._name} once more")
