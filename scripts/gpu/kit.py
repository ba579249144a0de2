"""Part 1: the conformance kit over all blocks, against the NumPy reference on the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from gpu.rows import Job, Row, Setting
from gpu.trainers import Backend

SUBJECTS = {
    "torch eager": ("torch", "eager"),
    "numpy reference": ("numpy", "reference"),
    "torch cudagraph": ("torch", "cudagraph"),
}
KINDS = ("float64", "float32")


def jobs(setting: Setting) -> list[Job]:
    """Return a job for each backend and float type."""
    return [
        Job(f"{label} {dtype}", {"label": label, "dtype": dtype})
        for dtype in KINDS
        for label in subjects(setting)
    ]


def subjects(setting: Setting) -> list[str]:
    """Return the subjects that the device and the packages have."""
    there = [label for label in SUBJECTS if not setting.lacks(*needs(label, setting))]
    return [label for label in there if setting.device == "cuda" or "cuda" not in label]


def needs(label: str, setting: Setting) -> tuple[str, ...]:
    """Return the packages that a subject needs."""
    if label.startswith("numpy"):
        return ("cupy",) if setting.device == "cuda" else ()
    return ("torch",)


def run(setting: Setting, seconds: float, label: str, dtype: Any) -> Iterator[Row]:
    """Yield a row for each check that did not pass, then one that counts them."""
    from nnbench.testing import BLOCKS, CHECKS, RANDOM_NETS, check_trainer

    end = time.monotonic() + seconds
    name, execution = SUBJECTS[label]
    every = len(CHECKS) + len(BLOCKS) + RANDOM_NETS
    wanted = 20 if setting.quick else every
    counts = {"passed": 0, "failed": 0, "unsupported": 0}
    for result in check_trainer(Backend(name, setting.device), execution, dtype):
        counts[result.outcome] += 1
        if result.outcome != "passed":
            outcome = "failed" if result.outcome == "failed" else "skipped"
            yield Row(f"{label} {dtype}: {result.name}", outcome, result.detail[:300])  # type: ignore[arg-type]
        if sum(counts.values()) >= wanted or time.monotonic() > end:
            break
    done = sum(counts.values())
    left = "" if done == every else f"; {every - done} were not tried"
    said = f"{counts['passed']} of {done} checks passed{left}"
    outcome = "failed" if counts["failed"] else "passed"
    yield Row(f"{label} {dtype}", outcome, said, dict(counts))  # type: ignore[arg-type]
