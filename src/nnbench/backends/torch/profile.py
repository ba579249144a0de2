"""PyTorch's own profile as rows."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from nnbench.backends.protocol import ProfileRow, with_between


def profile_rows(train: Callable[[], object], steps: int, device: str) -> list[ProfileRow]:
    """Return what each operation took of `train`, which takes `steps` steps; see `with_between`."""
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        start = time.perf_counter()
        train()
        passed = time.perf_counter() - start
    rows = []
    for event in profiler.key_averages():
        spent = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        rows.append(ProfileRow("", event.key, spent * 1e-6 / steps, event.count / steps))
    return with_between(rows, passed / steps)
