"""What an MLflow run shows other than its record, and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnbench.formatting import count
from nnbench.tracking.content import Metric
from nnbench.tracking.shown import Shown

DIGEST_TAG = "nnbench.digest"  # of all that a run shows; set once it does
FILES_TAG = "nnbench.files"
PASSING = {  # tags that go where the record has them no more
    *("nnbench.case", "nnbench.flags", "nnbench.message", "nnbench.parity", "nnbench.sweep"),
    "mlflow.note.content",
}
MOST_METRICS = 1000  # that MLflow takes at once
MOST_PARAMS = 100
NAMED = 3  # things that a line names before it counts


@dataclass
class Mirror:
    """Where a store has a run, and how far this process knows that it shows the record.

    `epochs` of its first records, and the series with these hashes, were seen or logged; they save
    asking, and may be dropped at any time. `said` is what was brought or repaired, in words.
    """

    mlflow_id: str
    epochs: int = 0
    series: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def shows(entity: Any, shown: Shown) -> bool:
    """Tell whether an MLflow run is complete by its digest and has not changed since.

    Its status and the latest value of each figure are compared; nothing is asked.
    """
    return entity.data.tags.get(DIGEST_TAG) == shown.digest and not (
        _has_other_status(entity, shown)
        or any(
            entity.data.metrics.get(key) != points[max(points)].value
            for key, points in shown.series(entity.data.metrics).items()
        )
    )


@dataclass(frozen=True)
class Difference:
    """What an MLflow run lacks; it shows other values of those of the figures in `corrected`."""

    entity: Any
    shown: Shown
    metrics: list[Metric]
    corrected: list[str]

    @property
    def params(self) -> dict[str, str]:
        """Return the params that are missing. MLflow changes none, nor does a run."""
        return {k: v for k, v in self.shown.params.items() if k not in self.entity.data.params}

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags that are missing or other."""
        tags = self.entity.data.tags
        return {key: value for key, value in self.shown.tags.items() if tags.get(key) != value}

    @property
    def gone(self) -> list[str]:
        """Return the tags that the record no longer has."""
        return sorted(PASSING & self.entity.data.tags.keys() - self.shown.tags.keys())

    @property
    def files(self) -> list[str]:
        """Return the files that are missing, or have changed since they were uploaded."""
        try:
            known = dict(json.loads(self.entity.data.tags.get(FILES_TAG, "{}")))
        except ValueError:
            known = {}
        return [name for name, state in self.shown.files.items() if known.get(name) != state]

    @property
    def dataset(self) -> dict[str, str] | None:
        """Return the dataset, where it is missing."""
        wanted, inputs = self.shown.dataset, self.entity.inputs
        used = {each.dataset.digest for each in (inputs.dataset_inputs if inputs else ())}
        return wanted if wanted and wanted["digest"] not in used else None

    @property
    def status(self) -> bool:
        """Tell whether status or end are other."""
        return _has_other_status(self.entity, self.shown)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to do."""
        lacks = (self.metrics, self.params, self.tags, self.gone, self.files, self.dataset)
        return not (any(lacks) or self.status)

    def words(self) -> list[str]:
        """Return what is done about it, in words."""
        was, now = self.entity.info.status, self.shown.status
        added = sorted({metric.key for metric in self.metrics} - set(self.corrected))
        return [
            *([f"status {now}, was {was}"] if was != now else []),
            *_named("corrected", self.corrected),
            *_named("added", added),
            *_named("uploaded", self.files),
        ]

    def remove(self, client: Any) -> None:
        """Log what is missing, and correct what is other.

        The files come last: where they cannot be uploaded, the run has ended nevertheless.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        mlflow_id, shown = self.entity.info.run_id, self.shown
        log(client, mlflow_id, self.metrics, self.params, self.tags)
        for key in self.gone:
            client.delete_tag(mlflow_id, key)
        if self.dataset:
            training = [InputTag("mlflow.data.context", "training")]
            client.log_inputs(mlflow_id, [DatasetInput(Dataset(**self.dataset), training)])
        if self.status and shown.end is None:
            client.update_run(mlflow_id, shown.status)
        elif self.status:
            client.set_terminated(mlflow_id, shown.status, shown.end)
        for name in self.files:
            client.log_artifact(mlflow_id, str(shown.path(name)))
        if self.files:
            log(client, mlflow_id, tags={FILES_TAG: json.dumps(shown.files)})


def difference(client: Any, entity: Any, shown: Shown, known: Mirror) -> Difference | None:
    """Return what an MLflow run lacks; None where it has epochs that the record has not.

    MLflow's latest value is that of the highest step, there the newest: a figure is corrected by
    a newer one.
    """
    metrics: list[Metric] = []
    corrected: list[str] = []
    for key, wanted in shown.series(entity.data.metrics).items():
        points = wanted
        seen, last = hash(tuple(points.values())), max(points)
        latest = entity.data.metrics.get(key)
        once = key in shown.finals
        if latest == points[last].value and (once or known.series.get(key) == seen):
            continue
        there = {} if latest is None else _history(client, entity.info.run_id, key)
        if once and there:
            points = {max(there): wanted[last]}
        elif max(there, default=last) > last and shown.end is not None:
            return None
        fresh = [point for step, point in points.items() if step not in there]
        wrong = [
            point._replace(step=step, timestamp=there[step].timestamp + 1)
            for step, point in points.items()
            if step in there and there[step].value != point.value
        ]
        corrected += [key] * bool(wrong)
        metrics += fresh + wrong
        if not (fresh or wrong):
            known.series[key] = seen
    return Difference(entity, shown, metrics, corrected)


def log(
    client: Any,
    mlflow_id: str,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log as much at a time as MLflow takes."""
    from mlflow.entities import Metric as Figure
    from mlflow.entities import Param, RunTag

    rows = [Param(*item) for item in (params or {}).items()]
    for first in range(0, len(rows), MOST_PARAMS):
        client.log_batch(mlflow_id, params=rows[first : first + MOST_PARAMS])
    if tags:
        client.log_batch(mlflow_id, tags=[RunTag(*item) for item in tags.items()])
    for first in range(0, len(metrics), MOST_METRICS):
        batch = [Figure(*metric) for metric in metrics[first : first + MOST_METRICS]]
        client.log_batch(mlflow_id, metrics=batch)


def _history(client: Any, mlflow_id: str, key: str) -> dict[int, Any]:
    """Return what MLflow shows of a figure at each step."""
    found: dict[int, Any] = {}
    for metric in client.get_metric_history(mlflow_id, key):
        before = found.get(metric.step)
        newer = before is None or metric.timestamp >= before.timestamp
        if metric.key == key and newer:
            found[metric.step] = metric
    return found


def _has_other_status(entity: Any, shown: Shown) -> bool:
    other_end = shown.end is not None and entity.info.end_time != shown.end
    return entity.info.status != shown.status or other_end


def _named(what: str, names: Iterable[str]) -> list[str]:
    """Return `what` and the first few names, the rest counted; nothing where there are none."""
    found = list(names)
    more = len(found) - NAMED
    shown = [*found[:NAMED], *([f"{count(more, 'more')}"] if more > 0 else [])]
    return [f"{what} {', '.join(shown)}"] if found else []
