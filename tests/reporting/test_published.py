"""The first published comparison at full length, on real MNIST (make test-full, NNBENCH_DATA)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.reporting.pages.tables import weight_difference
from support.commands import Nnbench

STUDY = "create_nn_from_numpy"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """Run all ten cases; return them by case."""
    if "NNBENCH_DATA" not in os.environ:
        pytest.skip("needs the real MNIST files: set NNBENCH_DATA")
    folder = tmp_path_factory.mktemp("study")
    done = subprocess.run(
        [sys.executable, "-m", "nnbench", "study", STUDY, "tracking=local"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "differ in the framework alone" in done.stdout
    runs = read_runs(folder / "results")
    return {str(run.config["case"]).removeprefix(f"{STUDY}/"): run for run in runs}


def share_right(run: RunResult) -> float:
    assert run.kept is not None
    assert run.kept.test_accuracy is not None
    return run.kept.test_accuracy


def test_the_published_numpy_run_is_reproduced(study: dict[str, RunResult]) -> None:
    assert share_right(study["published_numpy_b1"]) == pytest.approx(0.876, abs=0.007)


def test_the_published_pytorch_run_stays_untrained(study: dict[str, RunResult]) -> None:
    assert share_right(study["published_torch_b1"]) < 0.30


def test_with_one_loss_the_weights_agree(study: dict[str, RunResult]) -> None:
    found = weight_difference(study["matched_numpy_b1"], study["matched_torch_b1"])
    assert found is not None
    assert found <= 1e-9
    assert len(study["matched_torch_b1"].epochs) == 100


def test_trained_weights_are_a_head_start(study: dict[str, RunResult]) -> None:
    assert share_right(study["published_torch_b32_from_numpy"]) > 0.85
    assert share_right(study["published_torch_b32"]) < 0.30


def test_bare_nnbench_learns_the_embedded_digits(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("tracking=local")
    assert done.returncode == 0
    (run,) = read_runs(tmp_path / "results")
    assert 0.87 <= share_right(run) <= 0.91
