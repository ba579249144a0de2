"""`nnbench profile`: every part of a step is there, and what it takes adds up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.backends.profiling import profile
from nnbench.model.layers import Activation, BatchNorm, Conv2d, Dense, Dropout, Flatten, MaxPool2d
from nnbench.model.optimizers import SGD, Adam
from nnbench.testing.cases import BATCH, case
from support.backends import factory
from support.commands import Nnbench

IMAGES = case(Conv2d(3), BatchNorm(), Activation("relu"), MaxPool2d(), Flatten(), Dropout(0.5))
EXECUTIONS = [
    ("numpy", "fused"),
    ("numpy", "reference"),
    ("torch", "eager"),
    pytest.param("keras", "xla", marks=pytest.mark.slow),
    ("keras", "graph"),
    pytest.param("keras", "fit", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("backend", "execution"), EXECUTIONS)
def test_what_the_operations_take_adds_up(backend: str, execution: str) -> None:
    trainer = factory(backend)(IMAGES.on(execution), IMAGES.splits)
    trainer.load(IMAGES.params)
    walk = IMAGES.walks()[0]
    passed: list[float] = []
    train = trainer.train

    def timed(walk: Any) -> Any:
        start = time.perf_counter()
        stats = train(walk)
        passed.append((time.perf_counter() - start) / len(walk.lr))
        return stats

    trainer.train = timed
    found = profile(backend, trainer, walk, BATCH)
    total = sum(row.seconds for row in found.rows)
    assert min(row.seconds for row in found.rows) >= -1e-9
    assert [r.seconds for r in found.rows] == sorted((r.seconds for r in found.rows), reverse=True)
    # No part of a step is missing. NumPy's profile takes steps of its own, slower than others.
    assert total > (0.5 * min(passed) if backend == "numpy" else 0.95 * passed[-1])


@pytest.mark.parametrize("execution", ["fused", "reference"])
def test_numpy_names_every_layer(execution: str) -> None:
    trainer: Any = factory("numpy")(IMAGES.on(execution), IMAGES.splits)
    found = profile("numpy", trainer, IMAGES.walks()[0], BATCH)
    places = {row.place for row in found.rows}
    assert {"batch", "loss", "1 forward", "2 forward", "7 forward", "1 backward"} <= places
    calls = {row.place: row.calls for row in found.rows}
    assert calls["7 forward"] >= 1


def test_a_profile_goes_the_same_way_and_leaves_nothing_behind() -> None:
    for execution, given, batch in (
        ("fused", IMAGES, BATCH),
        ("reference", IMAGES, BATCH),
        ("fused", case(Dense(5), inputs="flat", optimizer=SGD()), 1),
        ("fused", case(Dense(5), inputs="flat", optimizer=Adam()), 1),
    ):
        task = given.on(execution)
        task = type(task)(**{**vars(task), "batch_size": batch})
        ends = []
        for profiled in (True, False):
            trainer: Any = factory("numpy")(task, given.splits)
            trainer.load(given.params)
            walk = given.walks()[0]
            walk = type(walk)(**{**vars(walk), "lr": np.full(task.steps(walk.samples), 0.01)})
            (trainer.profile if profiled else trainer.train)(walk)
            trainer.train(walk)
            ends.append(trainer.params())
        for key, expected in ends[0].items():
            np.testing.assert_array_equal(ends[1][key], expected)


@pytest.mark.parametrize(
    "backends", [["numpy"], pytest.param(["numpy", "torch"], marks=pytest.mark.slow)]
)
def test_the_command_prints_and_draws(
    nnbench: Nnbench, tmp_path: Path, backends: list[str]
) -> None:
    # Of twenty rows five are the first layer's: some are among sixteen, whatever took its time.
    done = nnbench("profile", f"backend={','.join(backends)}", "--top", "16", "--plot", "p.svg")
    assert done.returncode == 0, done.stderr
    assert "numpy: 784-128-10" in done.stdout
    assert "1 dense forward" in done.stdout
    assert ("aten::" in done.stdout) == ("torch" in backends)
    assert "more" in done.stdout
    assert (tmp_path / "p.svg").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "Received --top 0; must be at least 1"),
        (["--plot", "p.docx"], "must end in .png, .svg, .pdf"),
        (["--plot", "nowhere/p.png"], "Cannot write --plot nowhere/p.png"),
        (["backend=keras_jax"], "backend.engine=tensorflow alone"),
        (["backend=nump"], "did you mean 'numpy'"),
    ],
)
def test_mistakes_cost_one_line(
    nnbench: Nnbench, tmp_path: Path, arguments: list[str], message: str
) -> None:
    if "backend=keras_jax" in arguments:
        pytest.importorskip("jax")
    done = nnbench("profile", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
