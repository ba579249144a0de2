"""The MLflow sink: mirrors runs from a background thread of the process that started them.

Nothing here can fail a run, or hold it up for long: what MLflow does not take becomes one line in
the answer of `finish`, run.json has it all, and `nnbench sync` brings it later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from nnbench.config.run import TrackingConfig
from nnbench.records.run import EpochRecord, RunResult
from nnbench.tracking.converge import converge, follow, is_shown, search
from nnbench.tracking.difference import Mirror
from nnbench.tracking.note import experiment_note
from nnbench.tracking.patience import Patience
from nnbench.tracking.quiet import StoreError, hush, quiet
from nnbench.tracking.refusal import reason, remedy
from nnbench.tracking.shown import ARTIFACTS
from nnbench.tracking.state import address
from nnbench.tracking.store import (
    LASTING,
    PAUSE_SECONDS,
    RETRY_SECONDS,
    Client,
    check_answering,
    open_store,
    store_uri,
)
from nnbench.tracking.system import SystemMetrics

FOLLOW_SECONDS = 1.0  # between looks at the runs that run
FOLLOW_SHARE = 0.2  # of the time that the looks may take
IMPORT_SECONDS = 60.0
COOLDOWN_SECONDS = 5.0  # before a store that failed is asked again
FEW = 10  # runs that are searched for one by one
T = TypeVar("T")


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
        self._store: tuple[Client, str] | None = None
        self._live: dict[str, tuple[RunResult, list[EpochRecord]]] = {}
        self._known: dict[str, Mirror] = {}  # what this process has seen in the store
        self._seconds: dict[str, float] = {}
        self.said: dict[str, list[str]] = {}
        self._failed = -COOLDOWN_SECONDS  # when the store did last
        self._error: Exception | None = None  # of the last call, None where it went well
        self._due: float | None = None
        self._patience = Patience(patient)
        self._imported = threading.Event()
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(quiet(patient))
        self._system = SystemMetrics() if tracking.system_metrics else None
        self._thread = threading.Thread(target=self._work, name="nnbench-mlflow", daemon=True)
        self._thread.start()

    def start(self, run: RunResult) -> None:
        """Begin to follow a run; returns at once."""
        self._live[run.run_id] = run, list(run.epochs)
        self._tasks.put(self._follow)

    def epochs(self, run: RunResult, records: Sequence[EpochRecord]) -> None:
        """Note epochs that are on record now; they are logged in a moment."""
        self._live[run.run_id][1].extend(records)

    def finish(self, run: RunResult) -> dict[str, Any]:
        """Have MLflow show what the record says; wait for it, bounded.

        Returns `mlflow_run_id, experiment_id, uri, seconds` (what tracking took in the
        background), or `error`, one line. What was brought or repaired is in `said`.
        """
        return self.finishing(run)()

    def finishing(self, run: RunResult) -> Callable[[], dict[str, Any]]:
        """Begin what `finish` does; return what waits for it, to be called once."""
        self._live.pop(run.run_id, None)
        answer = self._ask(lambda: self._finish(run), [run.run_id])

        def wait() -> dict[str, Any]:
            try:
                return self._answer(answer, run)
            except Exception as error:
                known = self._known.get(run.run_id)
                where = self._place(known.mlflow_id) if known and self._store else {}
                return where | {"error": self._line(reason(error))}

        return wait

    def lacking(self, runs: Sequence[RunResult]) -> list[RunResult]:
        """Return the runs that MLflow does not show as they are on record.

        Raises StoreError where it does not answer.
        """
        try:
            return self._answer(self._ask(lambda: self._lacking(runs), ()))
        except Exception as error:
            raise StoreError(self._line(reason(error))) from None

    def certify(self, run: RunResult) -> None:
        """Bring a certificate that a run has got after its end; returns at once."""
        self._ask(lambda: self._finish(run), [run.run_id])

    def describe(self, runs: Sequence[RunResult]) -> None:
        """Put a table of `runs`, the latest sweep, on the experiment's page; returns at once."""
        text = experiment_note(runs)

        def do() -> None:
            client, experiment = self._opened()
            client.set_experiment_tag(experiment, "mlflow.note.content", text)

        self._ask(do, ())

    def close(self) -> None:
        """End the background thread, waiting a moment for what it is doing."""
        self._tasks.put(None)

        def ended(seconds: float) -> bool:
            self._thread.join(seconds)
            return not self._thread.is_alive()

        self._patience.wait(ended)
        self._quiet.close()

    def _ask(self, action: Callable[[], T], runs: Collection[str]) -> Future[T]:
        """Have the thread do something with the store that concerns these runs."""
        answer: Future[T] = Future()

        def task() -> None:
            try:
                answer.set_result(self._attempted(action, runs))
            except Exception as error:
                answer.set_exception(error)

        self._tasks.put(task)
        return answer

    def _answer(self, answer: Future[T], run: RunResult | None = None) -> T:
        """Wait for an answer; raises StoreError where patience ends."""

        def done(seconds: float) -> bool:
            with contextlib.suppress(TimeoutError):
                answer.exception(seconds)
            return answer.done()

        self._imported.wait(IMPORT_SECONDS)
        files = [run.directory / name for name in ARTIFACTS] if run and run.directory else []
        if self._patience.wait(done, sum(f.stat().st_size for f in files if f.is_file())):
            return answer.result()
        raise self._error or StoreError("it does not answer in time")

    def _work(self) -> None:
        """Do the tasks in order; look at the running runs in between."""
        from mlflow import MlflowClient  # noqa: F401 - in this thread, so that nobody waits

        hush()
        self._imported.set()
        self._ask(self._opened, ())
        while True:
            wait = max(0.0, self._due - time.monotonic()) if self._due and self._live else None
            try:
                task = self._tasks.get(timeout=wait)
            except queue.Empty:
                task = self._follow
            if task is None:
                return
            task()

    def _attempted(self, action: Callable[[], T], runs: Collection[str]) -> T:
        """Do `action` unless the store failed a moment ago.

        What fails is begun again as long as the store answers in between.
        """
        if self._error and time.monotonic() - self._failed < COOLDOWN_SECONDS:
            raise self._error
        began = time.monotonic()
        try:
            while True:
                try:
                    done = action()
                    self._error = None
                    return done
                except Exception as error:
                    self._error = error
                    for run_id in runs:
                        self._known.pop(run_id, None)
                    lasting = isinstance(error, StoreError | ImportError)
                    lasting |= getattr(error, "error_code", "") in LASTING
                    idle = time.monotonic() - max(began, self._patience.alive)
                    if lasting or idle > RETRY_SECONDS:
                        self._failed = time.monotonic()
                        raise
                    time.sleep(PAUSE_SECONDS)
        finally:
            for run_id in runs:
                taken = (time.monotonic() - began) / len(runs)
                self._seconds[run_id] = self._seconds.get(run_id, 0.0) + taken

    def _opened(self) -> tuple[Client, str]:
        """Return client and experiment, opening the store where that is not done."""
        if self._store is None:
            is_made, beat = check_answering(self._uri), self._patience.beat
            with contextlib.nullcontext() if is_made else self._patience.making():
                self._store = open_store(
                    self._tracking.uri, self._tracking.experiment, self._results, beat
                )
        return self._store

    def _follow(self) -> None:
        """Look at the runs that run, and log what they have more than the store."""
        began = time.monotonic()
        with contextlib.suppress(Exception):
            self._attempted(self._log_live, list(self._live))
        taken = time.monotonic() - began
        self._due = began + taken + max(FOLLOW_SECONDS, taken / FOLLOW_SHARE)

    def _log_live(self) -> None:
        client, experiment = self._opened()
        for run_id, (begun, records) in list(self._live.items()):
            run = dataclasses.replace(begun, epochs=tuple(records))
            known = self._known.get(run_id)
            if known is None:
                self._known[run_id] = converge(client, experiment, run)
            elif self._system or len(run.epochs) > known.epochs:
                others = self._system.metrics(run) if self._system else ()
                follow(client, run, known, others)

    def _finish(self, run: RunResult) -> dict[str, Any]:
        client, experiment = self._opened()
        known = self._known.get(run.run_id)
        self._known[run.run_id] = known = converge(client, experiment, run, known)
        seconds = round(self._seconds.get(run.run_id, 0.0), 3)
        self.said[run.run_id] = known.said
        return self._place(known.mlflow_id) | {"seconds": seconds}

    def _lacking(self, runs: Sequence[RunResult]) -> list[RunResult]:
        client, experiment = self._opened()
        asked = [None] if len(runs) > FEW else [run.run_id for run in runs]
        found = {k: v for run_id in asked for k, v in search(client, experiment, run_id).items()}
        return [run for run in runs if not is_shown(found.get(run.run_id, []), run)]

    def _place(self, mlflow_id: str) -> dict[str, Any]:
        """Return where a run is, as its record keeps it."""
        assert self._store is not None
        uri = address(self._tracking, self._results)
        return {"mlflow_run_id": mlflow_id, "experiment_id": self._store[1], "uri": uri}

    def _line(self, why: str) -> str:
        return (
            f"MLflow at {address(self._tracking, self._results)} did not take the run: {why}. "
            f"It is complete in its own folder; {remedy(self._tracking.uri)}"
        )
