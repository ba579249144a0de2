"""Progress in a notebook: lines below the cell that change, and lines that stay."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from nnbench.sweeps.observer import Observer
from nnbench.sweeps.surface import Row, Ticker
from nnbench.sweeps.watcher import Watcher

TICK_SECONDS = 0.5


def observer() -> Observer:
    """Return what shows progress in a notebook, or nothing elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return Watcher(Notebook()) if getattr(shell, "kernel", None) is not None else Observer()


class Notebook:
    """A cell's output: what is under way is in one display that changes, after it the last end."""

    def __init__(self) -> None:
        self._display: Any = None
        self._drawn = self._last = ""
        self._ticker: Ticker | None = None
        self._lock = threading.Lock()

    def say(self, text: str, style: str | None = None) -> None:
        """Leave a line."""
        sys.modules["IPython"].display.display({"text/plain": text}, raw=True)

    def ended(self, text: str) -> None:
        """Show a line about a run that is over, until the next one."""
        self._last = text
        self._draw(text)

    def warn(self, text: str) -> None:
        """Leave a line about something that went wrong besides."""
        self.say(text)

    def open(self, rows: Callable[[], Sequence[Row]]) -> None:
        """Show `rows` from now on, in the place of what ended last."""

        def tick() -> None:
            if shown := rows():
                self._draw("\n".join(map(str, shown)))

        self._ticker = Ticker(tick, TICK_SECONDS)

    def close(self) -> None:
        """Leave the line about what ended last, if there is one."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None
        if self._display is not None:
            self._draw(self._last)

    def _draw(self, text: str) -> None:
        """Put `text` into the display that changes."""
        with self._lock:
            if text == self._drawn:
                return
            self._drawn, data = text, {"text/plain": text}
            if self._display is None:
                display = sys.modules["IPython"].display.display
                self._display = display(data, raw=True, display_id=True)
            else:
                self._display.update(data, raw=True)
