"""Bringing a store to what a record says: one function for live runs, their end and `sync`.

Nothing is kept of what was sent. The store is asked what it shows, and what differs is logged
until nothing does; so a call may fail anywhere, come twice, or come late.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from filelock import FileLock

from nnbench.formatting import count
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import json_object
from nnbench.tracking.content import Metric, Shown, epoch_metrics, started
from nnbench.tracking.quiet import StoreError
from nnbench.tracking.store import LOCK_NAME, LOCK_SECONDS

RUN_TAG = "nnbench.run_id"
DIGEST_TAG = "nnbench.digest"  # of all that a run shows; set last
FILES_TAG = "nnbench.files"
PASSING = {  # tags that go where the record has them no more
    *("nnbench.case", "nnbench.flags", "nnbench.message", "nnbench.parity", "nnbench.sweep"),
    "mlflow.note.content",
}
CREATED = "uploaded"
PASSES = 9
PAGE_RUNS = 50
MOST_METRICS = 1000  # that MLflow takes at once
MOST_PARAMS = 100
NAMED = 3  # things that a line names before it counts


@dataclass(frozen=True)
class Mirror:
    """Where a store has a run, of how many epochs, and what was brought or repaired, in words."""

    mlflow_id: str
    epochs: int
    said: Sequence[str]


def converge(client: Any, experiment_id: str, run: RunResult) -> Mirror:
    """Make the experiment show `run` once, as its record has it; return where.

    A lock in the run's folder keeps other processes out meanwhile. What a server answers to a
    creation is not taken on trust: it may be lost, late, or another's. Raises StoreError where the
    store goes on showing something else, and what MLflow and its drivers raise.
    """
    assert run.directory is not None
    shown, said = Shown(run), list[str]()
    with FileLock(run.directory / LOCK_NAME, timeout=LOCK_SECONDS):
        for _ in range(PASSES):
            found = search(client, experiment_id, run.run_id).get(run.run_id, [])
            active = _active(found)
            if len(active) > 1:
                said.append(f"{count(len(active) - 1, 'duplicate')} deleted")
                for each in active[1:]:
                    _delete(client, each)
            if active and shows(active[0], shown):
                words = [CREATED] if CREATED in said else list(dict.fromkeys(said))
                return Mirror(active[0].info.run_id, len(run.epochs), words)
            if active:
                _bring(client, active[0], shown, said)
            elif found:
                said.append("restored, for it had been deleted there")
                client.restore_run(found[0].info.run_id)
            else:
                said.append(CREATED)
                _create(client, experiment_id, shown)
    raise StoreError("it goes on showing something else than it is given")


def follow(client: Any, run: RunResult, known: Mirror, others: Iterable[Metric]) -> Mirror:
    """Log the epochs of a running run that the store does not have yet, and `others`."""
    _log(client, known.mlflow_id, [*epoch_metrics(run, known.epochs), *others])
    return Mirror(known.mlflow_id, len(run.epochs), known.said)


def search(client: Any, experiment_id: str, run_id: str | None = None) -> dict[str, list[Any]]:
    """Return the MLflow runs of one of our runs, or of all, by our id, the most complete first.

    Deleted ones too.
    """
    from mlflow.entities import ViewType

    wanted = f"= '{run_id}'" if run_id else "LIKE '%'"
    found: dict[str, list[Any]] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], f"tags.`{RUN_TAG}` {wanted}", ViewType.ALL, PAGE_RUNS, None, token
        )
        for each in page:
            found.setdefault(each.data.tags.get(RUN_TAG, ""), []).append(each)
        token = page.token
        if not token:
            return {run_id: sorted(entities, key=_rank) for run_id, entities in found.items()}


def has_only(client: Any, experiment_id: str, run_id: str, known: Mirror) -> bool:
    """Tell whether the experiment shows a run as `known` alone; its figures are not looked at."""
    active = _active(search(client, experiment_id, run_id).get(run_id, []))
    return [each.info.run_id for each in active] == [known.mlflow_id]


def is_shown(found: Sequence[Any], run: RunResult) -> bool:
    """Tell, without asking, whether the MLflow runs `found` of a run are one, and that complete."""
    active = _active(found)
    return len(active) == 1 and shows(active[0], Shown(run))


def _active(found: Sequence[Any]) -> list[Any]:
    return [each for each in found if each.info.lifecycle_stage == "active"]


def shows(entity: Any, shown: Shown) -> bool:
    """Tell whether an MLflow run is complete by its digest and has not changed since.

    Its status and the latest value of each figure are compared; nothing is asked.
    """
    has = entity.data.metrics
    return (
        entity.data.tags.get(DIGEST_TAG) == shown.digest
        and _state(entity, shown) == (shown.status, shown.end)
        and all(has.get(k) == points[max(points)].value for k, points in shown.series(has).items())
    )


def _bring(client: Any, entity: Any, shown: Shown, said: list[str]) -> None:
    """Log what is missing and correct what is other; begin anew where nothing else helps.

    Params are never changed: MLflow allows it no more than a run's fingerprint does. The files come
    late: where they cannot be uploaded, the run has ended nevertheless. The digest comes last, and
    not before figures that were corrected have been looked at again.
    """
    id_, has = entity.info.run_id, entity.data
    figures = _figures(client, entity, shown)
    if figures is None:
        said.append("made anew, for it had epochs that are not on record")
        _delete(client, entity)
        return _create(client, entity.info.experiment_id, shown)
    missing, wrong = figures
    params = {key: value for key, value in shown.params.items() if key not in has.params}
    tags = {key: value for key, value in shown.tags.items() if has.tags.get(key) != value}
    files = [name for name, state in shown.files.items() if _files(has.tags).get(name) != state]
    state = _state(entity, shown)
    if state[0] != shown.status:
        said.append(f"status {shown.status}, was {state[0]}")
    said += _named("corrected", {metric.key for metric in wrong})
    said += _named("added", {m.key for m in missing} - {m.key for m in wrong})
    said += _named("uploaded", files)
    _log(client, id_, missing + wrong, params, tags)
    for key in sorted(PASSING & has.tags.keys() - shown.tags.keys()):
        client.delete_tag(id_, key)
    _use_dataset(client, entity, shown.dataset)
    if state != (shown.status, shown.end):
        if shown.end is None:
            client.update_run(id_, shown.status)
        else:
            client.set_terminated(id_, shown.status, shown.end)
    for name in files:
        client.log_artifact(id_, str(shown.path(name)))
    digest = {} if wrong else {DIGEST_TAG: shown.digest}
    _log(client, id_, tags={FILES_TAG: json.dumps(shown.files)} | digest)
    return None


def _figures(client: Any, entity: Any, shown: Shown) -> tuple[list[Metric], list[Metric]] | None:
    """Return the figures that are missing and those that correct others.

    None where there are epochs that the record has not. MLflow shows the value of the highest step,
    there the newest: a figure is corrected by a newer one.
    """
    missing, wrong = list[Metric](), list[Metric]()
    for key, points in shown.series(entity.data.metrics).items():
        latest, last, once = entity.data.metrics.get(key), max(points), key in shown.finals
        if once and latest == points[last].value:
            continue
        history = [] if latest is None else client.get_metric_history(entity.info.run_id, key)
        there = {m.step: m for m in sorted(history, key=lambda m: m.timestamp) if m.key == key}
        top = max(there, default=last)
        if top > last and not once and shown.end is not None:
            return None
        for step, point in ({top: points[last]} if once else points).items():
            if step not in there:
                missing.append(point)
            elif there[step].value != point.value:
                wrong.append(point._replace(step=step, timestamp=there[step].timestamp + 1))
    return missing, wrong


def _log(
    client: Any,
    id_: str,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log as much at a time as MLflow takes."""
    from mlflow.entities import Metric as Figure
    from mlflow.entities import Param, RunTag

    rows = [Param(*item) for item in (params or {}).items()]
    for first in range(0, len(rows), MOST_PARAMS):
        client.log_batch(id_, params=rows[first : first + MOST_PARAMS])
    if tags:
        client.log_batch(id_, tags=[RunTag(*item) for item in tags.items()])
    for first in range(0, len(metrics), MOST_METRICS):
        batch = [Figure(*metric) for metric in metrics[first : first + MOST_METRICS]]
        client.log_batch(id_, metrics=batch)


