"""Time per step, contenders in turn; every epoch reads a figure back, so the device is idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from gpu.rows import Row
from gpu.trainers import Backend
from gpu.workloads import Workload

Epoch = Callable[[], object]
Make = Callable[[], Epoch | None]
ROUNDS = 5


def trainer(name: str, execution: str, device: str, workload: Workload) -> Epoch:
    """Return an epoch of a backend, loaded and warm."""
    built = Backend(name, device)(workload.task(device, execution), workload.splits())
    built.load(workload.params())
    walk = workload.walk()
    built.warm_up(walk.samples)
    return lambda: built.train(walk)


def race(
    workload: Workload, makers: dict[str, Make], against: dict[str, str], rounds: int = ROUNDS
) -> Iterator[Row]:
    """Yield a row for each contender: median us per step, and how often faster than `against`.

    A contender that cannot be built or run has a row that says why, and the others go on.
    """
    ready: dict[str, Epoch] = {}
    times: dict[str, list[float]] = {}
    for label, make in makers.items():
        try:
            epoch = make()
            if epoch is None:
                continue
            epoch()
            ready[label], times[label] = epoch, []
        except Exception as error:
            first = (str(error).splitlines() or [""])[0][:200]
            yield Row(f"{workload.name} {label}", "failed", f"{type(error).__name__}: {first}")
    for turn in range(rounds):
        labels = [*ready]
        for label in labels[turn % len(labels) :] + labels[: turn % len(labels)]:
            start = time.perf_counter()
            ready[label]()
            times[label].append(1e6 * (time.perf_counter() - start) / workload.steps)
    medians = {label: statistics.median(found) for label, found in times.items()}
    for label, micros in medians.items():
        figures = {"us_per_step": micros}
        other = against.get(label)
        if other in medians:
            figures["times_as_fast"] = medians[other] / micros
        detail = f"against {other}" if other in medians else workload.what
        yield Row(f"{workload.name} {label}", "measured", detail, figures)
