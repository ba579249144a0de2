"""The conformance kit: every backend passes it, and each mutant is caught by the check named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.testing import (
    BLOCKS,
    CHECKS,
    IN_FLOAT32,
    RANDOM_NETS,
    Subject,
    all_checks,
    result,
)
from support.backends import ALL, factory
from support.commands import Nnbench, plug_in
from support.plants import PLANTS
from support.plants.completion import (
    LeavesItToAThread,
    LeavesTheSecondHalf,
    PutsItOff,
    PutsOffLongWalks,
)
from support.plants.training import DropsTheRaggedBatch

COUNT = len(CHECKS) + len(BLOCKS) + RANDOM_NETS + len(IN_FLOAT32)


# Whole epochs as one program: compiled, and for a third of the time not.
KERAS = [("keras", "graph"), *(pytest.param(p, marks=pytest.mark.slow) for p in ALL[3:])]


@pytest.fixture(scope="module", params=[*ALL[:3], *KERAS], ids=lambda p: f"{p[0]}-{p[1]}")
def subject(request: pytest.FixtureRequest) -> Subject:
    backend, execution = request.param
    return Subject(factory(backend), execution)


@pytest.mark.parametrize("name", CHECKS)
def test_every_backend_conforms(subject: Subject, name: str) -> None:
    CHECKS[name](subject)


# Train for long; one that never waits at all is found soon.
OF_A_KIND = (LeavesItToAThread, LeavesTheSecondHalf, PutsOffLongWalks, PutsItOff)


@pytest.mark.parametrize(
    "plant",
    [pytest.param(p, marks=[pytest.mark.slow] * (p in OF_A_KIND)) for p in PLANTS],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_fault_is_caught_by_the_check_of_its_name(plant: type[NumpyTrainer]) -> None:
    name = PLANTS[plant]
    found = result(name, all_checks(plant, "reference")[name])
    assert found.outcome == "failed"
    assert len(found.detail.split()) > 1


@pytest.mark.parametrize("early", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_faults_planted_in_pytorch_are_caught_too(early: bool) -> None:
    """The one that returns early trains for long; NumPy's is caught by the same check."""
    pytest.importorskip("torch")
    from support.plants import frameworks

    for plant, name in frameworks.PLANTS.items():
        if (plant is frameworks.ReturnsEarly) != early:
            continue
        assert result(name, all_checks(plant, "eager")[name]).outcome == "failed", plant


def test_the_scorecard_has_every_check_and_says_what_failed() -> None:
    checks = all_checks(DropsTheRaggedBatch, "reference")
    assert len(checks) == COUNT
    results = {
        name: result(name, checks[name])
        for name in ("ragged batch counts", "adam", "parameters round trip")
    }
    assert results["ragged batch counts"].outcome == "failed"
    assert results["ragged batch counts"].detail == "the ragged last batch changed nothing"
    assert results["adam"].detail.startswith("diverges at step 7 of 21, most in layer")
    assert results["parameters round trip"].outcome == "passed"


@pytest.mark.slow
def test_the_scorecard_of_a_third_party_backend(nnbench: Nnbench, tmp_path: Path) -> None:
    code = (
        "from nnbench.backends.numpy import NumpyTrainer\n"
        "class Mine(NumpyTrainer):\n"
        "    def load(self, params):\n"
        "        super().load({key: 1.001 * value for key, value in params.items()})\n"
    )
    brought = plug_in(tmp_path, "mine", code, "reference")
    done = nnbench(
        "check",
        *brought,
        "backend=mine",
        env={"PYTHONPATH": f"{tmp_path}:{Path(sys.modules['nnbench'].__path__[0]).parent}"},
    )
    assert done.returncode == 1
    assert "FAIL  parameters round trip: params() differs" in done.stdout
    assert "mine (reference, float64): " in done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_scorecard_of_numpy(nnbench: Nnbench) -> None:
    done = nnbench("check", "backend=numpy")
    assert done.returncode == 0, done.stderr
    assert f"numpy (fused, float64): {COUNT} of {COUNT} passed" in done.stdout
    assert nnbench("check", "backend=jax").returncode == 2
