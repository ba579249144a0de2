"""The MLflow sink: mirrors runs from a background thread of the process that started them.

Nothing here can fail a run, or hold it up for long: what MLflow does not take becomes one line in
the answer of `finish`, run.json has it all, and `nnbench sync` brings it later.
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

from nnbench.config.run import TrackingConfig
from nnbench.records.run import EpochRecord, RunResult
from nnbench.tracking import content
from nnbench.tracking.mirror import Mirror, add_parity
from nnbench.tracking.note import experiment_note
from nnbench.tracking.refusal import reason, remedy
from nnbench.tracking.state import address
from nnbench.tracking.store import check_answering, hush, is_remote, open_store, quiet, store_uri
from nnbench.tracking.system import SystemMetrics

BATCH_SECONDS = 1.0  # metrics wait this long for company
BATCH_METRICS = 200  # or until there are this many
FINISH_SECONDS = 60.0  # for a store that answers, to take a whole run
IMPORT_SECONDS = 60.0
DEAD_SECONDS = 4.5  # that runs wait in all for a server that does not answer
RETRY_SECONDS = 2.0  # in all, for calls that a server refuses at once
OPEN_SECONDS = 30.0  # for a database that answers, to get its tables
BYTES_PER_SECOND = 2e6  # of an upload, at the least
PAUSE_SECONDS = 0.4
COOLDOWN_SECONDS = 5.0  # before a dead server is asked again


class MlflowSink:
    """Mirrors runs in MLflow, several at a time; the store is opened once, in the background.

    `close` puts environment and log levels back; call it from the thread that made the sink.
    """

    def __init__(self, tracking: TrackingConfig, results: Path, patient: bool = False) -> None:
        """Start the background thread, which imports MLflow and prepares the store.

        `patient`: wait for a slow server, where somebody asked for nothing else.
        """
        self._tracking, self._results = tracking, results
        self._uri = store_uri(tracking.uri, results)
        self._remote = is_remote(self._uri)
        self._client: Any = None
        self._experiment_id = ""
        self._mirrors: dict[str, Mirror] = {}
        self._failure: tuple[float, Exception] | None = None
        self._patience = RETRY_SECONDS
        self._longest = FINISH_SECONDS if patient else DEAD_SECONDS
        self._wait = self._longest
        self._alive = time.monotonic()  # when the store last took something, or work began
        self._due: float | None = None
        self._imported = threading.Event()
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(quiet(patient))
        self._system = SystemMetrics() if tracking.system_metrics else None
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
        return self.finishing(run)()

    def finishing(self, run: RunResult) -> Callable[[], dict[str, Any]]:
        """Begin what `finish` does; return what waits for it, to be called once."""
        answer: Future[dict[str, Any]] = Future()
        self._tasks.put(lambda: self._answer(run, answer))
        return lambda: self._wait_for(run, answer)

    def _wait_for(self, run: RunResult, answer: Future[dict[str, Any]]) -> dict[str, Any]:
        self._imported.wait(IMPORT_SECONDS)
        began = time.monotonic()
        size = sum(path.stat().st_size for path in Mirror(run).files())
        while not answer.done():
            now = time.monotonic()
            silent = now - max(began, self._alive)
            if self._remote and silent > self._wait + size / BYTES_PER_SECOND:
                self._wait = 0.0  # the next run does not wait again
                return {"error": self._line("it does not answer in time")}
            if now - began > FINISH_SECONDS and silent > FINISH_SECONDS:
                return {"error": self._line(f"no answer in {FINISH_SECONDS:.0f} s")}
            with contextlib.suppress(TimeoutError):
                answer.result(0.1)
        return answer.result()

    def certify(self, run: RunResult) -> None:
        """Add a run's parity certificate to the MLflow run that it has; returns at once."""
        self._tasks.put(lambda: self._certify(run))

    def describe(self, runs: Sequence[RunResult]) -> None:
        """Put a table of `runs`, the latest sweep, on the experiment's page; returns at once."""
        self._tasks.put(lambda: self._describe(list(runs)))

    def close(self) -> None:
        """End the background thread, waiting a moment for what it is doing."""
        self._tasks.put(None)
        self._thread.join(max(0.5, self._wait))
        self._quiet.close()

    def _work(self) -> None:
        """Do the tasks in order; log what has gathered when it is due."""
        self._try(self._import)
        self._imported.set()
        self._try(self._ready)
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

        A refusal that comes at once is tried again, until patience is used up.
        """
        if self._failure and time.monotonic() - self._failure[0] < COOLDOWN_SECONDS:
            return False
        began = time.monotonic()
        try:
            self._retried(action)
            self._failure, self._alive = None, time.monotonic()
            self._patience, self._wait = RETRY_SECONDS, self._longest
        except Exception as error:
            self._failure = (time.monotonic(), error)
        finally:
            taken = time.monotonic() - began
            for mirror in self._mirrors.values():
                mirror.seconds += taken / len(self._mirrors)
        return self._failure is None

    def _retried(self, action: Callable[[], None]) -> None:
        while True:
            began = time.monotonic()
            try:
                return action()
            except Exception as error:
                self._patience -= time.monotonic() - began + PAUSE_SECONDS
                if self._patience < 0 or not self._remote:
                    raise error
                time.sleep(PAUSE_SECONDS)

    def _ready(self) -> None:
        """Open the store, and create the runs that have been started, where that is not done."""
        if self._client is None:
            check_answering(self._uri)
            self._alive = time.monotonic() + (0.0 if self._uri.startswith("http") else OPEN_SECONDS)
            self._client, self._experiment_id = open_store(
                self._tracking.uri, self._tracking.experiment, self._results
            )
        for mirror in self._mirrors.values():
            mirror.create(self._client, self._experiment_id)
            self._beat()

    def _mirror_of(self, run: RunResult) -> Mirror:
        return self._mirrors.setdefault(run.run_id, Mirror(run, beat=self._beat))

    def _beat(self) -> None:
        self._alive = time.monotonic()

    def _start(self, run: RunResult) -> None:
        self._mirror_of(run)
        self._try(self._ready)
        if self._system:
            self._due = self._due or time.monotonic() + BATCH_SECONDS

    def _collect(self, run: RunResult, records: Sequence[EpochRecord], end: float) -> None:
        mirror = self._mirror_of(run)
        mirror.add(records, end)
        if len(mirror.pending) >= BATCH_METRICS:
            self._try(self._flush)
        elif self._due is None:
            self._due = time.monotonic() + BATCH_SECONDS

    def _flush(self) -> None:
        self._due = None
        if self._system and self._mirrors:
            self._due = time.monotonic() + BATCH_SECONDS
            for mirror in self._mirrors.values():
                mirror.pending += self._system.metrics(mirror.run)
        if any(mirror.pending for mirror in self._mirrors.values()):
            self._ready()
        for mirror in self._mirrors.values():
            if mirror.pending:
                mirror.flush(self._client)

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
        if run.parity:
            mirror.pending += content.parity_metrics(run)
        done = self._try(self._flush) and self._try(lambda: mirror.end(self._client, end))
        del self._mirrors[run.run_id]
        known = {
            "mlflow_run_id": mirror.mlflow_id,
            "experiment_id": self._experiment_id,
            "uri": address(self._tracking, self._results),
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

    def _describe(self, runs: list[RunResult]) -> None:
        text = experiment_note(runs)
        self._try(
            lambda: self._client.set_experiment_tag(
                self._experiment_id, "mlflow.note.content", text
            )
        )

    def _line(self, why: str) -> str:
        return (
            f"MLflow at {address(self._tracking, self._results)} did not take the run: {why}. "
            f"It is complete in its own folder; {remedy(self._tracking.uri)}"
        )
