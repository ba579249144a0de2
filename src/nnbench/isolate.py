"""One fresh process per run, with threads and framework switches set before any import."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nnbench import errors
from nnbench.config import RunConfig
from nnbench.errors import NNBenchError, RunFailed
from nnbench.switches import THREAD_VARIABLES

LOG_NAME = "worker.log"
OnEvent = Callable[[dict[str, Any]], None]


def environment(config: RunConfig) -> dict[str, str]:
    """Return the worker's environment: the caller's, with what frameworks read at import set."""
    values = dict(os.environ)
    values |= dict.fromkeys(THREAD_VARIABLES, str(config.threads))
    values |= dict(pair.split("=", 1) for pair in config.backend.env)
    values["PYTHONUNBUFFERED"] = "1"
    if config.device.name == "cpu":
        values["CUDA_VISIBLE_DEVICES"] = "-1"
    return values


def ask_side_by_side(configs: Sequence[RunConfig], job: dict[str, Any]) -> dict[str, Any]:
    """Let a fresh process do `job` with the backends of `configs` (see `nnbench.sidebyside`).

    Raises its NNBenchError, or RunFailed with the last line of what it said.
    """
    values: dict[str, str] = {}
    for config in configs:
        values |= environment(config)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "nnbench.sidebyside"],
        input=json.dumps(job) + "\n",
        env=values,
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunFailed(f"The process for {job['what']} failed: {lines[-1]}")
    said: dict[str, Any] = json.loads(done.stdout)
    if "error" in said:
        raise getattr(errors, said["kind"], NNBenchError)(said["error"])
    return said


def run_isolated(config: RunConfig, job: dict[str, Any], on_event: OnEvent) -> None:
    """Run `job` in a worker, passing its events to `on_event`, until it ends.

    Raises the worker's NNBenchError, or RunFailed with the log's path when it crashed or was
    killed. An exception in this process (Ctrl-C too) ends the worker.
    """
    log_path = Path(job["directory"]) / LOG_NAME
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "nnbench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(config),
            text=True,
            encoding="utf-8",
        )
    assert worker.stdin is not None
    assert worker.stdout is not None
    last: dict[str, Any] = {}
    try:
        worker.stdin.write(json.dumps(job | {"started": time.time()}) + "\n")
        worker.stdin.flush()
        for event in _events(worker.stdout):
            last = event
            on_event(event)
        code = worker.wait()
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
        worker.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
    _raise_for(code, last, log_path)


def _events(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield json.loads(line)


def _raise_for(code: int, last: dict[str, Any], log: Path) -> None:
    if last.get("event") == "error":
        kind = getattr(errors, last["kind"], NNBenchError)
        raise kind(last["message"])
    if last.get("event") == "crash":
        raise RunFailed(f"The run failed: {last['message']} (see {log})")
    if code < 0:
        raise RunFailed(f"The run's process was killed by signal {-code} (see {log})")
    if code:
        raise RunFailed(f"The run's process ended with exit code {code} (see {log})")
