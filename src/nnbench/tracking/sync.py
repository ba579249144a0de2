"""Bringing MLflow to what the records say, after the fact, and taking runs out of it again."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.installation import need
from nnbench.config.run import TrackingConfig
from nnbench.credentials import hidden_in, remember, usable
from nnbench.errors import NNBenchError
from nnbench.records.files import write_atomically
from nnbench.records.locks import locked
from nnbench.records.run import CONFIG_NAME, SCHEMA_VERSION, RunResult
from nnbench.schema.files import Damage, content
from nnbench.tracking.background import Background
from nnbench.tracking.converge import search
from nnbench.tracking.refusal import reason
from nnbench.tracking.store import Client, connect, has_all, is_made, store_uri


def sync(
    runs: Sequence[RunResult],
    results: Path,
    uri: str | None = None,
    experiment: str | None = None,
    local: bool = False,
) -> Iterator[tuple[RunResult, Sequence[str]]]:
    """Have MLflow show the runs as they are on record; running ones are left to those who run them.

    `uri` and `experiment` None: as the run was configured. `local`: those configured for the
    results folder alone, too. Yields what was brought or repaired of a run, in words; nothing
    where its `tracking` has an `error`. Raises StoreError where a store does not answer at all.
    """
    places: dict[tuple[str, str], list[RunResult]] = {}
    for run in runs:
        settings: dict[str, Any] = run.config.get("tracking") or {}
        asked = local or uri is not None or settings.get("name", "mlflow") == "mlflow"
        if asked and run.status != "running":
            name = experiment or settings.get("experiment") or "nnbench"
            places.setdefault((uri or settings.get("uri") or "", name), []).append(run)
    if places:
        need("nnbench sync", "mlflow")
    for (place, name), there in places.items():
        yield from _sync(there, TrackingConfig(uri=place or None, experiment=name), results)


def _sync(
    runs: Sequence[RunResult], tracking: TrackingConfig, results: Path
) -> Iterator[tuple[RunResult, Sequence[str]]]:
    from nnbench.tracking.mlflow import MlflowSink

    for run in runs:
        _without_passwords(run)
    sink = MlflowSink(tracking, results, patient=True)
    try:
        lacking = {run.run_id for run in sink.lacking(runs)}
        for run in runs:
            if run.run_id in lacking or not has_all(run, tracking, results):
                now = _noted(run)
                where = sink.finish(now) | {"experiment": tracking.experiment}
                yield _noted(now, where), sink.said.get(run.run_id, [])
    finally:
        sink.close()


def _without_passwords(run: RunResult) -> None:
    """Write a record of an older version, and its configuration, as they are written now.

    They may have passwords in URIs, and are uploaded.
    """
    if run.schema_version >= SCHEMA_VERSION or run.directory is None:
        return
    _noted(run)
    path = run.directory / CONFIG_NAME
    with contextlib.suppress(OSError, Damage, UnicodeDecodeError):
        text = content(path).decode()
        if hidden_in(text) != text:
            write_atomically(path, hidden_in(text).encode())


def _noted(run: RunResult, tracking: dict[str, Any] | None = None) -> RunResult:
    """Return a run as it is on record now, with its `tracking`, and write it so where possible."""
    assert run.directory is not None
    found = run
    with contextlib.suppress(NNBenchError), locked(run.directory):
        found = RunResult.read(run.directory)
        if found.status == "running":  # its process has gone
            found = dataclasses.replace(found, status=run.status, message=run.message)
        if tracking is not None:
            found = dataclasses.replace(found, tracking=tracking)
        found.write()
    return found if tracking is None else dataclasses.replace(found, tracking=tracking)


@contextlib.contextmanager
def forgetting() -> Iterator[Callable[[RunResult], list[str]]]:
    """Give what deletes all that MLflow has of a run; it returns, in a line, why it could not."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def begun() -> Background:
            return stack.enter_context(contextlib.closing(Background(patient=False)))

        @functools.cache
        def client_at(uri: str) -> Client:
            is_made(uri)  # or does not answer
            return connect(uri, begun().patience)

        def forget(run: RunResult) -> list[str]:
            known = run.tracking
            if not known.get("mlflow_run_id") or run.directory is None:
                return []
            asked = TrackingConfig(uri=(run.config.get("tracking") or {}).get("uri"))
            uri = store_uri(asked.uri, run.directory.parent.parent)
            if known.get("uri") != remember(uri):
                uri = usable(str(known.get("uri")))

            def do() -> None:
                found = search(client_at(uri), str(known["experiment_id"]), run.run_id)
                for each in found.get(run.run_id, []):
                    client_at(uri).delete_run(each.info.run_id)

            try:
                begun().begin(do)()
            except Exception as error:  # whatever MLflow raises
                where = f"{run.name} ({run.run_id}) stays in MLflow at {remember(uri)}"
                return [f"{where}: {reason(error)}"]
            return []

        yield forget
