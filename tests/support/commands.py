"""The command line as a user has it: fresh processes, in the foreground or begun."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# A run of a second: 160 samples of made-up data, no MLflow.
TINY = ["data=synthetic", "data.samples=200", "epochs=2", "batch_size=32", "tracking=local"]

Nnbench = Callable[..., "subprocess.CompletedProcess[str]"]


def begin(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start `nnbench ARGUMENTS` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nnbench", *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
