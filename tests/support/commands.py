"""The command line: in this process, in a fresh one as a user has it, or begun."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import psutil

from nnbench.cli import main
from nnbench.config import sources
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult

# A run of a second: 160 samples of made-up data, no MLflow.
TINY = ["data=synthetic", "data.samples=200", "epochs=2", "batch_size=32", "tracking=local"]

Nnbench = Callable[..., "subprocess.CompletedProcess[str]"]
T = TypeVar("T")
PATIENCE = 600  # seconds until a command counts as hanging, on a busy machine too


def here(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `nnbench ARGUMENTS` in this process and folder: no second for its imports.

    What trains or times still does so in fresh processes of its own.
    """
    out, err = io.StringIO(), io.StringIO()
    typed = list(sources._typed)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
        finally:
            sources._typed[:] = typed  # the next command would not know this one's --config-dir
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


def begin(
    folder: Path, arguments: Sequence[str], env: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[str]:
    """Start `nnbench ARGUMENTS` in `folder`, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nnbench", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "120", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Kill a process and what it started; return what it had said, and its errors."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()


def wait_for(fact: Callable[[], T | None], process: subprocess.Popen[str] | None = None) -> T:
    """Ask again and again until `fact` returns something true; return that.

    Fails where `process`, which should make it true, ends before.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        over = process is not None and process.poll() is not None
        if found := fact():
            return found
        assert not over, process and process.communicate()
        time.sleep(0.02)
    said = process and kill_group(process)
    raise AssertionError(f"{fact} did not become true in {PATIENCE} s: {said}")


def is_gone(pid: int) -> bool:
    """Tell whether a process is over, which on a busy machine it is a while after it is killed."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def started(process: subprocess.Popen[str], folder: Path, after: int = 0) -> RunResult:
    """Wait for a run in `folder` to have more than `after` epochs on record."""

    def one() -> RunResult | None:
        runs = read_runs(folder / "results")
        return next((run for run in runs if len(run.epochs) > after), None)

    return wait_for(one, process)


def plug_in(folder: Path, name: str, code: str, execution: str = "fused") -> list[str]:
    """Put a backend into `folder`: its YAML and its module, `code` with a class of its name.

    Return the flag that brings both.
    """
    group = folder / "conf" / "backend"
    group.mkdir(parents=True)
    (group / f"{name}.yaml").write_text(
        f"name: {name}\n_target_: {name}.{name.capitalize()}\n"
        f"execution: {execution}\nexecutions: [{execution}]\n"
    )
    (folder / "conf" / f"{name}.py").write_text(code)
    return ["--config-dir", "conf"]
