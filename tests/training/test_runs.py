"""What a run leaves: its figures, its history when it is taken up again, and when it diverges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnbench.errors import DataError, NNBenchError
from nnbench.records import weights
from nnbench.records.run import RunResult
from support.commands import here
from support.plants.evaluation import Bent
from support.running import run_here


class NanInTest(Bent):
    """One row of the test split, and no other, has logits that are not finite."""

    def bent(self, split: str, logits: np.ndarray) -> np.ndarray:
        return np.where((np.arange(len(logits)) == 3)[:, None] & (split == "test"), np.nan, logits)


class NanInValidation(Bent):
    def bent(self, split: str, logits: np.ndarray) -> np.ndarray:
        return logits * (np.nan if split == "val" else 1.0)


@pytest.mark.parametrize("plant", [NanInTest, NanInValidation])
def test_a_loss_that_is_not_finite_is_no_finished_run(tmp_path: Path, plant: type[Bent]) -> None:
    overrides = ["epochs=3", "backend=numpy_reference", "data.val_fraction=0.2"]
    run = run_here(tmp_path, overrides, plant)
    assert run.status == "diverged"
    assert len(run.epochs) == 1
    if plant is NanInTest:
        with np.load(tmp_path / weights.PREDICTIONS_NAME) as kept:
            assert kept["predicted"][3] == -1
            right = (kept["predicted"] == kept["targets"]).mean()
        assert run.figure("test_accuracy") == pytest.approx(right)


def test_weights_that_are_not_finite_go_nowhere(tmp_path: Path) -> None:
    results = tmp_path / "results"
    broken = results / "runs" / "broken"
    run = run_here(broken, ["epochs=1"])
    params = weights.load_weights(broken)
    key = next(iter(params))
    params[key].flat[:2] = np.nan
    weights.save_weights(broken / weights.WEIGHTS_NAME, params, run.architecture)
    with pytest.raises(DataError) as caught:
        weights.finite_weights(broken)
    assert f"not finite, as of a run that diverged: {key} (2)" in str(caught.value)
    assert "\n" not in str(caught.value)
    exported = here(["export", "--results", str(results), "--format", "torch", run.run_id])
    assert exported.returncode == 2
    assert "not finite" in exported.stderr
    with pytest.raises(NNBenchError, match="not finite"):
        run_here(tmp_path / "next", ["init=from_run", f"init.run={broken}"], weights=broken)
    assert not (tmp_path / "next" / "run.json").exists()


def test_the_gap_of_a_regression_is_what_test_loses_more(tmp_path: Path) -> None:
    """Few samples and much noise: the net is better on what it has seen."""
    run = run_here(
        tmp_path,
        [
            *("task=regression", "loss=mse", "data.outputs=2", "data.samples=60", "data.noise=1"),
            *("epochs=40", "schedule=constant", "schedule.lr=0.05", "arch=mlp", "arch.hidden=[64]"),
        ],
    )
    last = run.epochs[-1]
    assert last.test_loss > last.train_loss
    for epoch in run.epochs:
        assert epoch.generalization_gap == epoch.test_loss - epoch.train_loss
        assert epoch.test_accuracy is None
    assert last.generalization_gap is not None
    assert last.generalization_gap > 0


MONITORED = {
    "best weights": ["keep.weights=best"],
    "early stopping": ["early_stopping.patience=3"],
    "plateau": ["schedule=plateau", "schedule.patience=0", "schedule.factor=0.5"],
}
UP_AND_DOWN = [
    *("data.val_fraction=0.3", "data.noise=3", "epochs=14", "init=he", "arch=mlp"),
    *("arch.hidden=[32]", "loss=cross_entropy"),
]


@pytest.mark.parametrize("what", MONITORED)
def test_a_resumed_run_remembers_what_it_monitored(tmp_path: Path, what: str) -> None:
    """Stopped after any epoch and taken up, it keeps, stops and lowers its rate as if not."""
    rate = [] if what == "plateau" else ["schedule=constant"]
    overrides = [*UP_AND_DOWN, *MONITORED[what], *rate, "schedule.lr=0.2"]
    straight = run_here(tmp_path / "straight", overrides)
    matters = {
        "best weights": straight.kept_epoch not in (0, len(straight.epochs) - 1),
        "early stopping": len(straight.epochs) < 14,
        "plateau": len({e.learning_rate for e in straight.epochs}) > 1,
    }
    assert matters[what], "this run does not use its history"
    for stop in (1, len(straight.epochs) // 2, len(straight.epochs) - 1):
        folder = tmp_path / f"stopped after {stop}"
        stopped = run_here(folder, overrides, stop_after=stop)
        assert (stopped.status, len(stopped.epochs)) == ("killed", stop)
        assert_equal(straight, run_here(folder, overrides, resume=True))


def assert_equal(straight: RunResult, resumed: RunResult) -> None:
    assert resumed.resumed
    assert (resumed.status, resumed.kept_epoch, resumed.message) == (
        straight.status,
        straight.kept_epoch,
        straight.message,
    )
    for name in ("learning_rate", "train_loss", "val_loss", "test_accuracy"):
        assert [getattr(e, name) for e in resumed.epochs] == [
            getattr(e, name) for e in straight.epochs
        ]
    assert resumed.directory is not None
    assert straight.directory is not None
    kept, expected = (weights.load_weights(r.directory) for r in (resumed, straight))
    assert all(np.array_equal(kept[key], expected[key]) for key in expected)


@pytest.mark.parametrize(("batch", "own"), [(1000, 2), (10, 1)])
def test_threads_that_share_a_batch_are_threads_in_use(
    tmp_path: Path, batch: int, own: int
) -> None:
    """They are no library's, and would be taken for one thread beside another backend's two."""
    words = ["backend=numpy", "arch=784-10-10", "data=mnist_5k", "threads=2", "epochs=1"]
    done = here([*words, f"batch_size={batch}", "tracking=local", f"results={tmp_path}"])
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    run = RunResult.read(folder)
    assert run.choices["part_threads"] == own
    assert run.choices["blas_threads"] == 1
    assert run.machine["threads"]["in_use"] == own
