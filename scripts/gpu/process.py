"""Jobs in processes of their own, so that none takes another down or longer than it may."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from gpu.parts import Part
from gpu.rows import Job, Row, Setting

SCRIPTS = Path(__file__).resolve().parents[1]
GRACE_SECONDS = 8.0  # for a job that minds its own time; then it is killed


def run_jobs(
    part: Part,
    jobs: Sequence[Job],
    setting: Setting,
    seconds: float,
    on_row: Callable[[Row], None],
) -> None:
    """Run the jobs of a part within `seconds` altogether; `on_row` gets the rows as they come."""
    end = time.monotonic() + seconds
    beside = [job for job in jobs if not job.timed]
    timed = [job for job in jobs if job.timed]
    waiting = seconds * len(timed) / len(jobs) if beside else 0.0
    _run_all(part, beside, setting, end - waiting, on_row)
    _run_all(part, timed, setting, end, on_row, together=1)


def _run_all(
    part: Part,
    jobs: Sequence[Job],
    setting: Setting,
    end: float,
    on_row: Callable[[Row], None],
    together: int = max(1, (os.cpu_count() or 1) // 2),
) -> None:
    """Run `jobs`, so many together, until `end` of the monotonic clock."""
    rounds = -(-len(jobs) // together)

    def one(numbered: tuple[int, Job]) -> None:
        number, job = numbered
        left = end - time.monotonic()
        share = left / (rounds - number // together)
        limit = share if job.seconds is None else min(left, job.seconds)
        _run(part, job, setting, limit - GRACE_SECONDS / 2, on_row)

    with ThreadPoolExecutor(max_workers=together) as pool:
        list(pool.map(one, enumerate(jobs)))


def _run(
    part: Part, job: Job, setting: Setting, seconds: float, on_row: Callable[[Row], None]
) -> None:
    """Run one job; a job that dies or is killed leaves a row that says so."""
    if seconds < 3:
        on_row(Row(job.subject, "skipped", "no time left"))
        return
    asked = {
        "part": part.name,
        "subject": job.subject,
        "arguments": job.arguments,
        "seconds": seconds,
        "setting": dataclasses.asdict(setting),
    }
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "gpu.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(job.env),
            start_new_session=True,
        )
        limit = _Limit(worker, seconds + GRACE_SECONDS)
        assert worker.stdin is not None
        assert worker.stdout is not None
        with contextlib.suppress(BrokenPipeError), worker.stdin:
            worker.stdin.write(json.dumps(asked))
        with worker.stdout:
            for line in worker.stdout:
                on_row(Row(**json.loads(line)))
        code = worker.wait()
        limit.cancel()
        if limit.passed:
            on_row(Row(job.subject, "skipped", f"stopped at its {seconds:.0f} s"))
        elif code < 0:
            on_row(Row(job.subject, "failed", f"died of signal {-code}: {_last_line(log)}"))


class _Limit:
    """Kills a process and all that it started after `seconds`, unless cancelled."""

    def __init__(self, process: subprocess.Popen[Any], seconds: float) -> None:
        import threading

        self.passed = False
        self._process = process
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def _kill(self) -> None:
        self.passed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def cancel(self) -> None:
        self._timer.cancel()


def environment(more: dict[str, str]) -> dict[str, str]:
    """Return this environment with the checkout on the path and one thread for libraries."""
    found = dict(os.environ)
    path = [str(SCRIPTS), str(SCRIPTS / "bench"), str(SCRIPTS.parent / "src")]
    found["PYTHONPATH"] = os.pathsep.join([*path, *filter(None, [found.get("PYTHONPATH")])])
    found |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return found | more


def _last_line(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
