"""A run in this process: the worker's own code, without a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nnbench.backends.protocol import TrainerFactory
from nnbench.config.composition import compose
from nnbench.records.run import RunResult
from nnbench.training import runner
from nnbench.training.job import Job

SMALL = ("data=synthetic", "data.samples=200", "batch_size=32", "tracking=local", "backend=numpy")


def run_here(
    folder: Path,
    overrides: Sequence[str],
    make: TrainerFactory | None = None,
    stop_after: int | None = None,
    resume: bool = False,
    weights: Path | None = None,
    nudged: bool = False,
) -> RunResult:
    """Train the run of `overrides` in `folder`; `make` instead of the configured backend.

    `stop_after` so many epochs it is asked to stop, and leaves a checkpoint; `weights` are those of
    `init=from_run`, `nudged`: start one ulp away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(
        compose([*SMALL, *overrides]).values,
        run_id="r1",
        name="here",
        created="2026-01-01T00:00:00.000+00:00",
        directory=folder,
        weights=weights,
        resume=resume,
        nudged=nudged,
    )

    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1  # once before the run, once at its start, once after each short epoch
        return stop_after is not None and asked >= 2 + stop_after

    with pytest.MonkeyPatch.context() as patch:
        if make is not None:
            factory: Callable[..., TrainerFactory] = lambda config: make  # noqa: E731
            patch.setattr(runner, "trainer_factory", factory)
        return runner.execute(job, lambda event: None, stopping)
