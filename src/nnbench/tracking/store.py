"""The MLflow store: where it is, made once whoever comes first, and opened without noise.

MLflow itself is imported where it is used: it takes more than a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from filelock import BaseFileLock, FileLock, Timeout

from nnbench.credentials import usable
from nnbench.tracking.note import EXPERIMENT_NOTE
from nnbench.tracking.quiet import StoreError, bound_answers, hush, quiet

DATABASE_NAME = "mlflow.db"
ARTIFACTS_NAME = "mlartifacts"
LOCK_NAME = ".mlflow.lock"
LOCK_SECONDS = 600.0  # the lock ends with its process: who waits, waits for work being done
CONNECT_SECONDS = 3
RETRY_SECONDS = 2.0  # that a call which is refused is tried again
PAUSE_SECONDS = 0.3
LASTING = {  # what asking again does not change
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE"),
    *("INVALID_STATE", "BAD_REQUEST", "PERMISSION_DENIED", "UNAUTHENTICATED"),
}

VIEW_KEY = "nnbench"  # of the view that `experiments` opens, with the columns that matter here
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
COLUMNS = (
    "metrics.`final/test_accuracy`",
    "metrics.`time/median_epoch_seconds`",
    "metrics.`final/generalization_gap`",
    "params.`backend.name`",
    "params.`backend.execution`",
    "params.`batch_size`",
    "params.`seed`",
    "tags.`nnbench.semantics`",
)


def store_uri(uri: str | None, results: Path) -> str:
    """Return the tracking URI: `uri`, or sqlite in the results folder."""
    return usable(uri) if uri else f"sqlite:///{(results / DATABASE_NAME).absolute().as_posix()}"


class Client:
    """MLflow's client; `beat` is called with every answer, and while nothing is to be waited for.

    A call that fails is tried again for a moment: what is done twice here does no harm, but for the
    creation of a run.
    """

    def __init__(self, client: Any, beat: Callable[[], None]) -> None:
        self._client, self.beat = client, beat

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            while True:
                try:
                    answer = method(*arguments, **named)
                except Exception as error:
                    lasting = getattr(error, "error_code", "") in LASTING or name == "create_run"
                    if lasting or time.monotonic() - began > RETRY_SECONDS:
                        raise
                    time.sleep(PAUSE_SECONDS)
                else:
                    self.beat()
                    return answer

        return call


@contextlib.contextmanager
def holding(lock: BaseFileLock, beat: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; whoever has it is at work. Raises StoreError where it is never given back."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.is_locked:
        try:
            lock.acquire(timeout=PAUSE_SECONDS)
        except Timeout:
            beat()
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another process holds {lock.lock_file} for over {LOCK_SECONDS:.0f} s"
                ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def client_of(uri: str, patient: bool = False) -> Iterator[Any]:
    """Give an MlflowClient of a store that answers, without noise, as `quiet` does.

    Raises OSError or what MLflow and its drivers raise.
    """
    with quiet(patient):
        check_answering(uri)
        from mlflow import MlflowClient

        hush()
        bound_answers()
        yield MlflowClient(tracking_uri=uri)


def open_store(
    uri: str | None, experiment: str, results: Path, beat: Callable[[], None] = lambda: None
) -> tuple[Client, str]:
    """Return (client, experiment id); creates store and experiment where they are missing.

    A file lock in `results` makes processes that start together do it one after another. An
    experiment that was deleted in the UI is restored, with its runs. `beat` is called while others
    are at work. Call `check_answering` first. Raises StoreError, OSError or what MLflow raises.
    """
    from mlflow import MlflowClient

    hush()
    bound_answers()
    local = uri is None
    address = store_uri(uri, results)
    results.mkdir(parents=True, exist_ok=True)
    with holding(FileLock(results / LOCK_NAME), beat):
        if local:
            _prepare_file(results / DATABASE_NAME)
        client = Client(MlflowClient(tracking_uri=address, registry_uri=address), beat)
        artifacts = (results / ARTIFACTS_NAME).absolute().as_uri() if local else None
        return client, _experiment_id(client, experiment, artifacts)


def _prepare_file(path: Path) -> None:
    """Make the database where it is missing; make sure that it can be written; set its log.

    Asked of SQLite itself because MLflow would try a damaged file for over a minute.
    """
    if not path.exists():
        _make_file(path)
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _make_file(path: Path) -> None:
    """Make a new database, whole or not at all.

    MLflow makes its tables in a hundred steps; a process that is killed among them would leave a
    file that MLflow can neither use nor complete. The caller holds the lock.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    new = path.with_name(f"{path.name}.new")
    for left in path.parent.glob(f"{new.name}*"):
        left.unlink()
    hush()
    store = SqlAlchemyStore(f"sqlite:///{new.absolute().as_posix()}",
                            (path.parent / ARTIFACTS_NAME).absolute().as_uri())  # fmt: skip
    store.engine.dispose()
    os.replace(new, path)


def check_answering(uri: str) -> bool:
    """Tell whether the store has been made; MLflow makes a database's tables when it opens it.

    Raises where a database server does not answer, which MLflow would try for over a minute. HTTP
    servers are left to MLflow, which may reach them through a proxy.
    """
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        return Path(parts.path[1:]).exists()
    ports = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
    port = ports.get(parts.scheme.partition("+")[0])
    if not (port and parts.hostname):
        return True
    with socket.create_connection((parts.hostname, parts.port or port), CONNECT_SECONDS):
        pass
    import sqlalchemy

    timeout = {"connect_timeout": CONNECT_SECONDS} if port != ports["mssql"] else {}
    engine = sqlalchemy.create_engine(uri, connect_args=timeout)
    try:
        return bool(sqlalchemy.inspect(engine).has_table("experiments"))
    finally:
        engine.dispose()


def _experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    view = json.dumps({"selectedColumns": COLUMNS})
    if found is None:
        tags = {
            "mlflow.note.content": EXPERIMENT_NOTE,
            "mlflow.experimentKind": "custom_model_development",
            VIEW_TAG: view,
        }
        try:
            return str(client.create_experiment(name, artifacts, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another machine was faster
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if found.tags.get(VIEW_TAG, view) != view:  # an earlier version's
        client.set_experiment_tag(found.experiment_id, VIEW_TAG, view)
    return str(found.experiment_id)


class Experiment(NamedTuple):
    """An experiment of the store; `has_view` tells whether it has the view VIEW_KEY."""

    id: str
    name: str
    has_view: bool


def experiments(results: Path) -> list[Experiment]:
    """Return the experiments in the results folder that have runs, the newest active one first."""
    with client_of(store_uri(None, results)) as client:
        active = []
        for found in client.search_experiments():
            newest = client.search_runs(
                [found.experiment_id], max_results=1, order_by=["attributes.start_time DESC"]
            )
            experiment = Experiment(str(found.experiment_id), found.name, VIEW_TAG in found.tags)
            active += [(run.info.start_time, experiment) for run in newest]
    return [experiment for _, experiment in sorted(active, reverse=True)]
