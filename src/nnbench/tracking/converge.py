"""Bringing a store to what a record says: one function for live runs, their end and `sync`.

Nothing is kept of what was sent. The store is asked what it shows, and what differs is logged
until nothing does; so a call may fail anywhere, come twice, or come late.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from typing import Any

from filelock import FileLock

from nnbench.formatting import count
from nnbench.records.run import RunResult
from nnbench.tracking import content
from nnbench.tracking.difference import DIGEST_TAG, Mirror, difference, log, shows
from nnbench.tracking.quiet import StoreError
from nnbench.tracking.shown import Shown
from nnbench.tracking.store import holding

LOCK_NAME = ".mlflow.lock"
RUN_TAG = "nnbench.run_id"
CREATED = "uploaded"
PASSES = 6
PAGE_RUNS = 50


def converge(
    client: Any, experiment_id: str, run: RunResult, known: Mirror | None = None
) -> Mirror:
    """Make the experiment show `run` once, as its record has it; return where.

    A lock in the run's folder keeps other processes out meanwhile. Raises StoreError where the
    store goes on showing something else, and what MLflow and its drivers raise.
    """
    assert run.directory is not None
    shown, said = Shown(run), list[str]()
    with holding(FileLock(run.directory / LOCK_NAME), client.beat):
        for _ in range(PASSES):
            entity = _the_one(client, experiment_id, shown, said)
            if known is None or known.mlflow_id != entity.info.run_id:
                known = Mirror(entity.info.run_id)
            if _brought(client, entity, shown, known, said):
                known.epochs = len(run.epochs)
                known.said = [CREATED] if CREATED in said else list(dict.fromkeys(said))
                return known
    raise StoreError("it goes on showing something else than it is given")


def follow(client: Any, run: RunResult, known: Mirror, others: Iterable[content.Metric]) -> None:
    """Log the epochs of a running run that the store does not have yet, and `others`.

    Where that fails, `known` no longer holds.
    """
    log(client, known.mlflow_id, [*content.epoch_metrics(run, known.epochs), *others])
    known.epochs = len(run.epochs)


def search(client: Any, experiment_id: str, run_id: str | None = None) -> dict[str, list[Any]]:
    """Return the MLflow runs of one of our runs, or of all, by our id; deleted ones too."""
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
            return found


def is_shown(found: Sequence[Any], run: RunResult) -> bool:
    """Tell, without asking, whether the MLflow runs `found` of a run are one, and that complete."""
    active = _active(found)
    return len(active) == 1 and shows(active[0], Shown(run))


def _the_one(client: Any, experiment_id: str, shown: Shown, said: list[str]) -> Any:
    """Return the MLflow run of a run: created or restored where there is none, the others deleted.

    What a server answers to a creation is not taken on trust: it may be lost, late, or another's.
    """
    run_id = shown.run.run_id
    found = search(client, experiment_id, run_id).get(run_id, [])
    if not _active(found):
        said.append("restored, for it had been deleted there" if found else CREATED)
        if found:
            client.restore_run(min(found, key=_rank).info.run_id)
        else:
            _create(client, experiment_id, shown)
        found = search(client, experiment_id, run_id).get(run_id, [])
    if not _active(found):
        raise StoreError("it does not show the run that it was given")
    best, *others = sorted(_active(found), key=_rank)
    for other in others:
        _delete(client, other)
    if others:
        said.append(f"{count(len(others), 'duplicate')} deleted")
    return best


def _brought(client: Any, entity: Any, shown: Shown, known: Mirror, said: list[str]) -> bool:
    """Log what differs; tell whether nothing did."""
    if shows(entity, shown):
        return True
    lacking = difference(client, entity, shown, known)
    if lacking is None:
        said.append("made anew, for it had epochs that are not on record")
        _delete(client, entity)
        _create(client, entity.info.experiment_id, shown)
        return False
    if not any(vars(lacking).values()):
        log(client, entity.info.run_id, tags={DIGEST_TAG: shown.digest})
        return True
    said += lacking.words()
    lacking.remove(client, entity.info.run_id, shown)
    return False


def _create(client: Any, experiment_id: str, shown: Shown) -> None:
    client.create_run(
        experiment_id,
        start_time=round(content.started(shown.run) * 1000),
        tags=shown.tags | {"mlflow.user": _user()},
        run_name=shown.run.name,
    )


def _delete(client: Any, entity: Any) -> None:
    if entity.info.status == "RUNNING":
        client.set_terminated(entity.info.run_id, "KILLED")
    client.delete_run(entity.info.run_id)


def _active(found: Sequence[Any]) -> list[Any]:
    return [each for each in found if each.info.lifecycle_stage == "active"]


def _rank(entity: Any) -> tuple[Any, ...]:
    """Order the MLflow runs of one run: the most complete first, always the same one."""
    size = len(entity.data.metrics) + len(entity.data.params)
    return (entity.info.status == "RUNNING", -size, entity.info.run_id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return "unknown"
