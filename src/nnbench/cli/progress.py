"""What a person sees while runs run: a live display, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from nnbench.config.run import Cell, RunConfig
from nnbench.errors import NNBenchError
from nnbench.formatting import NAME_CHARACTERS, ONE_EPOCH, cut, duration, number, percent, printable
from nnbench.records.run import RunResult
from nnbench.reporting.pages.screen import say
from nnbench.sweeps.observer import Follower, Observer, Outlook

PLAIN_SECONDS = 5.0  # at most one plain line in so many seconds


class Display(Observer):
    """Draws on `console`; `on_end` shows a run that has ended, in the place of a line."""

    def __init__(self, console: Console, on_end: Callable[[RunResult], Any] | None = None) -> None:
        super().__init__()
        self.console, self.on_end = console, on_end
        self.total, self.count = 1, 0
        self.bar: Progress | None = None
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[note]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.bar:
            self.bar.stop()

    def expect(self, outlook: Outlook) -> None:
        """Say what is taken from earlier, and what cannot be."""
        total, stopped = outlook.total, outlook.stopped
        self.total, self.count = total, outlook.finished
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

    def begin(self, name: str, config: RunConfig) -> Row:
        """Announce a run; return what shows it."""
        self.count += 1
        prefix = f"[{self.count}/{self.total}] " if self.total > 1 else ""
        return Row(self, f"{prefix}{printable(cut(name, NAME_CHARACTERS))}", config.epochs)

    def failed(self, cell: Cell, error: NNBenchError) -> None:
        """Show a failed run of a sweep at once, with its overrides."""
        self.say(f"failed ({' '.join(cell.overrides)}): {error}", style="red")

    def stopping(self) -> None:
        """Say what happens now."""
        self.say("Saving a checkpoint and stopping. Press Ctrl-C again to quit now.")

    def settled(self, runs: Sequence[RunResult]) -> None:
        """Say once per message that MLflow did not get a run; the results folder has it."""
        for message in dict.fromkeys(r.tracking["error"] for r in runs if "error" in r.tracking):
            say(f"nnbench: not in MLflow: {message}", err=True)

    def say(self, text: str, style: str | None = None) -> None:
        """Leave a line."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class Row(Follower):
    """One run on the display."""

    def __init__(self, display: Display, label: str, epochs: int) -> None:
        self.display, self.label, self.epochs = display, label, epochs
        self.bar, self.alone = display.bar, display.total == 1
        self.spoke = time.monotonic()
        if self.bar:
            self.task = self.bar.add_task(label, total=epochs, note="starting")

    def event(self, event: dict[str, Any]) -> None:
        """Show one event of the worker."""
        kind = event["event"]
        if kind == "start":
            self.spoke = time.monotonic()
            if not self.bar and self.alone:
                self._say(f"training {self.epochs} epochs")
        elif kind == "epoch":
            self._epoch(event["record"])
        elif kind == "note":
            self._say(event["text"])
        elif kind == "reading":
            self.display.read_as(event["text"])
        elif self.bar and kind == "phase":
            self.bar.update(self.task, note=event["phase"])
        elif kind == "progress":
            done = event["epoch"] + event["step"] / event["steps"]
            if self.bar:
                self.bar.update(self.task, completed=done)
            elif time.monotonic() - self.spoke > PLAIN_SECONDS:
                self._say(
                    f"epoch {event['epoch'] + 1}/{self.epochs}, "
                    f"step {event['step']:,}/{event['steps']:,}"
                )

    def _epoch(self, record: dict[str, Any]) -> None:
        done = record["epoch"] + 1
        note = f"epoch {done}/{self.epochs}  loss {record['train_loss']:.4f}"
        if record["test_accuracy"] is not None:
            note += f"  test accuracy {percent(record['test_accuracy'])}"
        if self.bar:
            self.bar.update(self.task, completed=done, note=note)
        elif self.alone and time.monotonic() - self.spoke > PLAIN_SECONDS:
            self._say(note)

    def end(self, run: RunResult | None) -> None:
        """Take the run off the display; in a sweep, leave one line about it."""
        if self.bar:
            self.bar.remove_task(self.task)
        if run is None:
            return
        if self.display.on_end and run.status != "killed":
            self.display.on_end(run)
        elif run.status == "killed":
            self._say(f"{run.message or run.status}")
        elif run.kept:
            figure = (
                f"test accuracy {percent(run.kept.test_accuracy)}"
                if run.kept.test_accuracy is not None
                else f"test loss {number(run.kept.test_loss)}"
            )
            per = ONE_EPOCH if len(run.epochs) == 1 else "per epoch"
            self._say(f"{run.status}, {figure}, {duration(run.epoch_seconds)} {per}")

    def _say(self, text: str) -> None:
        self.spoke = time.monotonic()
        self.display.say(f"{self.label}: {text}")
