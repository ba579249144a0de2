"""The MLflow sink: mirrors runs from a background thread of the process that started them.

Nothing here can fail a run, or hold it up for long: what MLflow does not take becomes one line in
the answer of `finish`, run.json has it all, and `nnbench sync` brings it later.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.run import TrackingConfig
from nnbench.records.run import EpochRecord, RunResult
from nnbench.tracking.background import Background
from nnbench.tracking.converge import Mirror, converge, follow, has_only, is_shown, search
from nnbench.tracking.note import experiment_note
from nnbench.tracking.quiet import StoreError
from nnbench.tracking.refusal import reason, remedy
from nnbench.tracking.store import Client, address, open_store
from nnbench.tracking.system import SystemMetrics

FOLLOW_SECONDS = 1.0  # between looks at the runs that run
FOLLOW_SHARE = 0.2  # of the time that the looks may take
FEW = 10  # runs that are searched for one by one


class MlflowSink:
    """Mirrors runs in MLflow, several at a time; the store is opened once, in the background.

    `close` puts environment and log levels back; call it from the thread that made the sink.
    """

    def __init__(self, tracking: TrackingConfig, results: Path, patient: bool = False) -> None:
        """Start the background thread, which imports MLflow and prepares the store.

        `patient`: wait for a slow server, where somebody asked for nothing else.
        """
        self._tracking, self._results = tracking, results
        self._address = address(tracking, results)
        self._store: tuple[Client, str] | None = None
        self._live: dict[str, tuple[RunResult, list[EpochRecord]]] = {}
        self._known: dict[str, Mirror] = {}  # what this process has seen in the store
        self._failed = set[str]()  # runs whose last look failed
        self.said: dict[str, Sequence[str]] = {}
        self._system = SystemMetrics() if tracking.system_metrics else None
        self._thread = Background(patient, self._look)
        self._thread.begin(self._opened)

    def start(self, run: RunResult) -> None:
        """Begin to follow a run; returns at once."""
        self._live[run.run_id] = run, list(run.epochs)
        self._thread.begin(self._look)

    def epochs(self, run: RunResult, records: Sequence[EpochRecord]) -> None:
        """Note epochs that are on record now; they are logged in a moment."""
        self._live[run.run_id][1].extend(records)

    def finish(self, run: RunResult) -> dict[str, Any]:
        """Have MLflow show what the record says; wait for it, bounded.

        Returns `mlflow_run_id, experiment_id, uri, seconds` (what it took in the background), or
        `error`, one line. What was brought or repaired is in `said`.
        """
        return self.finishing(run)()

    def finishing(self, run: RunResult) -> Callable[[], dict[str, Any]]:
        """Begin what `finish` does; return what waits for it, to be called once."""
        self._live.pop(run.run_id, None)
        answer = self._thread.begin(lambda: self._finish(run))

        def wait() -> dict[str, Any]:
            try:
                return answer()
            except Exception as error:
                known = self._known.get(run.run_id)
                return (self._place(known) if known else {}) | {"error": self._line(error)}

        return wait

    def lacking(self, runs: Sequence[RunResult]) -> list[RunResult]:
        """Return the runs that MLflow does not show as they are on record.

        Raises StoreError where it does not answer.
        """

        def look() -> list[RunResult]:
            client, experiment = self._opened()
            asked = [None] if len(runs) > FEW else [run.run_id for run in runs]
            found = {k: v for one in asked for k, v in search(client, experiment, one).items()}
            return [run for run in runs if not is_shown(found.get(run.run_id, []), run)]

        try:
            return self._thread.begin(look)()
        except Exception as error:
            raise StoreError(self._line(error)) from None

    def describe(self, runs: Sequence[RunResult]) -> None:
        """Put a table of `runs`, the latest sweep, on the experiment's page; returns at once."""

        def do() -> None:
            client, experiment = self._opened()
            client.set_experiment_tag(experiment, "mlflow.note.content", experiment_note(runs))

        self._thread.begin(do)

    def close(self) -> None:
        """End the background thread, waiting a moment for what it is doing."""
        self._thread.close()

    def _opened(self) -> tuple[Client, str]:
        """Return client and experiment, opening the store where that is not done."""
        if self._store is None:
            tracking = self._tracking
            self._store = open_store(
                tracking.uri, tracking.experiment, self._results, self._thread.patience
            )
        return self._store

    def _look(self) -> None:
        """Log what the runs that run have more than the store."""
        began = time.monotonic()
        for run_id, (begun, records) in list(self._live.items()):
            run = dataclasses.replace(begun, epochs=tuple(records))
            known = self._known.get(run_id)
            try:
                client, experiment = self._opened()
                if known is not None and run_id in self._failed:
                    known = known if has_only(client, experiment, run_id, known) else None
                if known is None:
                    known = converge(client, experiment, run)
                elif self._system or len(run.epochs) > known.epochs:
                    others = self._system.metrics(run) if self._system else ()
                    known = follow(client, run, known, others)
            except Exception:  # the next time: what is logged twice is the same to MLflow
                self._failed.add(run_id)
            else:
                self._known[run_id] = known
                self._failed.discard(run_id)
        over = time.monotonic()
        self._thread.due = over + pause(over - began) if self._live else float("inf")

    def _finish(self, run: RunResult) -> dict[str, Any]:
        began = time.monotonic()
        client, experiment = self._opened()
        self._known[run.run_id] = known = converge(client, experiment, run)
        self.said[run.run_id] = known.said
        return self._place(known) | {"seconds": round(time.monotonic() - began, 3)}

    def _place(self, known: Mirror) -> dict[str, Any]:
        """Return where a run is, as its record keeps it."""
        assert self._store is not None
        experiment = self._store[1]
        return {
            "mlflow_run_id": known.mlflow_id, "experiment_id": experiment, "uri": self._address
        }  # fmt: skip

    def _line(self, error: Exception) -> str:
        return (
            f"MLflow at {self._address} did not take the run: {reason(error)}. "
            f"It is complete in its own folder; {remedy(self._tracking.uri)}"
        )


def pause(taken: float) -> float:
    """Return the seconds until the next look after one of `taken`, so that looks keep their share.

    It lets a store that was away be caught up with: longer, and what is behind would never shrink.
    """
    return max(FOLLOW_SECONDS, taken / FOLLOW_SHARE - taken)
