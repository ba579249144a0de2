"""Where progress is shown: lines that stay, and lines that change while something is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from nnbench.formatting import rough
from nnbench.sweeps.forecast import Clock, Pace

SHOWN_SECONDS = 1.0  # what takes less is not shown


class Row:
    """One line about something under way."""

    def __init__(self, label: str, clock: Clock, note: str = "") -> None:
        self.label, self.note, self.pace = label, note, Pace(clock)

    @property
    def fraction(self) -> float:
        """Return how much is done."""
        return self.pace.fraction

    @property
    def seconds(self) -> float | None:
        """Return the seconds left, None where nobody knows."""
        return self.pace.left

    @property
    def left(self) -> str:
        """Return the time left in words, or that spent; empty at the beginning."""
        if (seconds := self.seconds) is not None:
            return f"about {rough(seconds)} left" if seconds else ""
        return f"{rough(self.pace.spent)} so far" if self.pace.spent >= SHOWN_SECONDS else ""

    def __str__(self) -> str:
        return ": ".join(
            filter(None, (self.label, ", ".join(filter(None, (self.note, self.left)))))
        )


class Surface(Protocol):
    """Where lines are shown: those that stay, and while it is open those that change."""

    def say(self, text: str, style: str | None = None) -> None:
        """Leave a line."""
        ...

    def ended(self, text: str) -> None:
        """Show a line about a run that is over, until the next such line at least."""
        ...

    def warn(self, text: str) -> None:
        """Leave a line about something that went wrong besides."""
        ...

    def open(self, rows: Callable[[], Sequence[Row]]) -> None:
        """Show `rows` from now on, again and again."""
        ...

    def close(self) -> None:
        """Take them away."""
        ...


class Ticker:
    """Calls `do` every so many seconds, in a thread of its own, until it is stopped."""

    def __init__(self, do: Callable[[], None], seconds: float) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(do, seconds), daemon=True)
        self._thread.start()

    def _run(self, do: Callable[[], None], seconds: float) -> None:
        while not self._over.wait(seconds):
            try:
                do()
            except (OSError, ValueError):  # nobody reads any more
                return

    def stop(self) -> None:
        """Call it no more."""
        self._over.set()
        self._thread.join()
