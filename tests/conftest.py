"""Shared fixtures: a folder to work in, and the command line as a user has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# One thread, as every run has it: NumPy's and SciPy's pools would wait for each other. Not by the
# environment, which processes that tests start would inherit.
import scipy.linalg.blas  # noqa: F401 - its library has to be there to be limited
from threadpoolctl import threadpool_limits

from support.commands import Nnbench

THREADS = threadpool_limits(limits=1, user_api="blas")

# Tests interrupt processes that they start; a shell that runs pytest in the background would have
# them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def nnbench(tmp_path: Path) -> Nnbench:
    """Run `nnbench ARGS` in a fresh process in tmp_path; `env` adds variables."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nnbench", *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "120", **(env or {})},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
