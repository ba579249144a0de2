"""Matched backends agree: the sigmoid net of the first comparison, then every piece of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from nnbench import data
from nnbench.backends.numpy import NumpyTrainer
from nnbench.compose import compose
from nnbench.data.dataset import ArraySpec, Split
from nnbench.init import Uniform, initial_params
from nnbench.optimizers import SGD
from nnbench.parity import CHAOTIC, Agreement, agreement, relative_difference, trained
from nnbench.runner import make_task
from nnbench.schedule import Phases
from nnbench.spec import MLP, Loss
from nnbench.trainer import Params, Task, Trainer, Walk

BACKENDS = [("torch", "eager"), ("keras", "xla"), ("keras", "fit")]


def factory(backend: str) -> Callable[..., Trainer]:
    if backend == "torch":
        pytest.importorskip("torch")
        from nnbench.backends.torch import TorchTrainer

        return TorchTrainer
    if backend == "keras":
        pytest.importorskip("keras")
        from nnbench.backends.keras import KerasTrainer

        return KerasTrainer
    return NumpyTrainer


@cache
def first_comparison(dtype: str) -> tuple[Task, dict[str, Split], Params]:
    """Bare nnbench: 784-128-10 sigmoid, 1,000 samples of mnist_5k, summed bce, batch 1."""
    config = compose([f"dtype={dtype}"]).config
    dataset = data.load(config.data, kind="classification", seed=0)
    task = make_task(config, dataset)
    splits = dataset.splits | {"train_eval": dataset.splits["train"]}
    return task, splits, initial_params(config.init, task.architecture, 0, dtype)  # type: ignore[arg-type]


def twenty_epochs(samples: int = 1000) -> Iterator[Walk]:
    for epoch in range(20):
        yield Walk(np.arange(samples), np.full(samples, 0.005), samples, epoch, epoch * samples, 0)


@cache
def numpy_weights(dtype: str) -> Params:
    task, splits, params = first_comparison(dtype)
    return trained(NumpyTrainer(task, splits), params, twenty_epochs())


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-4)])
@pytest.mark.parametrize(("backend", "execution"), BACKENDS)
def test_twenty_epochs_at_batch_1_end_in_the_same_weights(
    backend: str, execution: str, dtype: str, bound: float
) -> None:
    task, splits, params = first_comparison(dtype)
    task = dataclasses.replace(task, execution=execution)
    found = trained(factory(backend)(task, splits), params, twenty_epochs())
    expected = numpy_weights(dtype)
    largest = max(float(np.abs(found[key] - expected[key]).max()) for key in expected)
    assert relative_difference(params, expected) > 1.0  # it did train
    assert largest <= bound


CASES: list[dict[str, Any]] = [
    *(
        {"loss": Loss(name, outputs, batch), "output": output}  # type: ignore[arg-type]
        for name, output in (("mse", "sigmoid"), ("bce", "sigmoid"), ("cross_entropy", "softmax"))
        for outputs in ("sum", "mean")
        for batch in ("sum", "mean")
    ),
    {"bias": False},
    {"momentum": 0.9},
    {"weight_decay": 0.01},
    {"momentum": 0.9, "weight_decay": 0.01, "bias": False},
    *({"activation": name} for name in ("tanh", "relu", "linear")),
    *({"output": name, "loss": Loss("mse")} for name in ("tanh", "relu", "softmax", "linear")),
]


def small_task(
    loss: Loss = Loss("bce", "sum"),  # noqa: B008 - frozen
    activation: str = "sigmoid",
    output: str = "sigmoid",
    bias: bool = True,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    execution: str = "reference",
) -> Task:
    """784-16-10 on random images: batch 32, ragged last batch of 8."""
    arch = MLP(hidden=(16,), activation=activation, output_activation=output, bias=bias)  # type: ignore[arg-type]
    return Task(
        kind="classification",
        architecture=arch.build((784,), 10),
        loss=loss,
        optimizer=SGD(momentum, weight_decay),
        batch_size=32,
        dtype="float64",
        inputs=ArraySpec((784,), "uint8", 1 / 255),
        targets=ArraySpec((), "int64"),
        device="cpu",
        semantics="matched",
        execution=execution,
        threads=1,
        seed=0,
    )


@cache
def small_splits() -> dict[str, Split]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 784)).astype(np.uint8)
    split = Split(images, rng.integers(0, 10, 200))
    return {"train": split, "train_eval": split.first(50), "test": split}


def small_walks(rate: float) -> list[Walk]:
    """Three epochs of 7 steps whose learning rate changes inside and between epochs."""
    phases = Phases(starts=(0, 4, 9, 15), rates=(rate, rate / 2, rate / 5, rate / 10))
    return [
        Walk(
            np.random.default_rng(epoch).permutation(200),
            np.array([phases.at(7 * epoch + step) for step in range(7)]),
            200,
            epoch,
            7 * epoch,
            0,
        )
        for epoch in range(3)
    ]


def agree(backend: str, execution: str, case: dict[str, Any]) -> Agreement:
    reference = NumpyTrainer(small_task(**case), small_splits())
    other = factory(backend)(small_task(**case, execution=execution), small_splits())
    params = initial_params(Uniform(-0.05, 0.05), reference.task.architecture, 0, "float64")
    summed = reference.task.loss.over_batch == "sum"
    return agreement(reference, other, params, small_walks(0.001 if summed else 0.05))


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(str(v) for v in c.values()))
@pytest.mark.parametrize(("backend", "execution"), BACKENDS)
def test_every_piece_stays_within_the_envelope(
    backend: str, execution: str, case: dict[str, Any]
) -> None:
    found = agree(backend, execution, case)
    assert not found.chaotic
    assert found.within, found


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(str(v) for v in c.values()))
@pytest.mark.parametrize(("backend", "execution"), BACKENDS)
def test_a_net_of_zeros_takes_the_same_first_steps(
    backend: str, execution: str, case: dict[str, Any]
) -> None:
    """Every logit is exactly 0 there, where derivatives of maximum and abs are a choice."""
    trainers = [
        NumpyTrainer(small_task(**case), small_splits()),
        factory(backend)(small_task(**case, execution=execution), small_splits()),
    ]
    shapes = trainers[0].task.architecture.parameter_shapes()
    zeros = {key: np.zeros(shape) for key, shape in shapes.items()}
    walk = small_walks(0.001)[0].part(0, 2, 32)
    expected, found = (trained(trainer, zeros, [walk]) for trainer in trainers)
    assert max(float(np.abs(found[key] - expected[key]).max()) for key in expected) <= 1e-15


@pytest.mark.parametrize(
    "fault",
    [
        {"momentum": 0.9000001},
        {"weight_decay": 1e-9},
        {"loss": Loss("bce", "mean")},
    ],
    ids=str,
)
def test_a_planted_difference_is_caught(fault: dict[str, Any]) -> None:
    """The envelope is tight enough to see a momentum that is wrong in the seventh digit."""
    case = {"momentum": 0.9} if "momentum" in fault else {}
    reference = NumpyTrainer(small_task(**case), small_splits())
    other = NumpyTrainer(small_task(**case | fault), small_splits())
    params = initial_params(Uniform(-0.05, 0.05), reference.task.architecture, 0, "float64")
    found = agreement(reference, other, params, small_walks(0.05))
    assert found.one_ulp * 100 < CHAOTIC
    assert not found.within


def test_a_walk_that_visits_another_order_is_caught() -> None:
    task = small_task()
    params = initial_params(Uniform(-0.05, 0.05), task.architecture, 0, "float64")
    a = trained(NumpyTrainer(task, small_splits()), params, small_walks(0.05))
    swapped = [
        dataclasses.replace(w, order=np.roll(w.order, 32)) if w.order is not None else w
        for w in small_walks(0.05)
    ]
    b = trained(NumpyTrainer(task, small_splits()), params, swapped)
    assert relative_difference(a, b) > 1e-6
