"""Shared fixtures: the command line, and an empty store."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What a command says of its progress depends on the machine's: tests/cli/test_progress.py asks.
os.environ["NNBENCH_NO_PROGRESS"] = "1"

# One thread, as every run has it: NumPy's and SciPy's pools would wait for each other. Not by the
# environment, which processes that tests start would inherit.
import scipy.linalg.blas  # noqa: F401 - its library has to be there to be limited
from threadpoolctl import threadpool_limits

from support import TESTS
from support.commands import PATIENCE, Nnbench, fresh, here

THREADS = threadpool_limits(limits=1, user_api="blas")

# As the command line does: frameworks make a million objects that stay.
gc.set_threshold(50_000, 20, 50)

# Tests interrupt processes that they start, or close their terminal; a shell that runs pytest in
# the background, or nohup, would have them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


# The files that take longest, first, so that all workers end at the same time.
LONGEST = (
    *("backends/test_blocks.py", "sweeps/test_sweeps.py", "sweeps/test_certify.py"),
    *("testing/test_kit.py", "records/test_certificates.py", "project/test_plugins.py"),
    *("reporting/test_told_first.py", "cli/test_cli.py", "tracking/test_tracking.py"),
    *("project/test_docs.py", "tracking/test_slow_servers.py", "project/test_dependencies.py"),
    *("project/test_notebooks.py", "reporting/test_fairness.py", "config/test_composition.py"),
    *("backends/test_random_nets.py", "reporting/test_explain.py", "reporting/test_reports.py"),
    *("backends/test_trainers.py", "backends/test_executions.py", "backends/test_engines.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {TESTS / name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait for processes and servers."""
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return len(allowed(0)) + 1


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture
def nnbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nnbench:
    """Run `nnbench ARGS` in tmp_path: in this process, in a fresh one where `env` is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    # A store on this machine answers, however busy: tests/tracking asks who is patient, how long.
    monkeypatch.setattr("nnbench.tracking.background.DEAD_SECONDS", PATIENCE)
    monkeypatch.setattr("nnbench.tracking.background.FINISH_SECONDS", PATIENCE)

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return here(arguments) if env is None else fresh(tmp_path, arguments, env)

    return run


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs; MLflow takes a second to make one."""
    from nnbench.tracking.store import DATABASE_NAME, open_store

    folder, copy = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("tables")
    open_store(None, "Default", folder)
    with (
        contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as made,
        contextlib.closing(sqlite3.connect(copy / DATABASE_NAME)) as found,
    ):
        made.backup(found)
    return copy / DATABASE_NAME
