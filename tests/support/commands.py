"""The command line: in this process, in a fresh one as a user has it, or begun."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nnbench.cli import main

# A run of a second: 160 samples of made-up data, no MLflow.
TINY = ["data=synthetic", "data.samples=200", "epochs=2", "batch_size=32", "tracking=local"]

Nnbench = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE = 240  # seconds until a command counts as hanging, on a busy machine too


def here(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `nnbench ARGUMENTS` in this process and folder: no second for its imports.

    What trains or times still does so in fresh processes of its own.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(
        ["nnbench", *arguments], code, out.getvalue(), err.getvalue()
    )


def fresh(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run `nnbench ARGUMENTS` in a fresh process in `folder`; `env` adds variables."""
    return subprocess.run(
        [sys.executable, "-m", "nnbench", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


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
