"""Executions and inputs beside the defaults: another way to the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnbench.backends.protocol import Walk
from nnbench.config.composition import compose
from nnbench.errors import UnsupportedSpec
from nnbench.testing import BLOCKS, Case, equals_the_reference
from support.backends import factory, natively

CASES = ("dense", "dropout", "batch_norm 2d", "adam clip_norm", "schedule cosine")


def native(given: Case) -> Case:
    return dataclasses.replace(given, task=dataclasses.replace(given.task, input="native"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_compiled_net_takes_the_same_steps(name: str) -> None:
    assert equals_the_reference(factory("torch"), "compile", BLOCKS[name]).within


@pytest.mark.parametrize(
    ("backend", "execution", "name"),
    [
        *(("torch", "eager", name) for name in CASES),
        *(("keras", "fit", name) for name in CASES[:2]),
        *(pytest.param("keras", "fit", name, marks=pytest.mark.slow) for name in CASES[2:]),
    ],
)
def test_the_frameworks_loader_takes_the_same_steps(
    name: str, backend: str, execution: str
) -> None:
    assert equals_the_reference(factory(backend), execution, native(BLOCKS[name])).within


@pytest.mark.parametrize("kind", ["resident", "native"])
@pytest.mark.parametrize(
    ("backend", "execution"), [("torch", "eager"), ("keras", "fit"), ("keras", "graph")]
)
def test_a_framework_shuffles_by_the_seed_from_either_input(
    backend: str, execution: str, kind: str
) -> None:
    if (execution, kind) == ("graph", "native"):
        pytest.skip("graph has no loader")
    given = BLOCKS["dense"]
    walk = Walk(None, np.full(7, 0.03), 200, 0, 0, given.task.seed)
    ends = []
    for seed in (1, 1, 2):
        task = natively(given.on(execution), input=kind, seed=seed)
        trainer: Any = factory(backend)(task, given.splits)
        trainer.load(given.params)
        stats = trainer.train(dataclasses.replace(walk, seed=seed))
        assert stats.samples == 200
        ends.append(trainer.params())
    for key in ends[0]:
        np.testing.assert_array_equal(ends[0][key], ends[1][key])
    assert any((ends[0][key] != ends[2][key]).any() for key in ends[0])


def test_cuda_graphs_are_refused_on_the_cpu() -> None:
    given = BLOCKS["dense"]
    with pytest.raises(UnsupportedSpec, match="CUDA graphs need device=cuda"):
        factory("torch")(given.on("cudagraph"), given.splits)


def test_a_loader_of_keras_needs_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    given = native(BLOCKS["dense"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    from nnbench.backends.keras.executions import Fit

    with pytest.raises(UnsupportedSpec, match=r"needs backend\.engine=tensorflow"):
        Fit(given.task, None, None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arch", "device", "expected"),
    [
        ("784-128-10", "cpu", "xla"),
        ("small_cnn", "cpu", "graph"),
        ("lenet5", "cpu", "graph"),
        ("small_cnn", "cuda", "xla"),
    ],
)
def test_auto_leaves_convolutions_on_the_cpu_to_the_graph(
    arch: str, device: str, expected: str
) -> None:
    """XLA's take fifteen times as long there (docs/results/bench.md, W6)."""
    cell = compose(["backend=keras", f"arch={arch}", f"device={device}"])
    assert cell.config.backend.execution == expected
    assert compose(["backend=keras_torch", f"arch={arch}"]).config.backend.execution == "fit"
