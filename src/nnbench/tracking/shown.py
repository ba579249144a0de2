"""All that MLflow is to show of a run, as its record has it, and the digest of that."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from nnbench.records.run import CONFIG_NAME, OVER, RECORD_NAME, RunResult
from nnbench.schema import files
from nnbench.tracking import content
from nnbench.tracking.content import Metric
from nnbench.tracking.note import note

ARTIFACTS = (RECORD_NAME, CONFIG_NAME, "weights.safetensors", "predictions.npz", "worker.log")


class Shown:
    """What MLflow is to show of `run`; `end` is in milliseconds since 1970."""

    def __init__(self, run: RunResult) -> None:
        self.run, self.status = run, content.STATUS[run.status]
        self.params, self.tags = content.params(run), content.tags(run)
        self.dataset = content.dataset(run)
        self.end: int | None = None
        if run.status != "running":
            self.tags |= {"mlflow.note.content": note(run)}
            self.end = round(content.ended(run) * 1000)

    @cached_property
    def finals(self) -> dict[str, dict[int, Metric]]:
        """Return the figures that a run has once, at its end, by key and step."""
        return _by_step(content.final_metrics(self.run))

    @cached_property
    def lasting(self) -> dict[str, dict[int, Metric]]:
        """Return the figures that will not change any more, by key and step.

        MLflow never forgets a figure: the final ones of a run that may go on are not among them.
        """
        figures = content.epoch_metrics(self.run) + content.parity_metrics(self.run)
        return _by_step(figures) | (self.finals if self.run.status in OVER else {})

    def series(self, has: Collection[str]) -> dict[str, dict[int, Metric]]:
        """Return the figures that a store is to show that shows those in `has`, by key and step.

        Once the final ones of a stopped run are there, they are to be right.
        """
        stopped = self.run.status == "killed"
        early = {k: v for k, v in self.finals.items() if k in has} if stopped else {}
        return early | self.lasting

    @cached_property
    def files(self) -> dict[str, str]:
        """Return the names of the files that MLflow is given, with what changes when they do.

        Where MLflow has the run is in run.json too, and is nothing to upload it for.
        """
        if self.run.directory is None or self.run.status == "running":
            return {}
        found = {}
        for name in ARTIFACTS:
            path = self.run.directory / name
            if path.is_file() and (stat := path.stat()).st_size:
                found[name] = f"{stat.st_size}-{stat.st_mtime_ns}"
        if RECORD_NAME in found:
            with contextlib.suppress(OSError, ValueError):
                found[RECORD_NAME] = _digest_of_record(self.path(RECORD_NAME))
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


def _by_step(metrics: Iterable[Metric]) -> dict[str, dict[int, Metric]]:
    found: dict[str, dict[int, Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.key, {})[metric.step] = metric
    return found


def _digest_of_record(path: Path) -> str:
    """Return the digest of what a run.json says of the run, whatever else may have read it."""
    values = files.json_object(files.content(path))
    return _digest({k: v for k, v in values.items() if k not in ("tracking", "digest")})


def _digest(values: Any) -> str:
    return hashlib.blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()
