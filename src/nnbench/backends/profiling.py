"""Where the time of a training step goes; what `nnbench profile` runs."""

from __future__ import annotations

import statistics
import time

from nnbench.backends.protocol import Profiler, ProfileRow, Trainer, Walk
from nnbench.errors import UnsupportedSpec
from nnbench.schema.deferred import dataclass

REPEATS = 5
SECONDS = 0.3  # about how long a profiled part of a walk runs without the profiler


@dataclass(frozen=True)
class Profile:
    """The rows of a profile, the slowest first; `step_seconds` of a step without the profiler."""

    step_seconds: float
    steps: int
    rows: tuple[ProfileRow, ...]


def profile(name: str, trainer: Trainer, walk: Walk, step_samples: int) -> Profile:
    """Profile steps of `walk`, as many as take a moment; the trainer moves on.

    Raises UnsupportedSpec where the backend has no profile.
    """
    if not isinstance(trainer, Profiler):
        raise UnsupportedSpec(
            f"backend={name} cannot be profiled; its trainer has no method profile."
        )
    trainer.warm_up(walk.samples)
    multiple = trainer.slice_multiple
    steps = min(len(walk.lr), multiple)
    spent = _seconds(trainer, walk.part(0, steps, step_samples))
    steps = min(len(walk.lr), max(1, int(SECONDS / spent)) * steps)
    part = walk.part(0, steps, step_samples)
    state, times = trainer.state(), []
    for _ in range(REPEATS):
        times.append(_seconds(trainer, part))
        trainer.restore(state)  # the same steps each time: weights that grow slow some kernels down
    plain = statistics.median(times) / steps
    rows = sorted(trainer.profile(part), key=lambda row: -row.seconds)
    return Profile(plain, steps, tuple(rows))


def _seconds(trainer: Trainer, walk: Walk) -> float:
    start = time.perf_counter()
    trainer.train(walk)
    return time.perf_counter() - start
