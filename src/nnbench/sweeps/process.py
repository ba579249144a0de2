"""One fresh process per run, with threads and framework switches set before any import."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nnbench.config.run import Cell, RunConfig
from nnbench.errors import RunFailed, RunKilled, reported
from nnbench.records.lookup import find_weights
from nnbench.schema import progress
from nnbench.schema.progress import Tell, nobody
from nnbench.sweeps.workers import environment, start, taken
from nnbench.training.job import Job
from nnbench.training.stopping import stopping_signals

LOG_NAME = "worker.log"
OnEvent = Callable[[dict[str, Any]], None]


def run_module(
    module: str,
    words: Sequence[str],
    configs: Sequence[RunConfig],
    said: str = "",
    tell: Tell = nobody,
) -> subprocess.CompletedProcess[str]:
    """Run `module` in a fresh process that has the backends of `configs`, and wait for its end.

    It gets `said`; its lines about progress go to `tell`, the others are its output.
    """
    values: dict[str, str] = {}
    for config in configs:
        values |= environment(config)
    command = [sys.executable, "-P", "-m", module, *words]
    lines: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=values,
            encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                send(process, said)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                for line in process.stdout:
                    if (told := progress.read(line)) is None:
                        lines.append(line)
                    else:
                        tell(*told)
            except BaseException:
                process.kill()
                raise
        log.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, "".join(lines), log.read())


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a process wrote to its log, or its exit code."""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def ask(what: str, cells: Sequence[Cell], tell: Tell = nobody, **more: Any) -> dict[str, Any]:
    """Let a fresh process do `what` with the backends of `cells`, the reference first.

    See `training.side_by_side`. Raises its NNBenchError, or RunFailed with the last line of what
    it said.
    """
    weights = find_weights(cells[0].config)
    job = {"what": what, "values": [cell.values for cell in cells], **more}
    line = json.dumps(job | {"weights": str(weights) if weights else None})
    tell(0, 0, "starting " + ", ".join(cell.config.backend.label for cell in cells))
    done = run_module("nnbench.training.side_by_side", [], [c.config for c in cells], line, tell)
    if not done.stdout.strip():
        raise RunFailed(f"The process for {what} failed: {complaint(done)}")
    said: dict[str, Any] = json.loads(done.stdout)
    if "error" in said:
        raise reported(said["kind"], said["error"])
    return said


def run_isolated(
    job: Job,
    on_event: OnEvent,
    interrupts: Interrupts | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run `job` in a worker, passing its events to `on_event`, until it ends.

    Raises the worker's NNBenchError, or RunFailed with the log's path when it crashed or was
    killed. An exception in this process ends the worker; `interrupts` may ask it to stop.
    `more` is added to its environment.
    """
    log_path = job.directory / LOG_NAME
    values = environment(job.config) | dict(more)
    with log_path.open("ab" if job.resume else "wb") as log:
        worker = taken(values, job.config.backend.variables) if job.cores is None else None
        job = replace(job, log=None if worker is None else log_path)
        worker = worker or start(values, log)
    assert worker.stdin is not None
    assert worker.stdout is not None
    last: dict[str, Any] = {}
    interrupts = interrupts or Interrupts()
    try:
        send(worker, replace(job, started=time.time()).line())
        interrupts.attach(worker)
        for line in worker.stdout:
            last = json.loads(line)
            on_event(last)
        code = worker.wait()
    finally:
        interrupts.detach(worker)
        if worker.poll() is None:
            worker.kill()
            worker.wait()
        worker.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
    _raise_for(code, last, log_path)


def send(worker: subprocess.Popen[str], line: str) -> None:
    """Write a line to the worker, unless it has just died."""
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError, ValueError):
        worker.stdin.write(f"{line}\n")
        worker.stdin.flush()


class Interrupts:
    """What Ctrl-C and `stopping_signals` mean while it is open: stop well; asked twice: at once.

    The first signal asks every worker to leave its run with a checkpoint and calls `on_ask`; the
    second ends the workers and raises KeyboardInterrupt. Signals reach the main thread alone;
    opened in another one it does nothing.
    """

    def __init__(self, on_ask: Callable[[], None] = lambda: None) -> None:
        self.on_ask = on_ask
        self.signal: int | None = None
        self._workers: list[subprocess.Popen[str]] = []
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Tell whether to stop."""
        return self.signal is not None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *stopping_signals()):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, worker: subprocess.Popen[str]) -> None:
        """Ask this worker too, which has its job; at once where somebody has asked already."""
        self._workers.append(worker)
        if self.asked:
            send(worker, "stop")

    def detach(self, worker: subprocess.Popen[str]) -> None:
        """It has ended, or never had a job."""
        if worker in self._workers:
            self._workers.remove(worker)

    def _receive(self, number: int, frame: object) -> None:
        again, self.signal = self.asked, number
        if again:
            for worker in self._workers:
                worker.kill()
            raise KeyboardInterrupt
        for worker in list(self._workers):
            send(worker, "stop")
        _leave_dead_terminal()
        with contextlib.suppress(OSError):
            self.on_ask()


def _leave_dead_terminal() -> None:
    """Write to nowhere from now on where the terminal has been closed: writing to it fails."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _raise_for(code: int, last: dict[str, Any], log: Path) -> None:
    if last.get("event") == "error":
        raise reported(last["kind"], last["message"])
    if last.get("event") == "crash":
        raise RunFailed(f"The run failed: {last['message']} (see {log})")
    if code < 0:
        raise RunKilled(f"The run's process was killed by signal {-code} (see {log})")
    if code:
        raise RunFailed(f"The run's process ended with exit code {code} (see {log})")
