"""Part 3: torch's compiled executions: the same steps as the reference, faster than eager."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from gpu.rows import Job, Row, Setting
from gpu.trainers import Backend

BLOCKS = (
    *("dense", "dropout", "conv2d same", "adam", "batch_norm 2d", "embedding"),
    *("sgd clip_norm", "augment shift and flip", "max_pool2d overlapping", "gelu"),
)
TIMED = ("W3", "W1", "W2")


def jobs(setting: Setting) -> list[Job]:
    """Return a job for each execution's agreement, and one that times."""
    if setting.lacks("torch"):
        return []
    names = ["compile", *(["cudagraph"] if setting.device == "cuda" else [])]
    agree = Job("torch compile", {"execution": "compile"})  # the kit has cudagraph whole
    return [agree, Job("timings", {"execution": None, "names": names}, timed=True)]


def run(
    setting: Setting, seconds: float, execution: str | None, names: tuple[str, ...] = ()
) -> Iterator[Row]:
    """Yield the rows of an execution, or the timings of all `names`."""
    end = time.monotonic() + seconds
    if execution is None:
        yield from _timings(setting, end, names)
    else:
        yield from agreement(
            setting, end, f"torch {execution}", Backend("torch", setting.device), execution, BLOCKS
        )


def agreement(
    setting: Setting,
    end: float,
    label: str,
    make: Backend,
    execution: str,
    names: tuple[str, ...],
    dtype: str = "float64",
) -> Iterator[Row]:
    """Yield a row for each of some blocks, on the reference's steps or not."""
    from nnbench.testing import BLOCKS as EVERY
    from nnbench.testing import equals_the_reference

    for name in names[: 2 if setting.quick else None]:
        if time.monotonic() > end:
            yield Row(f"{label}: {name}", "skipped", "no time left")
            continue
        try:
            found = equals_the_reference(make, execution, EVERY[name].of(dtype))  # type: ignore[arg-type]
        except Exception as error:
            first = (str(error).splitlines() or [""])[0][:300]
            yield Row(f"{label}: {name}", "failed", f"{type(error).__name__}: {first}")
        else:
            apart = f"{found.difference:.0e} apart, allowed {found.envelope:.0e}"
            yield Row(f"{label}: {name}", "passed", apart)


def _timings(setting: Setting, end: float, names: tuple[str, ...]) -> Iterator[Row]:
    from gpu import stopwatch
    from gpu.workloads import WORKLOADS

    known = {workload.name: workload for workload in WORKLOADS}
    for name in TIMED[: 1 if setting.quick else None]:
        if time.monotonic() > end:
            yield Row(name, "skipped", "no time left")
            continue
        workload = known[name].shorter(20 if setting.quick else 500)
        makers: dict[str, stopwatch.Make] = {
            f"torch {execution}": partial(
                stopwatch.trainer, "torch", execution, setting.device, workload
            )
            for execution in ("eager", *names)
        }
        against = {f"torch {execution}": "torch eager" for execution in names}
        yield from stopwatch.race(workload, makers, against)
