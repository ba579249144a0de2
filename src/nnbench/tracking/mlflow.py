"""The MLflow sink: mirrors runs from a background thread of the process that started them.

Nothing here can fail a run: what MLflow does not take becomes one line in the answer of
`finish`, and run.json has it all.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nnbench.config import TrackingConfig
from nnbench.record import EpochRecord, RunResult
from nnbench.tracking import content
from nnbench.tracking.mirror import Mirror, add_parity
from nnbench.tracking.refusal import reason, remedy
from nnbench.tracking.store import (
    hush,
    is_remote,
    open_store,
    quiet,
    store_uri,
    without_password,
)

BATCH_SECONDS = 1.0  # metrics wait this long for company
BATCH_METRICS = 200  # or until there are this many
FINISH_SECONDS = 60.0
IMPORT_SECONDS = 60.0
ANSWER_SECONDS = 5.0  # for a server that has not answered once
RETRY_SECONDS = 2.0  # in all, for calls that a server refuses at once
PAUSE_SECONDS = 0.4
COOLDOWN_SECONDS = 60.0  # before a dead server is asked again


class MlflowSink:
    """Mirrors one run after another in MLflow; the store is opened once, in the background.

    `start`, `epochs` and `finish` belong to one run at a time. `close` puts environment and log
    levels back; call it from the thread that made the sink.
    """

    def __init__(self, tracking: TrackingConfig, results: Path) -> None:
        """Start the background thread, which imports MLflow and prepares the store."""
        self._tracking, self._results = tracking, results
        self._uri = store_uri(tracking.uri, results)
        self._client: Any = None
        self._experiment_id = ""
        self._mirror: Mirror | None = None
        self._failure: tuple[float, Exception] | None = None
        self._patience = RETRY_SECONDS
        self._due: float | None = None
        self._imported, self._answered = threading.Event(), threading.Event()
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(quiet())
        self._thread = threading.Thread(target=self._work, name="nnbench-mlflow", daemon=True)
        self._thread.start()

    def start(self, run: RunResult) -> None:
        """Create the MLflow run; returns at once."""
        self._tasks.put(lambda: self._start(run))

    def epochs(self, run: RunResult, records: Sequence[EpochRecord]) -> None:
        """Log the figures of `records`, the last of which has just ended; returns at once."""
        now = time.time()
        self._tasks.put(lambda: self._collect(run, records, now))

    def finish(self, run: RunResult) -> dict[str, Any]:
        """Log what is missing, upload the files and end the MLflow run; wait for it, bounded.

        Returns `mlflow_run_id, experiment_id, uri, seconds` (what tracking took in the
        background), or `error`, one line.
        """
        answer: Future[dict[str, Any]] = Future()
        self._tasks.put(lambda: self._answer(run, answer))
        self._imported.wait(IMPORT_SECONDS)
        if is_remote(self._uri):
            self._answered.wait(ANSWER_SECONDS)
        patient = self._answered.is_set() or not is_remote(self._uri)
        limit = FINISH_SECONDS if patient else 0.0
        try:
            return answer.result(limit)
        except TimeoutError:
            waited = FINISH_SECONDS if patient else ANSWER_SECONDS
            return {"error": self._line(f"no answer in {waited:.0f} s")}

    def certify(self, run: RunResult) -> None:
        """Add a run's parity certificate to the MLflow run that it has; returns at once."""
        self._tasks.put(lambda: self._certify(run))

    def close(self) -> None:
        """End the background thread, waiting a moment for what it is doing."""
        self._tasks.put(None)
        self._thread.join(ANSWER_SECONDS)
        self._quiet.close()

    def _work(self) -> None:
        """Do the tasks in order; log what has gathered when it is due."""
        self._try(self._import)
        self._imported.set()
        self._try(self._ready)
        self._answered.set()
        while True:
            wait = None if self._due is None else max(0.0, self._due - time.monotonic())
            try:
                task = self._tasks.get(timeout=wait)
            except queue.Empty:
                self._try(self._flush)
                continue
            if task is None:
                self._try(self._flush)
                return
            try:
                task()
            except Exception as error:
                self._failure = (time.monotonic(), error)

    def _import(self) -> None:
        from mlflow import MlflowClient  # noqa: F401 - in this thread, so that nobody waits

        hush()

    def _try(self, action: Callable[[], None]) -> bool:
        """Do `action` unless the store failed a moment ago; keep its error. Returns success.

        A refusal that comes at once is tried again within RETRY_SECONDS in all.
        """
        if self._failure and time.monotonic() - self._failure[0] < COOLDOWN_SECONDS:
            return False
        began = time.monotonic()
        try:
            self._retried(action)
            self._failure = None
        except Exception as error:
            self._failure = (time.monotonic(), error)
        finally:
            if self._mirror:
                self._mirror.seconds += time.monotonic() - began
        return self._failure is None

    def _retried(self, action: Callable[[], None]) -> None:
        while True:
            began = time.monotonic()
            try:
                return action()
            except Exception as error:
                self._patience -= time.monotonic() - began + PAUSE_SECONDS
                if self._patience < 0 or not is_remote(self._uri):
                    raise error
                time.sleep(PAUSE_SECONDS)

    def _ready(self) -> None:
        """Open the store, and create the run if one has been started, where that is not done."""
        if self._client is None:
            self._client, self._experiment_id = open_store(
                self._tracking.uri, self._tracking.experiment, self._results
            )
        if self._mirror:
            self._mirror.create(self._client, self._experiment_id)

    def _mirror_of(self, run: RunResult) -> Mirror:
        if self._mirror is None or self._mirror.run.run_id != run.run_id:
            self._mirror = Mirror(run)
        return self._mirror

    def _start(self, run: RunResult) -> None:
        self._mirror_of(run)
        self._try(self._ready)

    def _collect(self, run: RunResult, records: Sequence[EpochRecord], end: float) -> None:
        mirror = self._mirror_of(run)
        mirror.add(records, end)
        if len(mirror.pending) >= BATCH_METRICS:
            self._try(self._flush)
        elif self._due is None:
            self._due = time.monotonic() + BATCH_SECONDS

    def _flush(self) -> None:
        self._due = None
        if self._mirror and self._mirror.pending:
            self._ready()
            self._mirror.flush(self._client)

    def _answer(self, run: RunResult, answer: Future[dict[str, Any]]) -> None:
        try:
            answer.set_result(self._finish(run))
        except Exception as error:
            answer.set_result({"error": self._line(reason(error))})

    def _finish(self, run: RunResult) -> dict[str, Any]:
        mirror, end = self._mirror_of(run), content.ended(run)
        mirror.run = run
        mirror.add(run.epochs, end)
        mirror.pending += content.final_metrics(run, end)
        done = self._try(self._flush) and self._try(lambda: mirror.end(self._client, end))
        self._mirror, self._due = None, None
        known = {
            "mlflow_run_id": mirror.mlflow_id,
            "experiment_id": self._experiment_id,
            "uri": without_password(self._uri),
        }
        if done:
            return known | {"seconds": round(mirror.seconds, 3)}
        assert self._failure is not None
        error = {"error": self._line(reason(self._failure[1]))}
        return known | error if mirror.mlflow_id else error

    def _certify(self, run: RunResult) -> None:
        mlflow_id = run.tracking.get("mlflow_run_id")
        if mlflow_id and run.parity:
            self._try(lambda: add_parity(self._client, mlflow_id, run))

    def _line(self, why: str) -> str:
        return (
            f"MLflow at {without_password(self._uri)} did not take the run: {why}. "
            f"It is complete in its own folder; {remedy(self._tracking.uri)}"
        )
