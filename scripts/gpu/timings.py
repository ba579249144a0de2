"""Part 2: W1 to W6 and sizes to 10^8 parameters, each backend against a bare loop."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from functools import partial

from gpu.rows import Job, Row, Setting

QUICK_STEPS = 20


def jobs(setting: Setting) -> list[Job]:
    """Return the one job: everything takes turns in one process."""
    return [Job("timings", timed=True)]


def run(setting: Setting, seconds: float) -> Iterator[Row]:
    """Yield a row for each workload and contender while there is time."""
    from gpu import loops, stopwatch
    from gpu.workloads import WORKLOADS

    end = time.monotonic() + seconds
    device = setting.device
    arrays = "NumPy on CuPy" if device == "cuda" else "NumPy reference"
    bare = "bare CuPy" if device == "cuda" else "bare NumPy"
    for workload in WORKLOADS:
        if device == "cpu" and not workload.on_cpu:
            continue
        if time.monotonic() > end - seconds / 20:
            yield Row(workload.name, "skipped", "no time left")
            continue
        short = workload.shorter(QUICK_STEPS if setting.quick else 10_000)
        makers: dict[str, stopwatch.Make] = {}
        if not setting.lacks("torch"):
            makers["torch eager"] = partial(stopwatch.trainer, "torch", "eager", device, short)
            makers["bare torch"] = partial(loops.bare_torch, short, device)
        if device == "cpu" or not setting.lacks("cupy"):
            makers[arrays] = partial(stopwatch.trainer, "numpy", "reference", device, short)
            makers[bare] = partial(loops.bare_arrays, short, device)
        against = {"torch eager": "bare torch", arrays: "torch eager", bare: arrays}
        yield from stopwatch.race(short, makers, against, 3 if setting.quick else 5)
        _release()


def _release() -> None:
    """Give back what the frameworks keep of the GPU's memory."""
    import sys

    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.empty_cache()
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
