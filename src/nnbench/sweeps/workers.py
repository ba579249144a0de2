"""The processes that train runs, as they are started: with what frameworks read at import set."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO

from nnbench.config.run import RunConfig
from nnbench.config.sources import python_path
from nnbench.credentials import without_stores
from nnbench.records.environment import THREAD_VARIABLES
from nnbench.tracking.quiet import OURS

# What packages that this process imports put into os.environ, for themselves.
SET_BY_IMPORTS = {
    "sklearn": {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"},  # MLflow imports it
    "threadpoolctl": {"KMP_DUPLICATE_LIB_OK": "True"},
}
# What was there before any of them was imported: the user's.
_BEFORE = frozenset() if SET_BY_IMPORTS.keys() & sys.modules.keys() else frozenset(os.environ)


def environment(config: RunConfig) -> dict[str, str]:
    """Return the worker's environment: the caller's, with what frameworks read at import set.

    It does not get what only those need who connect to a store.
    """
    return _environment(config.threads, config.backend.variables, config.device.name)


def _environment(threads: int, backends: Mapping[str, str], device: str) -> dict[str, str]:
    values = without_stores(os.environ)
    for module in SET_BY_IMPORTS.keys() & sys.modules.keys():
        ours = SET_BY_IMPORTS[module]
        values = {k: v for k, v in values.items() if ours.get(k) != v or k in _BEFORE}
    values |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    values |= backends
    values["PYTHONUNBUFFERED"] = "1"
    if path := python_path():
        values["PYTHONPATH"] = path
    if device == "cpu":
        values["CUDA_VISIBLE_DEVICES"] = "-1"
    return values


def start(values: Mapping[str, str], log: IO[bytes], *words: str) -> subprocess.Popen[str]:
    """Start a worker with the environment `values`; what it says besides goes to `log`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "nnbench.training.worker", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=values,
        text=True,
        encoding="utf-8",
    )


# Workers that wait for a job, with the environment that they were started in.
_ahead: list[tuple[subprocess.Popen[str], dict[str, str]]] = []


@contextlib.contextmanager
def worker_ahead() -> Iterator[None]:
    """Let the next run's worker start now, and import what every worker does.

    The run takes it where nothing in its environment is other than usual; it trains nothing
    before. Whoever does not take it loses a third of a second of another core.
    """
    values = _environment(1, {}, "cpu")
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as log:
        _ahead.append((start(values, log, repr(time.time())), values))
    try:
        yield
    finally:
        while _ahead:
            _end(_ahead.pop()[0])


def taken(values: Mapping[str, str], backends: Mapping[str, str]) -> subprocess.Popen[str] | None:
    """Return a worker that waits with this environment, if there is one.

    It may lack those of `backends`, the backend's own: they are read when frameworks are imported,
    and a worker sets them once it has its job.
    """
    if not _ahead:
        return None
    worker, its = _ahead.pop()
    if _of_runs({**its, **backends}) == _of_runs(values) and worker.poll() is None:
        return worker
    _end(worker)
    return None


def _of_runs(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in OURS}


def _end(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.kill()
    worker.wait()
    worker.stdin.close()
    worker.stdout.close()
