"""A thread that speaks to a store, and how long others wait for it.

A store that gives no answer is waited for a few seconds in all, one that answers half a minute in
all, whatever its kind: what the thread hangs in, it hangs in alone.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from nnbench.tracking.quiet import StoreError, bound_answers, quiet

DEAD_SECONDS = 4.5  # without an answer
FINISH_SECONDS = 28.0  # in all, for one that answers
PATIENT_SECONDS = 60.0  # without an answer, where somebody asked for nothing else
IMPORT_SECONDS = 60.0
T = TypeVar("T")


class Patience:
    """Waits for what a thread does with a store.

    Every answer is a `beat`; without one, all waiting counts together. Who has given up waits no
    longer until there is one.
    """

    def __init__(self, patient: bool) -> None:
        self._silent = PATIENT_SECONDS if patient else DEAD_SECONDS
        self._left = float("inf") if patient else FINISH_SECONDS
        self._waited = 0.0  # since the last beat
        self._given_up = False

    def beat(self, seconds: float = 0.0) -> None:
        """Note a sign of life; after it, nothing has to be heard for so many `seconds`."""
        self._waited, self._given_up = -seconds, False

    def allow(self, seconds: float) -> None:
        """Give time for what is our own work and not the store's."""
        self._left += seconds
        self.beat(seconds)

    def wait(self, done: Callable[[float], bool]) -> bool:
        """Wait until `done`, called with seconds to wait, is true; False where patience ends."""
        before = time.monotonic()
        while not done(0.0 if self._given_up else 0.05):
            now = time.monotonic()
            self._left -= now - before
            self._waited += now - before
            before = now
            if self._given_up or self._waited > self._silent or self._left < 0:
                self._given_up = True
                return False
        return True


class Background:
    """Does tasks in order, in a thread of its own that imports MLflow first.

    `look` is done in between, when it is `due`. What the thread does calls `beat` of `patience`.
    `close` puts environment and log levels back; call it from the thread that made this.
    """

    def __init__(self, patient: bool, look: Callable[[], None] = lambda: None) -> None:
        self.patience, self.due = Patience(patient), float("inf")
        self.error: Exception | None = None  # of the last task, None where it went well
        self._look = look
        self._imported = threading.Event()
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(quiet(patient))
        self._thread = threading.Thread(target=self._work, name="nnbench-mlflow", daemon=True)
        self._thread.start()

    def begin(self, action: Callable[[], T]) -> Callable[[], T]:
        """Have the thread do something; return what waits for it and gives what it returned.

        That raises what the action raised, StoreError where patience ends.
        """
        answer: Future[T] = Future()

        def task() -> None:
            try:
                result = action()
            except Exception as error:
                self.error = error
                answer.set_exception(error)
            else:
                self.error = None
                answer.set_result(result)

        def done(seconds: float) -> bool:
            with contextlib.suppress(TimeoutError):
                answer.exception(seconds)
            return answer.done()

        def wait() -> T:
            self._imported.wait(IMPORT_SECONDS)
            if self.patience.wait(done):
                return answer.result()
            raise self.error or StoreError("it does not answer in time")

        self._tasks.put(task)
        return wait

    def close(self) -> None:
        """End the thread, waiting a moment for what it is doing."""

        def ended(seconds: float) -> bool:
            self._thread.join(seconds)
            return not self._thread.is_alive()

        self._tasks.put(None)
        self.patience.wait(ended)
        self._quiet.close()

    def _work(self) -> None:
        with contextlib.suppress(ImportError):  # the tasks say that it is missing
            bound_answers()  # imports MLflow, in this thread, so that nobody waits
        self._imported.set()
        while True:
            idle = max(0.0, self.due - time.monotonic())
            try:
                task = self._tasks.get(timeout=None if idle == float("inf") else idle)
            except queue.Empty:
                task = self._look
            if task is None:
                return
            task()
