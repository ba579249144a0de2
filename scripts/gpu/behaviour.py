"""Part 5: the same bits in two processes, peak memory, out of memory as one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu import engines
from gpu.kit import SUBJECTS, subjects
from gpu.rows import Job, Row, Setting
from gpu.trainers import Backend

KINDS = ("bits", "memory", "exhausted")
SECONDS = 60.0  # for one job
LIMIT_BYTES = 1_500_000_000  # what a process may take where memory has to run out


def jobs(setting: Setting) -> list[Job]:
    """Return a job for each kind of behaviour and backend; of Keras the bits alone."""
    on_engines = [
        label for label in engines.SUBJECTS if not setting.lacks("keras", label.split()[-1])
    ]
    return [
        Job(
            f"{label}: {kind}",
            {"kind": kind, "label": label},
            engines.variables(label.split()[-1]) if label in engines.SUBJECTS else {},
            seconds=SECONDS,
        )
        for kind in KINDS
        for label in [*subjects(setting), *on_engines * (kind == "bits")]
    ]


def run(setting: Setting, seconds: float, kind: str, label: str) -> Iterator[Row]:
    """Yield the rows of one kind for one backend."""
    kinds = {"bits": _bits, "memory": _memory, "exhausted": _exhausted}
    yield from kinds[kind](setting, seconds, label)


def _bits(setting: Setting, seconds: float, label: str) -> Iterator[Row]:
    """Train every block in two processes and compare the weights, bit for bit."""
    from nnbench.testing import BLOCKS

    blocks = engines.BLOCKS if label in engines.SUBJECTS else tuple(BLOCKS)
    command = [sys.executable, "-P", "-m", "gpu.bits", label, setting.device]
    command += blocks[: 8 if setting.quick else None]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, **pipes, text=True) for _ in range(2)]  # type: ignore[call-overload]
    try:
        found: list[dict[str, str]] = []
        for process in both:
            text, errors = process.communicate(timeout=seconds)
            if process.returncode:
                last = (errors.strip().splitlines() or ["it said nothing"])[-1]
                yield Row(f"{label}: the same bits twice", "failed", last[:300])
                return
            found.append(json.loads(text.strip().splitlines()[-1]))
    except subprocess.TimeoutExpired:
        yield Row(f"{label}: the same bits twice", "skipped", "no time left")
        return
    finally:
        for process in both:
            process.kill()
    other = [block for block, digest in found[0].items() if found[1][block] != digest]
    same = len(found[0]) - len(other)
    detail = f"{same} of {len(found[0])} blocks end in the same bits"
    if other:
        detail += f"; not: {', '.join(other)}"
    yield Row(f"{label}: the same bits twice", "failed" if other else "passed", detail)


def _memory(setting: Setting, seconds: float, label: str) -> Iterator[Row]:
    """Train a small and a large net and say what of the memory it took at most."""
    from gpu.workloads import WORKLOADS

    known = {workload.name: workload for workload in WORKLOADS}
    large = "W5, 100 million" if setting.device == "cuda" else "W5, 2.8 million"
    name, execution = SUBJECTS[label]
    for chosen in ("W3", large):
        workload = known[chosen].shorter(10)
        trainer = Backend(name, setting.device)(
            workload.task(setting.device, execution), workload.splits()
        )
        trainer.load(workload.params())
        trainer.train(workload.walk())
        weights = 4 * workload.architecture.parameter_count()
        peak = _peak_bytes(setting.device, name)
        figures = {"peak_MB": peak / 1e6, "weights_MB": weights / 1e6}
        yield Row(f"{label}: memory, {chosen}", "measured", "weights in float32", figures)
        del trainer


def _peak_bytes(device: str, name: str) -> int:
    if device == "cpu":
        from nnbench.records.machine import peak_memory_bytes

        return peak_memory_bytes() or 0
    if name == "torch":
        import torch

        return int(torch.cuda.max_memory_allocated())
    import cupy

    return int(cupy.get_default_memory_pool().total_bytes())


def _exhausted(setting: Setting, seconds: float, label: str) -> Iterator[Row]:
    """Let memory run out under a limit; the error has to become one sentence."""
    from gpu.workloads import Workload
    from nnbench.model.layers import Activation, Dense
    from nnbench.training.worker import out_of_memory

    name, execution = SUBJECTS[label]
    subject = f"{label}: out of memory"
    wide = Workload("wide", "", (Dense(60_000), Activation("relu")), 4000, 1)
    task = wide.task(setting.device, execution)
    try:
        trainer = Backend(name, setting.device)(task, wide.splits())
        _limit(setting.device, name)
        trainer.train(wide.walk())
    except Exception as error:
        said = out_of_memory(error)
        detail = said or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
        yield Row(subject, "passed" if said and "\n" not in said else "failed", detail)
    else:
        yield Row(subject, "failed", "the memory did not run out")


def _limit(device: str, name: str) -> None:
    """Let this process have no more than `LIMIT_BYTES` of the device's memory."""
    if device == "cpu":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    elif name == "torch":
        import torch

        total: Any = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(LIMIT_BYTES / total)
    else:
        import cupy

        cupy.get_default_memory_pool().set_limit(size=LIMIT_BYTES)