def _use_dataset(client: Any, entity: Any, dataset: Mapping[str, Any] | None) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    used = {each.dataset.digest for each in (entity.inputs.dataset_inputs if entity.inputs else ())}
    if dataset and dataset["digest"] not in used:
        training = [InputTag("mlflow.data.context", "training")]
        client.log_inputs(entity.info.run_id, [DatasetInput(Dataset(**dataset), training)])


def _create(client: Any, experiment_id: str, shown: Shown) -> None:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        user = "unknown"
    client.create_run(
        experiment_id,
        start_time=round(started(shown.run) * 1000),
        tags=shown.tags | {"mlflow.user": user},
        run_name=shown.run.name,
    )


def _delete(client: Any, entity: Any) -> None:
    if entity.info.status == "RUNNING":
        client.set_terminated(entity.info.run_id, "KILLED")
    client.delete_run(entity.info.run_id)


def _state(entity: Any, shown: Shown) -> tuple[str, int | None]:
    """Return status and end of an MLflow run; of one that runs, the end means nothing."""
    return entity.info.status, None if shown.end is None else entity.info.end_time


def _files(tags: Mapping[str, str]) -> dict[str, str]:
    try:
        return json_object(tags.get(FILES_TAG, "{}").encode())
    except ValueError:
        return {}


def _rank(entity: Any) -> tuple[Any, ...]:
    """Order the MLflow runs of one run: the most complete first, always the same one."""
    size = len(entity.data.metrics) + len(entity.data.params)
    return (entity.info.status == "RUNNING", -size, entity.info.run_id)


def _named(what: str, names: Iterable[str]) -> list[str]:
    """Return `what` and the first few names, the rest counted; nothing where there are none."""
    found = sorted(names)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{what} {', '.join(found[:NAMED])}{more}"] if found else []
