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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock

from nnbench.config.run import TrackingConfig
from nnbench.credentials import remember, usable
from nnbench.records.run import RunResult
from nnbench.tracking.background import Patience
from nnbench.tracking.note import EXPERIMENT_NOTE
from nnbench.tracking.quiet import StoreError, quiet

DATABASE_NAME = "mlflow.db"
ARTIFACTS_NAME = "mlartifacts"
LOCK_NAME = ".mlflow.lock"
LOCK_SECONDS = 600.0  # the lock ends with its process: who waits, waits for work being done
MAKE_SECONDS = 60.0  # that a database file of our own may take to be made
BYTES_PER_SECOND = 2e6  # of an upload, at the least
CONNECT_SECONDS = 3
RETRY_SECONDS = 2.0  # that a call which fails is tried again
PAUSE_SECONDS = 0.3
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
LASTING = {  # what asking again does not change
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE"),
    *("INVALID_STATE", "BAD_REQUEST", "PERMISSION_DENIED", "UNAUTHENTICATED"),
}

VIEW_KEY = "nnbench"  # of the view that `experiments` opens, with the columns that matter here
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"
# The columns in their order, with their widths (pixels): in a window of 1,280 the first two metrics
# are read beside MLflow's own side panels. Where a run's data are no column, its note has them.
COLUMNS = {
    "metrics.`final/test_accuracy`": 130,
    "metrics.`time/median_epoch_seconds`": 190,
    "metrics.`final/generalization_gap`": 150,
    "params.`backend.name`": 110,
    "params.`batch_size`": 90,
    "params.`seed`": 60,
    "params.`backend.execution`": 110,
    "tags.`nnbench.semantics`": 110,
}
# Columns that MLflow always shows, which its interface calls so.
NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
VIEW: dict[str, Any] = {
    "selectedColumns": list(COLUMNS),
    "columnOrder": [NAME, CREATED, *COLUMNS, DURATION],
    "columnWidths": {NAME: 160, CREATED: 125, **COLUMNS, DURATION: 80},
}


def store_uri(uri: str | None, results: Path) -> str:
    """Return the tracking URI: `uri`, or sqlite in the results folder."""
    return usable(uri) if uri else f"sqlite:///{(results / DATABASE_NAME).absolute().as_posix()}"


def address(tracking: TrackingConfig, results: Path) -> str:
    """Return where runs are mirrored, as a record keeps it: no password in it."""
    return remember(store_uri(tracking.uri, results))


def has_all(run: RunResult, tracking: TrackingConfig, results: Path) -> bool:
    """Tell, by its record, whether the store and experiment of `tracking` have the whole run."""
    known = run.tracking
    if "error" in known or not known.get("mlflow_run_id"):
        return False
    same = known.get("experiment", tracking.experiment) == tracking.experiment
    return same and known.get("uri") == address(tracking, results)


class Client:
    """MLflow's client of a store; `beat` is called with every answer.

    A call that fails is tried again for a moment: what is done twice here does no harm. An upload
    is answered when it is done, and may take as long as its size says.
    """

    def __init__(self, client: Any, beat: Callable[..., None]) -> None:
        self._client, self._beat = client, beat

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            if name == "log_artifact":
                self._beat(os.path.getsize(arguments[1]) / BYTES_PER_SECOND)
            while True:
                try:
                    answer = method(*arguments, **named)
                except Exception as error:
                    lasting = isinstance(error, StoreError | ImportError)
                    lasting |= getattr(error, "error_code", "") in LASTING
                    if lasting or time.monotonic() - began > RETRY_SECONDS:
                        raise
                    time.sleep(PAUSE_SECONDS)
                else:
                    self._beat()
                    return answer

        return call


def connect(uri: str, patience: Patience) -> Client:
    """Return a client of the store at `uri`; a statement that a database answers is a beat.

    It makes a database's tables where they are missing. Raises what MLflow and its drivers raise.
    """
    from mlflow import MlflowClient

    if not uri.startswith("http"):
        from sqlalchemy import Engine, event

        event.listen(Engine, "after_cursor_execute", lambda *_: patience.beat())
    return Client(MlflowClient(tracking_uri=uri, registry_uri=uri), patience.beat)


def open_store(
    uri: str | None, experiment: str, results: Path, patience: Patience | None = None
) -> tuple[Client, str]:
    """Return (client, experiment id); creates store and experiment where they are missing.

    A file lock in `results` makes processes that start together do it one after another. An
    experiment that was deleted in the UI is restored, with its runs. Raises StoreError, OSError or
    what MLflow raises.
    """
    patience = patience or Patience(patient=True)
    whole, file = store_uri(uri, results), results / DATABASE_NAME
    results.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if uri is None and not file.exists():
            patience.allow(MAKE_SECONDS)
        elif not is_made(whole):
            patience.beat(MAKE_SECONDS)
        if uri is None or _database_port(whole):
            stack.enter_context(FileLock(results / LOCK_NAME, timeout=LOCK_SECONDS))
        if uri is None:
            _prepare_file(file)
            patience.beat()
        client = connect(whole, patience)
        artifacts = (results / ARTIFACTS_NAME).absolute().as_uri() if uri is None else None
        return client, _experiment_id(client, experiment, artifacts)


def is_made(uri: str) -> bool:
    """Tell whether a database server has MLflow's tables; True of what is none.

    Raises where it does not answer, which MLflow would try for over a minute. HTTP servers are left
    to MLflow, which may reach them through a proxy.
    """
    port = _database_port(uri)
    if not port:
        return True
    with socket.create_connection((str(urlsplit(uri).hostname), port), CONNECT_SECONDS):
        pass
    import sqlalchemy

    timeout = {"connect_timeout": CONNECT_SECONDS} if not uri.startswith("mssql") else {}
    engine = sqlalchemy.create_engine(uri, connect_args=timeout)
    try:
        return bool(sqlalchemy.inspect(engine).has_table("experiments"))
    finally:
        engine.dispose()


def _database_port(uri: str) -> int | None:
    """Return the port of a database server; None of what is none."""
    parts = urlsplit(uri)
    usual = PORTS.get(parts.scheme.partition("+")[0])
    try:
        return parts.port or usual if usual and parts.hostname else None
    except ValueError:
        raise StoreError("its address is not understood; in a password, write %40 for @ and the "
                         "like") from None  # fmt: skip


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
    store = SqlAlchemyStore(f"sqlite:///{new.absolute().as_posix()}",
                            (path.parent / ARTIFACTS_NAME).absolute().as_uri())  # fmt: skip
    store.engine.dispose()
    os.replace(new, path)


def _experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    view = json.dumps(VIEW)
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
    with quiet():
        client = connect(store_uri(None, results), Patience(patient=True))
        active = []
        for found in client.search_experiments():
            newest = client.search_runs(
                [found.experiment_id], max_results=1, order_by=["attributes.start_time DESC"]
            )
            experiment = Experiment(str(found.experiment_id), found.name, VIEW_TAG in found.tags)
            active += [(run.info.start_time, experiment) for run in newest]
    return [experiment for _, experiment in sorted(active, reverse=True)]
