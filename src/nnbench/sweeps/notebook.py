"""Progress in a notebook: one line below the cell that changes, and lines that stay."""

from __future__ import annotations

import sys
import time
from typing import Any

from nnbench.config.run import Cell, RunConfig
from nnbench.errors import NNBenchError
from nnbench.formatting import NAME_CHARACTERS, cut, duration, printable
from nnbench.records.run import RunResult
from nnbench.sweeps.observer import Follower, Observer, Outlook

REDRAWN_SECONDS = 0.5


def observer() -> Observer:
    """Return what shows progress in a notebook, or nothing elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return Notebook() if getattr(shell, "kernel", None) is not None else Observer()


class Notebook(Observer):
    """Shows how far runs are, with an estimate of the time left, in one line that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.count, self.done = 1, 0, 0.0
        self.began = self.drawn = time.monotonic()
        self._line: Any = None

    def expect(self, outlook: Outlook) -> None:
        """Say what is taken from earlier, and what cannot be."""
        self.total = outlook.total - outlook.finished
        for problem in outlook.unreadable:
            self.say(f"left out: {problem}")
        for line in outlook.readings:
            self.read_as(line)
        if outlook.finished:
            self.say(f"{outlook.finished} of {outlook.total} runs already finished.")

    def begin(self, name: str, config: RunConfig) -> Follower:
        """A run's process is being started."""
        self.count += 1
        return Line(self, printable(cut(name, NAME_CHARACTERS)), self.count, config.epochs)

    def failed(self, cell: Cell, error: NNBenchError) -> None:
        """A run of a sweep has failed."""
        self.say(f"failed ({' '.join(cell.overrides)}): {error}")

    def stopping(self) -> None:
        """Somebody has asked to stop."""
        self.say("Saving a checkpoint and stopping.")

    def say(self, text: str) -> None:
        """Leave a line."""
        sys.modules["IPython"].display.display({"text/plain": text}, raw=True)

    def show(self, text: str, now: bool = False) -> None:
        """Put `text` and the time left into the line that changes, not too often."""
        if not now and time.monotonic() - self.drawn < REDRAWN_SECONDS:
            return
        self.drawn = time.monotonic()
        spent = self.drawn - self.began
        if 0.0 < self.done < self.total:
            text += f", about {duration(spent / self.done * (self.total - self.done))} left"
        data = {"text/plain": f"[{min(self.count, self.total)}/{self.total}] {text}"}
        if self._line is None:
            display = sys.modules["IPython"].display.display
            self._line = display(data, raw=True, display_id=True)
        else:
            self._line.update(data, raw=True)


class Line(Follower):
    """One run in the line of a notebook."""

    def __init__(self, shown: Notebook, name: str, number: int, epochs: int) -> None:
        self.shown, self.name, self.number, self.epochs = shown, name, number, epochs
        shown.show(f"{name}: starting", now=True)

    def event(self, event: dict[str, Any]) -> None:
        """Show one event of the worker."""
        kind = event["event"]
        if kind == "reading":
            self.shown.read_as(event["text"])
        elif kind == "note":
            self.shown.say(f"{self.name}: {event['text']}")
        elif kind in ("epoch", "progress"):
            done = event["record"]["epoch"] + 1 if kind == "epoch" else event["epoch"]
            self.shown.done = self.number - 1 + done / self.epochs
            self.shown.show(f"{self.name}: epoch {min(int(done) + 1, self.epochs)}/{self.epochs}")

    def end(self, run: RunResult | None) -> None:
        """The run has ended."""
        self.shown.done = float(self.number)
        self.shown.show(f"{self.name}: {run.status if run else 'no record'}", now=True)
