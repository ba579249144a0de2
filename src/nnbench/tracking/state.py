"""Whether MLflow has all of a run, by the run's own record; needs no MLflow."""

from __future__ import annotations

from pathlib import Path

from nnbench.config.run import TrackingConfig
from nnbench.credentials import hidden
from nnbench.records.run import RunResult
from nnbench.tracking.store import store_uri


def address(tracking: TrackingConfig, results: Path) -> str:
    """Return where runs are mirrored, as a record keeps it: no password in it."""
    return hidden(store_uri(tracking.uri, results))


def has_all(run: RunResult, tracking: TrackingConfig, results: Path) -> bool:
    """Tell whether the store and experiment that `tracking` names have the whole run."""
    known = run.tracking
    if "error" in known or not known.get("mlflow_run_id"):
        return False
    same = known.get("experiment", tracking.experiment) == tracking.experiment
    return same and known.get("uri") == address(tracking, results)
