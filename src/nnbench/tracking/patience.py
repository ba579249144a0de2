"""How long others wait for a store: a few seconds without an answer, half a minute in all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

DEAD_SECONDS = 4.5  # without an answer
FINISH_SECONDS = 28.0  # in all, for one that answers
PATIENT_SECONDS = 60.0  # without an answer, where somebody asked for nothing else
MAKE_SECONDS = 60.0  # that a store may take to be made
BYTES_PER_SECOND = 2e6  # of an upload, at the least


class Patience:
    """Waits for what a thread does with a store, whatever holds it up there.

    Every answered call is a `beat`. Who has given up waits no longer until there is one; the time
    that a store takes to be made is given to it.
    """

    def __init__(self, patient: bool) -> None:
        self._silent = PATIENT_SECONDS if patient else DEAD_SECONDS
        self._left = float("inf") if patient else FINISH_SECONDS
        self._given_up = False
        self._excused = 0.0  # until then
        self.alive = time.monotonic()

    def beat(self) -> None:
        """Note a sign of life."""
        self.alive, self._given_up = time.monotonic(), False

    @contextlib.contextmanager
    def making(self) -> Iterator[None]:
        """Give the store the time that it takes to be made; it answers nobody before."""
        self._excused = time.monotonic() + MAKE_SECONDS
        try:
            yield
        finally:
            self._excused = 0.0
            self.beat()

    def wait(self, done: Callable[[float], bool], size: int = 0) -> bool:
        """Wait until `done`, called with seconds to wait, is true; False where patience ends.

        `size` bytes may have to be uploaded meanwhile, which is not answered before it is done.
        """
        began = before = time.monotonic()
        while not done(0.05):
            now = time.monotonic()
            if now < self._excused:
                began = now
            else:
                self._left -= now - before
            before = now
            limit = 0.0 if self._given_up else self._silent + size / BYTES_PER_SECOND
            if now - max(began, self.alive) > limit or self._left < 0:
                self._given_up = True
                return False
        return True
