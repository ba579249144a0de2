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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnbench.config import TrackingConfig
from nnbench.record import RECORD_NAME, EpochRecord, RunResult
from nnbench.tracking import content
from nnbench.tracking.content import Metric
from nnbench.tracking.note import note
from nnbench.tracking.refusal import reason, remedy
from nnbench.tracking.store import (
    find_run,
    hush,
    is_remote,
    open_store,
    quiet,
    store_uri,
    without_password,
)

ARTIFACTS = (RECORD_NAME, "config.yaml", "weights.safetensors", "predictions.npz", "worker.log")
BATCH_SECONDS = 1.0  # metrics wait this long for company
BATCH_METRICS = 200  # or until there are this many
MOST_METRICS = 1000  # that MLflow takes at once
MOST_PARAMS = 100
FINISH_SECONDS = 60.0
IMPORT_SECONDS = 60.0
ANSWER_SECONDS = 5.0  # for a server that has not answered once
RETRY_SECONDS = 2.0  # in all, for calls that a server refuses at once
PAUSE_SECONDS = 0.4
COOLDOWN_SECONDS = 60.0  # before a dead server is asked again


@dataclass
class _Mirror:
    """One run as far as MLflow has it."""

    run: RunResult
    mlflow_id: str | None = None
    seen: set[int] = field(default_factory=set)
    pending: list[Metric] = field(default_factory=list)
    seconds: float = 0.0


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
        self._mirror: _Mirror | None = None
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
        if self._mirror and self._mirror.mlflow_id is None:
            self._mirror.mlflow_id = self._create(self._mirror.run)

    def _start(self, run: RunResult) -> None:
        self._mirror = _Mirror(run)
        self._try(self._ready)

    def _create(self, run: RunResult) -> str:
        """Create the run, or open again the one that an earlier session has made."""
        import getpass

        from mlflow.entities import Param

        if run.tracking.get("mlflow_run_id"):
            known = find_run(self._client, self._experiment_id, run)
            if known:
                return self._reopen(known)
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container without an entry for its user
            user = "unknown"
        created = self._client.create_run(
            self._experiment_id,
            start_time=round(content.started(run) * 1000),
            tags=content.tags(run, user),
            run_name=run.name,
        )
        mlflow_id = str(created.info.run_id)
        params = [Param(key, value) for key, value in content.params(run).items()]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(mlflow_id, params=params[first : first + MOST_PARAMS])
        self._log_dataset(mlflow_id, run)
        return mlflow_id

    def _reopen(self, mlflow_id: str) -> str:
        """Continue a run, leaving out the epochs that it has."""
        assert self._mirror is not None
        self._client.update_run(mlflow_id, status="RUNNING")
        history = self._client.get_metric_history(mlflow_id, "time/epoch_seconds")
        steps = {metric.step for metric in history}
        self._mirror.seen |= steps
        self._mirror.pending = [
            metric
            for metric in self._mirror.pending
            if metric.step not in steps or metric.key not in content.EPOCH_METRICS
        ]
        return mlflow_id

    def _log_dataset(self, mlflow_id: str, run: RunResult) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        values = content.dataset(run)
        if values:
            tags = [InputTag("mlflow.data.context", "training")]
            self._client.log_inputs(mlflow_id, [DatasetInput(Dataset(**values), tags)])

    def _collect(self, run: RunResult, records: Sequence[EpochRecord], end: float) -> None:
        mirror = self._mirror_of(run)
        fresh = [record for record in records if record.epoch not in mirror.seen]
        mirror.seen |= {record.epoch for record in fresh}
        mirror.pending += content.epoch_metrics(fresh, end)
        if len(mirror.pending) >= BATCH_METRICS:
            self._try(self._flush)
        elif self._due is None:
            self._due = time.monotonic() + BATCH_SECONDS

    def _mirror_of(self, run: RunResult) -> _Mirror:
        if self._mirror is None or self._mirror.run.run_id != run.run_id:
            self._mirror = _Mirror(run)
        return self._mirror

    def _flush(self) -> None:
        """Log what is pending; what was logged is forgotten batch by batch."""
        from mlflow.entities import Metric as MlflowMetric

        self._due = None
        mirror = self._mirror
        if mirror is None or not mirror.pending:
            return
        self._ready()
        while mirror.pending:
            batch = mirror.pending[:MOST_METRICS]
            self._client.log_batch(mirror.mlflow_id, metrics=[MlflowMetric(*m) for m in batch])
            del mirror.pending[: len(batch)]

    def _answer(self, run: RunResult, answer: Future[dict[str, Any]]) -> None:
        try:
            answer.set_result(self._finish(run))
        except Exception as error:
            answer.set_result({"error": self._line(reason(error))})

    def _finish(self, run: RunResult) -> dict[str, Any]:
        self._due = None
        mirror = self._mirror_of(run)
        mirror.run = run
        end = content.ended(run)
        self._collect(run, run.epochs, end)
        mirror.pending += content.final_metrics(run, end)
        done = self._try(self._ready) and self._try(self._flush)
        done = done and self._try(lambda: self._end(mirror, end))
        known = {"mlflow_run_id": mirror.mlflow_id, "experiment_id": self._experiment_id}
        known["uri"] = without_password(self._uri)
        self._mirror, self._due = None, None
        if done:
            return known | {"seconds": round(mirror.seconds, 3)}
        assert self._failure is not None
        error = {"error": self._line(reason(self._failure[1]))}
        return known | error if mirror.mlflow_id else error

    def _end(self, mirror: _Mirror, end: float) -> None:
        """Set note and status, upload the files; a failed upload leaves an ended run behind."""
        from mlflow.entities import RunTag

        run, client, mlflow_id = mirror.run, self._client, mirror.mlflow_id
        tags = {"mlflow.note.content": note(run), "nnbench.status": run.status}
        client.log_batch(mlflow_id, tags=[RunTag(*tag) for tag in tags.items()])
        try:
            for name in ARTIFACTS if run.directory else ():
                path = run.directory / name  # type: ignore[operator]
                if path.is_file() and path.stat().st_size:
                    client.log_artifact(mlflow_id, str(path))
        finally:
            client.set_terminated(mlflow_id, content.STATUS[run.status], round(end * 1000))

    def _line(self, why: str) -> str:
        return (
            f"MLflow at {without_password(self._uri)} did not take the run: {why}. "
            f"It is complete in its own folder; {remedy(self._tracking.uri)}"
        )
