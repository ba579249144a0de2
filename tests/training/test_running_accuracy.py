"""Running accuracy: counted as samples are met, recorded by epoch, None where nobody counts."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import NO_STATS, Task, TrainStats, Walk
from nnbench.records.folder import read_runs
from nnbench.reporting.claims.figures import run_figures
from nnbench.testing import Subject, result
from nnbench.testing.checks import running_accuracy_is_counted
from support.commands import TINY, Nnbench


class OneTooMany(NumpyTrainer):
    """Counts a sample as right that was not."""

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        assert stats.correct is not None
        return dataclasses.replace(stats, correct=stats.correct + 1)


def test_the_kit_counts_again() -> None:
    for make, outcome in ((NumpyTrainer, "passed"), (OneTooMany, "failed")):
        subject = Subject(make, "fused")
        found = result("x", lambda subject=subject: running_accuracy_is_counted(subject))  # type: ignore[misc]
        assert found.outcome == outcome


def test_parts_of_an_epoch_add_up() -> None:
    assert (NO_STATS + TrainStats(1.0, 10, 4) + TrainStats(2.0, 10, 5)).accuracy == 0.45
    assert (NO_STATS + TrainStats(1.0, 10, 4) + TrainStats(2.0, 10)).accuracy is None


def test_it_is_recorded(nnbench: Nnbench, tmp_path: Path) -> None:
    words = [*TINY, "schedule=constant", "schedule.lr=1e-12", "eval.train_samples=null", "epochs=1"]
    backends = ["numpy", "numpy_reference", "numpy_textbook"]
    done = nnbench("-m", *words, f"backend={','.join(backends)}", "parity=false")
    assert done.returncode == 0, done.stderr
    done = nnbench(*words, "task=regression", "loss=mse")
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 4
    for run in runs:
        (epoch,) = run.epochs
        assert epoch.running_accuracy == epoch.train_accuracy  # weights hardly moved
        assert epoch.evaluate_cpu_seconds is not None
        if run.config["task"] == "classification":
            figures = run_figures(run)
            assert figures["running_accuracy"] == figures["best_train_accuracy"]
            assert figures["cpu_time_with_evaluation"] == pytest.approx(
                epoch.cpu_seconds + epoch.evaluate_cpu_seconds  # type: ignore[operator]
            )
            assert figures["time_with_evaluation"] > figures["time"]


@pytest.mark.parametrize("backend", ["torch", "forgenn"])
def test_frameworks_count_as_numpy_does(backend: str) -> None:
    pytest.importorskip("forgeNN" if backend == "forgenn" else backend)
    from nnbench.testing.blocks import BLOCKS

    given = BLOCKS["relu"].of("float32")
    name, execution = {"torch": ("TorchTrainer", "eager")}.get(backend, ("ForgeNNTrainer", "plain"))
    make = getattr(importlib.import_module(f"nnbench.backends.{backend}"), name)
    counts = []
    for build, how in ((NumpyTrainer, "reference"), (make, execution)):
        task: Task = given.on(how)
        trainer = build(task, given.splits)
        trainer.load(given.params)
        counts.append([trainer.train(walk).correct for walk in given.walks()])
    assert counts[0] == counts[1]
    assert None not in counts[0]
