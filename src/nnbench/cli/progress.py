"""Progress in a terminal, in lines that renew themselves; elsewhere in plain lines now and then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from nnbench.records.run import RunResult
from nnbench.reporting.pages.screen import Screen, say
from nnbench.sweeps.surface import Row, Surface, Ticker
from nnbench.sweeps.watcher import Watcher

SILENT = "NNBENCH_NO_PROGRESS"  # a variable that, set to anything, has nothing said on the way
FIRST_SECONDS, PLAIN_SECONDS = 2.0, 10.0  # until the first plain line, and from one to the next
TICK_SECONDS = 0.25
BAR = 20  # characters
WITH_BAR = 72  # characters of a terminal that has room for a bar


class Display(Watcher):
    """Draws on `console`; `on_end` shows a run that has ended, in the place of a line."""

    def __init__(
        self, console: Console | None = None, on_end: Callable[[RunResult], Any] | None = None
    ) -> None:
        console = console or Screen()
        places = [each for each in (console, Screen(stderr=True)) if _renews(each)]
        surface: Surface = Terminal(console, places[0]) if places else Plain(console)
        super().__init__(surface, on_end)


def _renews(console: Console) -> bool:
    """Tell whether lines can be drawn again: a terminal, also where colours are forced on files."""
    if SILENT in os.environ:
        return False
    return console.is_interactive and not console.is_dumb_terminal and console.file.isatty()


class Plain:
    """What happens stays on `console`; what is under way is said on standard error."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._due = time.monotonic() + FIRST_SECONDS
        self._ticker: Ticker | None = None

    def say(self, text: str, style: str | None = None) -> None:
        """Leave a line."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def ended(self, text: str) -> None:
        """Leave a line about a run that is over."""
        self.say(text)

    def warn(self, text: str) -> None:
        """Leave a line on standard error."""
        say(text, err=True)

    def open(self, rows: Callable[[], Sequence[Row]]) -> None:
        """Say now and then how far `rows` are."""
        if SILENT not in os.environ:
            self._ticker = Ticker(lambda: self._tick(rows), TICK_SECONDS)

    def _tick(self, rows: Callable[[], Sequence[Row]]) -> None:
        if time.monotonic() < self._due or not (shown := rows()):
            return
        self._due = time.monotonic() + PLAIN_SECONDS
        say("; ".join(map(str, shown if len(shown) < 3 else shown[-1:])), err=True)

    def close(self) -> None:
        """Say no more."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None


class Terminal(Plain):
    """What is under way is drawn again and again on `shown`, a terminal, below what stays."""

    def __init__(self, console: Console, shown: Console) -> None:
        super().__init__(console)
        self.shown = shown
        self._live: Live | None = None

    def open(self, rows: Callable[[], Sequence[Row]]) -> None:
        """Draw `rows` from now on."""
        self._live = Live(
            get_renderable=lambda: lines(rows(), self.shown.width), console=self.shown,
            transient=True, refresh_per_second=1 / TICK_SECONDS,
        )  # fmt: skip
        self._live.start(refresh=True)

    def close(self) -> None:
        """Take them away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def lines(rows: Sequence[Row], width: int) -> Table:
    """Return a line for each row, in a terminal `width` characters wide."""
    bar = width >= WITH_BAR
    columns = [Column(no_wrap=True, max_width=width // 2), Column(no_wrap=True, ratio=1)]
    if bar:
        columns.insert(1, Column(width=BAR))
    table = Table.grid(*columns, padding=(0, 1), expand=True)
    for row in rows:
        what = ", ".join(filter(None, (row.left, row.note)))
        drawn = [ProgressBar(1.0, row.fraction, BAR)] if bar else []
        table.add_row(row.label, *drawn, what)
    return table
