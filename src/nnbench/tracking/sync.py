"""Bringing recorded runs to MLflow after the fact, and taking them out again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from nnbench.config.installation import need
from nnbench.config.run import TrackingConfig
from nnbench.errors import ResultsError
from nnbench.records.run import RunResult
from nnbench.tracking.refusal import reason
from nnbench.tracking.state import address, has_all
from nnbench.tracking.store import quiet, store_uri

Waiting = list[tuple[TrackingConfig, RunResult]]


def missing(
    runs: Sequence[RunResult],
    results: Path,
    uri: str | None = None,
    experiment: str | None = None,
    local: bool = False,
) -> Waiting:
    """Return the runs that MLflow lacks, wholly or in part, each with where it is to go.

    `uri` and `experiment` None: as the run was configured. `local`: those configured for the
    results folder alone, too. Running ones are left to those who run them.
    """
    found: Waiting = []
    for run in runs:
        settings: dict[str, Any] = run.config.get("tracking") or {}
        wanted = TrackingConfig(
            uri=uri or settings.get("uri"),
            experiment=experiment or settings.get("experiment") or "nnbench",
        )
        asked = local or uri is not None or settings.get("name", "mlflow") == "mlflow"
        if asked and run.status != "running" and not has_all(run, wanted, results):
            found.append((wanted, run))
    return found


def upload(waiting: Waiting, results: Path) -> Iterator[RunResult]:
    """Bring them there; yield each run with its new `tracking`, which its record has too."""
    from nnbench.tracking.mlflow import MlflowSink

    if waiting:
        need("nnbench sync", "mlflow")

    def place(item: tuple[TrackingConfig, RunResult]) -> tuple[str, str]:
        return item[0].uri or "", item[0].experiment

    for _, group in groupby(sorted(waiting, key=place), key=place):
        items = list(group)
        sink = MlflowSink(items[0][0], results, patient=True)
        try:
            for tracking, run in items:
                answer = sink.finish(run) | {"experiment": tracking.experiment}
                done = dataclasses.replace(run, tracking=answer)
                with contextlib.suppress(ResultsError):
                    done.write()
                yield done
        finally:
            sink.close()


def forget(run: RunResult) -> list[str]:
    """Delete what MLflow has of a run; return, in a line each, why it could not be."""
    mlflow_id = run.tracking.get("mlflow_run_id")
    if not mlflow_id or run.directory is None:
        return []
    results = run.directory.parent.parent
    settings = run.config.get("tracking") or {}
    tracking = TrackingConfig(uri=settings.get("uri"))
    uri = store_uri(tracking.uri, results)
    if run.tracking.get("uri") != address(tracking, results):
        uri = str(run.tracking.get("uri"))
    try:
        with quiet(patient=True):
            from mlflow import MlflowClient

            MlflowClient(tracking_uri=uri).delete_run(mlflow_id)
    except Exception as error:  # whatever MLflow raises
        return [f"{run.name} ({run.run_id}) stays in MLflow at {uri}: {reason(error)}"]
    return []
