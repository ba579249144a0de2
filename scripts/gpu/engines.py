"""Part 4: Keras on torch and on JAX."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from gpu.rows import Job, Row, Setting
from gpu.trainers import Backend

BLOCKS = (
    *("dense", "sgd momentum", "conv2d same", "dropout", "batch_norm 2d", "adam"),
    *("max_pool2d", "embedding", "layer_norm", "rmsprop"),
)
TIMED = ("W3", "W1")
EXECUTIONS = {"torch": ("fit",), "jax": ("xla", "fit")}
SUBJECTS = {f"keras on {engine}": ("keras", hows[0]) for engine, hows in EXECUTIONS.items()}


def jobs(setting: Setting) -> list[Job]:
    """Return jobs for each engine: whether each execution agrees, and how fast they are."""
    if setting.lacks("keras"):
        return []
    engines = [name for name in ("torch", "jax") if not setting.lacks(name)]
    asked = [
        *(("agreement", name, (how,)) for name in engines for how in EXECUTIONS[name]),
        *(("timings", name, EXECUTIONS[name]) for name in engines),
    ]
    return [
        Job(
            f"Keras on {engine}",
            {"engine": engine, "kind": kind, "executions": executions},
            variables(engine),
            timed=kind == "timings",
        )
        for kind, engine, executions in asked
    ]


def variables(engine: str) -> dict[str, str]:
    """Return the environment of a process with Keras on `engine`, as conf/backend has it."""
    return {
        "KERAS_BACKEND": engine,
        "JAX_ENABLE_X64": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def run(
    setting: Setting, seconds: float, engine: str, kind: str, executions: list[str]
) -> Iterator[Row]:
    """Yield the rows of an engine, in float32: Keras has no other arithmetic on these two."""
    from gpu import loops, stopwatch
    from gpu.compiled import agreement
    from gpu.workloads import WORKLOADS

    end, label = time.monotonic() + seconds, f"Keras on {engine}"
    if kind == "agreement":
        (execution,) = executions
        make = Backend("keras", setting.device)
        said = f"{label}, {execution}"
        yield from agreement(setting, end, said, make, execution, BLOCKS, "float32")
        return
    known = {workload.name: workload for workload in WORKLOADS}
    for name in TIMED[: 1 if setting.quick else None]:
        if time.monotonic() > end:
            yield Row(f"{name} {label}", "skipped", "no time left")
            continue
        workload = known[name].shorter(20 if setting.quick else 200)
        makers: dict[str, stopwatch.Make] = {
            f"{label}, {how}": partial(stopwatch.trainer, "keras", how, setting.device, workload)
            for how in executions
        }
        bare = "bare JAX, an epoch compiled by XLA" if engine == "jax" else "bare torch"
        makers[bare] = (
            partial(loops.bare_jax, workload)
            if engine == "jax"
            else partial(loops.bare_torch, workload, setting.device)
        )
        against = {f"{label}, {how}": bare for how in executions}
        yield from stopwatch.race(workload, makers, against, 3)
