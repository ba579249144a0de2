"""Single operations: the same result on each backend, and the commands that time them."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.backends.operations import IMAGES, MEANINGS, time_all
from nnbench.reporting.statistics import paired_ratio
from support.commands import Nnbench

MODULES = ("numpy", "torch", "keras", "forgenn", "minitorch")


@pytest.mark.parametrize("backend", MODULES)
def test_every_operation_of_a_backend_is_one_that_is_explained(backend: str) -> None:
    pytest.importorskip({"forgenn": "forgeNN", "minitorch": "minitorch.nn"}.get(backend, backend))
    module = importlib.import_module(f"nnbench.backends.{backend}.operations")
    start = time.perf_counter()
    found = time_all(module.operations(8, "float32", 1))
    assert set(found) <= set(MEANINGS)
    assert {"matmul", "relu", "sigmoid", "dense"} <= set(found)
    assert all(seconds > 0 for seconds in found.values())
    assert sum(found.values()) < time.perf_counter() - start, "seconds, of one call each"


def test_numpy_computes_what_the_names_say() -> None:
    """Against plain formulas: an operation that skipped its work would be very fast."""
    from nnbench.backends.numpy.operations import operations

    found = operations(16, "float64", 1)
    matmul: Any = found["matmul"]
    x, y, out = matmul.args
    matmul()
    np.testing.assert_allclose(out, x @ y)
    found["relu"]()
    np.testing.assert_array_equal(out, np.maximum(x, 0))
    found["softmax"]()
    np.testing.assert_allclose(out.sum(axis=1), 1.0)
    found["dense"]()
    np.testing.assert_allclose(out, x @ y)  # the bias is 0
    pooled = found["max_pool2d"]()
    assert pooled.shape == (IMAGES[0], 63, 63, 16)


@pytest.mark.slow
@pytest.mark.parametrize("backends", [["numpy"], ["numpy", "torch"]])
def test_the_command_times_backends_in_turn(
    nnbench: Nnbench, tmp_path: Path, backends: list[str]
) -> None:
    words = ("--size", "64", "--rounds", "2", "--out", "t.json", f"backend={','.join(backends)}")
    done = nnbench("ops", *words)
    assert done.returncode == 0, done.stderr
    for name in MEANINGS:
        assert name in done.stdout
    seconds = json.loads((tmp_path / "t.json").read_text())["seconds"]
    assert set(seconds) == set(backends)
    assert all(len(rounds) == 2 for rounds in seconds[backends[-1]].values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "0"], "Received --size 0; must be at least 1"),
        (["--rounds", "-1"], "Received --rounds -1; must be at least 1"),
        (["backend=torhc"], "did you mean 'torch'"),
        (["backend=forgenn", "dtype=float64", "--size", "8"], "its tensors are float32"),
    ],
)
def test_mistakes_cost_one_line(nnbench: Nnbench, arguments: list[str], message: str) -> None:
    done = nnbench("ops", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_paired_ratio_and_its_interval() -> None:
    found = paired_ratio([2.0, 4.0, 8.0], [1.0, 2.0, 4.0])
    assert found == pytest.approx((2.0, 2.0, 2.0))
    wide = paired_ratio([2.0, 3.0, 4.0, 2.5], [1.0, 1.1, 1.0, 1.2])
    scipy = pytest.importorskip("scipy.stats")
    logs = np.log(np.array([2.0, 3.0, 4.0, 2.5]) / np.array([1.0, 1.1, 1.0, 1.2]))
    expected = scipy.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    assert wide[1:] == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert str(paired_ratio([2.0], [1.0])) == "2.00"


def test_the_interval_of_a_ratio_covers_the_true_one() -> None:
    rng = np.random.default_rng(0)
    for pairs in (3, 5, 10):
        hits = 0
        for _ in range(400):
            ratios = 2.0 * np.exp(0.1 * rng.standard_normal(pairs))
            _, low, high = paired_ratio(ratios.tolist(), [1.0] * pairs)
            hits += low <= 2.0 <= high
        assert 0.92 <= hits / 400 <= 0.98
