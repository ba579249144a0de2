"""What an MLflow run shows other than its record, and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnbench.schema.files import json_object
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


@dataclass
class Difference:
    """What an MLflow run lacks; of the figures in `corrected` it shows other values.

    Params are never changed: MLflow allows it no more than a run's fingerprint does.
    """

    params: dict[str, str]
    tags: dict[str, str]
    gone: list[str]
    files: list[str]
    dataset: dict[str, str] | None
    status: tuple[str, str] | None
    metrics: list[Metric] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """Return what is done about it, in words."""
        added = sorted({metric.key for metric in self.metrics} - set(self.corrected))
        was, now = self.status or ("", "")
        return [
            *([f"status {now}, was {was}"] if was != now else []),
            *_named("corrected", self.corrected),
            *_named("added", added),
            *_named("uploaded", self.files),
        ]

    def remove(self, client: Any, mlflow_id: str, shown: Shown) -> None:
        """Log what is missing, and correct what is other.

        The files come last: where they cannot be uploaded, the run has ended nevertheless.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

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


def shows(entity: Any, shown: Shown) -> bool:
    """Tell whether an MLflow run is complete by its digest and has not changed since.

    Its status and the latest value of each figure are compared; nothing is asked.
    """
    has = entity.data.metrics
    return entity.data.tags.get(DIGEST_TAG) == shown.digest and not (
        _other_status(entity, shown)
        or any(
            has.get(key) != points[max(points)].value for key, points in shown.series(has).items()
        )
    )


def difference(client: Any, entity: Any, shown: Shown, known: Mirror) -> Difference | None:
    """Return what an MLflow run lacks; None where it has epochs that the record has not.

    MLflow shows the value of the highest step, there the newest: a figure is corrected by a newer
    one.
    """
    found = _besides_figures(entity, shown)
    for key, points in shown.series(entity.data.metrics).items():
        seen, last = hash(tuple(points.values())), max(points)
        latest, once = entity.data.metrics.get(key), key in shown.finals
        if latest == points[last].value and (once or known.series.get(key) == seen):
            continue
        there = {} if latest is None else _history(client, entity.info.run_id, key)
        top = max(there, default=last)
        if top > last and not once and shown.end is not None:
            return None
        wanted = {top: points[last]} if once else points
        missing = [point for step, point in wanted.items() if step not in there]
        wrong = [
            point._replace(step=step, timestamp=there[step].timestamp + 1)
            for step, point in wanted.items()
            if step in there and there[step].value != point.value
        ]
        found.metrics += missing + wrong
        found.corrected += [key] * bool(wrong)
        if not (missing or wrong):
            known.series[key] = seen
    return found


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


def _besides_figures(entity: Any, shown: Shown) -> Difference:
    has = entity.data
    try:
        files = json_object(has.tags.get(FILES_TAG, "{}").encode())
    except ValueError:  # somebody else's tag
        files = {}
    used = {each.dataset.digest for each in (entity.inputs.dataset_inputs if entity.inputs else ())}
    return Difference(
        params={k: v for k, v in shown.params.items() if k not in has.params},
        tags={k: v for k, v in shown.tags.items() if has.tags.get(k) != v},
        gone=sorted(PASSING & has.tags.keys() - shown.tags.keys()),
        files=[name for name, state in shown.files.items() if files.get(name) != state],
        dataset=shown.dataset if shown.dataset and shown.dataset["digest"] not in used else None,
        status=(entity.info.status, shown.status) if _other_status(entity, shown) else None,
    )


def _other_status(entity: Any, shown: Shown) -> bool:
    other_end = shown.end is not None and entity.info.end_time != shown.end
    return entity.info.status != shown.status or other_end


def _history(client: Any, mlflow_id: str, key: str) -> dict[int, Any]:
    """Return what MLflow shows of a figure at each step, the newest."""
    found = [m for m in client.get_metric_history(mlflow_id, key) if m.key == key]
    return {m.step: m for m in sorted(found, key=lambda m: m.timestamp)}


def _named(what: str, names: Iterable[str]) -> list[str]:
    """Return `what` and the first few names, the rest counted; nothing where there are none."""
    found = list(names)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{what} {', '.join(found[:NAMED])}{more}"] if found else []
