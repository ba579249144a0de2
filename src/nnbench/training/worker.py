"""The worker: one fresh process that trains one run.

Reads its job as JSON from standard input and writes events as JSON lines to what was standard
output; whatever frameworks print goes to the log. A line `stop`, or a signal that asks to stop,
makes it leave the run with a checkpoint. Ends when its parent does. Holds a lock in the run's
folder as long as it lives, by which others see that somebody is at it. Knows neither Hydra nor
MLflow. Given the moment when it was started, it imports what every run takes before its job comes;
the time that it then waits is no part of the run's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from nnbench.errors import NNBenchError
from nnbench.records.locks import locked
from nnbench.training.stopping import stopping_signals


def main() -> int:
    """Run the job on standard input; return 0, 2 for an error of the user's, 1 for ours."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    began = float(sys.argv[1]) if sys.argv[1:] else None
    if began is not None:
        with contextlib.suppress(Exception):  # it fails again where it can be told
            import nnbench.training.runner  # noqa: F401 - takes a third of a second
    ready = time.time()
    line, stop = _job()
    if not line:  # there is none: the parent has ended, or had a mistake
        return 0
    plain = json.loads(line)
    if began is not None:
        plain["started"] = began + max(0.0, plain["started"] - ready)
    if plain["log"]:
        _log_to(plain["log"])
    for number in stopping_signals():
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_obey, args=[stop], daemon=True).start()
    if plain["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, plain["cores"])  # before NumPy makes its threads

    def announce(event: dict[str, Any]) -> None:
        try:
            events.write(json.dumps(event | {"time": time.time()}) + "\n")
            events.flush()
        except BrokenPipeError:
            os._exit(3)

    try:
        with locked(Path(plain["directory"])):
            from nnbench.training.job import Job
            from nnbench.training.runner import execute

            job = Job.of_plain(plain)
            # Else it was started with them. No framework has been imported yet.
            os.environ |= job.config.backend.variables
            execute(job, announce, stop.is_set)
    except NNBenchError as error:
        announce({"event": "error", "kind": type(error).__name__, "message": str(error)})
        return 2
    except Exception as error:
        if message := out_of_memory(error):
            announce({"event": "error", "kind": "OutOfMemory", "message": message})
            return 2
        traceback.print_exc()
        summary = f"{type(error).__name__}: {error}".splitlines()[0]
        announce({"event": "crash", "message": summary})
        return 1
    return 0


def out_of_memory(error: Exception) -> str | None:
    """Return what to tell the user where `error` means that memory ran out, else None.

    Frameworks say it each in its own way; whatever tells how much was asked for is passed on.
    """
    text = " ".join(str(error).split())
    kind = type(error).__name__
    signs = ("out of memory", "OOM when allocating", "can't allocate memory", "Unable to allocate")
    said = kind == "OutOfMemoryError" or any(sign.lower() in text.lower() for sign in signs)
    if not said and not isinstance(error, MemoryError):
        return None
    size = re.search(
        r"(?:[Tt]ried|trying) to allocate [\d.,]+ ?\w+|allocating [\d,]+ bytes|"
        r"allocating tensor with shape\[[\d,]*\]|Unable to allocate [\d.]+ \w+",
        text,
    )
    where = "on the GPU " if "CUDA" in text or "GPU" in text or "cupy" in repr(type(error)) else ""
    asked = f" ({size.group(0)})" if size else ""
    return (
        f"Out of memory {where}{asked}".replace("  ", " ").rstrip()
        + "; use a smaller batch_size, a smaller net or fewer samples (data.train_samples)."
    )


def _log_to(path: str) -> None:
    """Write what is said from now on to the end of a file, behind what has been said till now."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.lseek(2, 0, os.SEEK_SET)
    os.write(log, os.read(2, os.fstat(2).st_size))
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)


def _job() -> tuple[bytes, threading.Event]:
    """Read the job, the first line of standard input; `stop` may have followed already."""
    read = b""
    while b"\n" not in read and (more := os.read(0, 65536)):
        read += more
    line, _, rest = read.partition(b"\n")
    stop = threading.Event()
    if rest:
        stop.set()
    return line, stop


def _obey(stop: threading.Event) -> None:
    """Set `stop` when the parent says so; end when standard input does, for then it is dead."""
    try:
        while os.read(0, 4096):
            stop.set()
    finally:
        os._exit(3)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # frameworks' exit handlers cost up to a second and have nothing to save
