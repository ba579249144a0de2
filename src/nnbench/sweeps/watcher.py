"""Progress for people: what is under way, how far it is, and the time that it has left.

A Watcher knows the texts; where they are drawn, and how, is a Surface's: a terminal or plain
lines (`nnbench.cli.progress`), or a notebook (`nnbench.sweeps.notebook`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.formatting import (
    NAME_CHARACTERS,
    ONE_EPOCH,
    cut,
    duration,
    number,
    percent,
    printable,
)
from nnbench.records.run import RunResult
from nnbench.sweeps import surface as surfaces
from nnbench.sweeps.forecast import Clock, Forecast, Left, UnderWay, kind
from nnbench.sweeps.observer import Follower, Observer, Outlook, Work
from nnbench.sweeps.surface import Row, Surface


class Whole(Row):
    """The line about a whole sweep."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__("all runs", watcher.clock)
        self._watcher = watcher

    @property
    def fraction(self) -> float:
        """Return how much is done."""
        return self._watcher.over / self._watcher.total

    @property
    def left(self) -> str:
        """Return the time that the sweep has left, in words; empty where nobody knows."""
        return str(self._watcher.left() or "")


class Watcher(Observer):
    """Shows on `surface`; `on_end` shows a run that has ended, in the place of a line."""

    def __init__(
        self,
        surface: Surface,
        on_end: Callable[[RunResult], Any] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__()
        self.surface, self.on_end, self.clock = surface, on_end, clock
        self.total, self.count, self.over = 1, 0, 0
        self.forecast: Forecast | None = None
        self._rows: list[Row] = []
        self._whole: Whole | None = None
        self._depth, self._lock = 0, threading.RLock()

    def __enter__(self) -> Self:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self.surface.open(self.rows)
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self.surface.close()

    def rows(self) -> list[Row]:
        """Return what to show, the whole sweep last."""
        rows = list(self._rows)
        if self._whole is not None and self.over < self.total:
            self._whole.note = f"{self.over} of {self.total} done"
            rows.append(self._whole)
        return [row for row in rows if row.pace.spent >= surfaces.SHOWN_SECONDS]

    def left(self) -> Left | None:
        """Return the time that the sweep has left."""
        runs = [row.under_way for row in self._rows if isinstance(row, Run)]
        return self.forecast.left(runs) if self.forecast else None

    def add(self, row: Row) -> None:
        """Show one more line."""
        self._rows = [*self._rows, row]
        self.__enter__()

    def remove(self, row: Row) -> None:
        """Show a line no longer."""
        self._rows = [each for each in self._rows if each is not row]
        self.__exit__()

    def expect(self, outlook: Outlook) -> None:
        """Say what is taken from earlier, and what cannot be."""
        total, stopped = outlook.total, outlook.stopped
        self.total, self.count, self.over = total, outlook.finished, outlook.finished
        self.forecast = Forecast(outlook.waiting, outlook.costs, outlook.places)
        self._whole = Whole(self) if total > 1 else None
        for problem in outlook.unreadable:
            self.say(f"left out: {problem}")
        for line in outlook.readings:
            self.read_as(line)
        if outlook.finished:
            self.say(
                f"{outlook.finished} of {total} runs already finished (run again with --fresh)."
            )
        if stopped:
            self.say(f"Resuming {stopped} stopped run{'s' * (stopped > 1)}.")
        for reason in outlook.changed:
            self.say(f"New run, {reason}")

    def begin(self, name: str, cell: Cell) -> Follower:
        """Announce a run; return what shows it."""
        return Run(self, printable(cut(name, NAME_CHARACTERS)), cell)

    def failed(self, cell: Cell, error: NNBenchError) -> None:
        """Show a failed run of a sweep at once, with its overrides."""
        self.surface.say(f"failed ({' '.join(cell.overrides)}): {error}", "red")

    def work(self, title: str) -> Work:
        """Show something else that may take seconds."""
        return Shown(self, title)

    def stopping(self) -> None:
        """Say what happens now."""
        self.say("Saving a checkpoint and stopping. Press Ctrl-C again to quit now.")

    def say(self, text: str) -> None:
        """Leave a line."""
        self.surface.say(text)

    def settled(self, runs: Sequence[RunResult]) -> None:
        """Say once per message that MLflow did not get a run; the results folder has it."""
        for message in dict.fromkeys(r.tracking["error"] for r in runs if "error" in r.tracking):
            self.surface.warn(f"nnbench: not in MLflow: {message}")


class Shown(Work):
    """Work other than runs, in a line."""

    def __init__(self, watcher: Watcher, title: str) -> None:
        self._watcher, self._row = watcher, Row(title, watcher.clock)
        self._starts = False

    def __enter__(self) -> Self:
        self._watcher.add(self._row)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._watcher.remove(self._row)

    def __call__(self, done: float, total: float, what: str) -> None:
        """Show how far it is; with a `total` of 0 something only starts."""
        self._row.note = printable(what)
        if total <= 0:
            self._starts = True
            return
        if self._starts:
            self._row.pace.restart(done / total)
        self._starts = False
        self._row.pace.reach(done / total)


class Run(Row, Follower):
    """A run, in a line; once it is over, a line that stays."""

    def __init__(self, watcher: Watcher, name: str, cell: Cell) -> None:
        watcher.count += 1
        prefix = f"[{watcher.count}/{watcher.total}] " if watcher.total > 1 else ""
        super().__init__(f"{prefix}{name}", watcher.clock, "starting")
        self._watcher, self._kind = watcher, kind(cell.values)
        self._epochs = self._waited = cell.config.epochs
        self._expected: float | None = None
        if watcher.forecast is not None:
            if (waited := watcher.forecast.begin(self._kind)) is not None:
                self._waited = waited.epochs
            self._expected = watcher.forecast.takes(self._kind, self._waited)
        watcher.add(self)

    @property
    def seconds(self) -> float | None:
        """Return the seconds left: by its own pace, before that by runs that were alike."""
        if (left := self.pace.left) is not None or self._expected is None:
            return left
        rest = self._expected - self.pace.spent
        return rest if rest > 0 else None

    @property
    def under_way(self) -> UnderWay:
        """Return how it stands, for what is left of the sweep."""
        return UnderWay(self._kind, self.pace.spent, self.seconds)

    def event(self, event: dict[str, Any]) -> None:
        """Show one event of the worker."""
        what = event["event"]
        if what == "start":
            self.pace.restart(1 - self._waited / self._epochs)
        elif what == "epoch":
            self._epoch(event["record"])
        elif what == "note":
            self._watcher.say(f"{self.label}: {event['text']}")
        elif what == "reading":
            self._watcher.read_as(event["text"])
        elif what == "phase":
            self.note = event["phase"]
        elif what == "progress":
            done = event["epoch"] + event["step"] / event["steps"]
            self.pace.reach(done / self._epochs)
            if event["epoch"] == 0 or self.note.startswith("step "):
                self.note = f"step {event['step']:,} of {event['steps']:,} in epoch 1"

    def _epoch(self, record: dict[str, Any]) -> None:
        done = record["epoch"] + 1
        self.pace.reach(done / self._epochs)
        self.note = f"epoch {done}/{self._epochs}, loss {record['train_loss']:.4g}"
        if record["test_accuracy"] is not None:
            self.note += f", test accuracy {percent(record['test_accuracy'])}"

    def end(self, run: RunResult | None) -> None:
        """Take the run off the display; leave a line about it, or what `on_end` shows."""
        self._watcher.remove(self)
        self._watcher.over += 1
        if self._watcher.forecast is not None:
            self._watcher.forecast.end(self._kind, run)
        if run is None:
            return
        if self._watcher.on_end and run.status != "killed":
            self._watcher.on_end(run)
        elif run.status == "killed":
            self._watcher.say(f"{self.label}: {run.message or run.status}")
        elif run.kept:
            self._watcher.surface.ended(f"{self.label}: {run.status}, {_figures(run)}")


def _figures(run: RunResult) -> str:
    assert run.kept is not None
    figure = (
        f"test accuracy {percent(run.kept.test_accuracy)}"
        if run.kept.test_accuracy is not None
        else f"test loss {number(run.kept.test_loss)}"
    )
    per = ONE_EPOCH if len(run.epochs) == 1 else "per epoch"
    return f"{figure}, {duration(run.epoch_seconds)} {per}"
