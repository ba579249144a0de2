"""Every building block: against finite differences, across backends, stopped and resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from nnbench.backends.drift import trained
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import ACTIVATIONS
from nnbench.backends.parity import relative_difference
from nnbench.model import metrics
from nnbench.model.layers import (
    Activation,
    Augment,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2d,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
)
from nnbench.model.losses import Loss
from nnbench.model.network import ParamKey
from nnbench.testing import BLOCKS, Case, equals_the_reference
from nnbench.testing.blocks import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from nnbench.testing.cases import BATCH, SHAPES, VOCABULARY, case
from support.backends import ALL, ALL_IN_SHORT, BACKENDS, factory

GRAPH = ("keras", "graph")  # compiles in a third of the time that xla takes
SIGMOID = case(Dense(6), Activation("sigmoid"), inputs="flat", loss=Loss("bce", "sum"))


def loss_of(trainer: NumpyTrainer) -> float:
    """Return the loss of one batch of all samples as training sees it, with the keys of step 0."""
    task, targets = trainer.task, trainer._targets["train"]
    x = trainer._gather("train", slice(0, len(targets)))
    logits = trainer.activations(x, trainer.keys(0, 1)[0])[-1]
    losses = metrics.sample_losses(logits, targets, task.loss, task.architecture.output_activation)
    return float(losses.sum() * task.loss.batch_scale(len(losses)))


def numeric_gradients(trainer: NumpyTrainer) -> dict[ParamKey, np.ndarray]:
    """Central differences with h = 1e-5, error O(h^2)."""
    grads = {}
    for key in trainer._weights.views:
        p = trainer._params[key]
        grad = np.zeros_like(p)
        for index in np.ndindex(p.shape):
            kept = p[index]
            p[index] = kept + 1e-5
            high = loss_of(trainer)
            p[index] = kept - 1e-5
            low = loss_of(trainer)
            p[index] = kept
            grad[index] = (high - low) / 2e-5
        grads[key] = grad
    return grads


def worst_difference(case: Case) -> float:
    """Return the largest error of a gradient on six samples, relative to the largest gradient."""
    small = {name: split.first(6) for name, split in case.splits.items()}
    trainer = NumpyTrainer(case.task, small)
    trainer.load(case.params)
    x = trainer._gather("train", slice(0, 6))
    _, grads = trainer.gradients(x, trainer._target_matrix, trainer.keys(0, 1)[0])
    numeric = numeric_gradients(trainer)
    scale = max(np.abs(g).max() for g in numeric.values())
    return max(float(np.abs(grads[k] - numeric[k]).max()) for k in numeric) / scale


# Their figures are not what is minimised: tests/model/test_losses.py has their gradients.
BROADCAST = [name for name in LOSSES if name.startswith("broadcast")]


@pytest.mark.parametrize("name", [name for name in LAYERS | LOSSES if name not in BROADCAST])
def test_gradients_equal_finite_differences(name: str) -> None:
    assert worst_difference(BLOCKS[name]) <= 1e-7


def test_a_planted_sign_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ACTIVATIONS["sigmoid"][0], lambda x, y, dy: -dy * y * (1.0 - y)
    monkeypatch.setitem(ACTIVATIONS, "sigmoid", wrong)
    assert worst_difference(SIGMOID) > 0.1


def test_a_gradient_wrong_by_a_twentieth_of_a_per_cent_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = ACTIVATIONS["sigmoid"][0], lambda x, y, dy: 1.0005 * dy * y * (1.0 - y)
    monkeypatch.setitem(ACTIVATIONS, "sigmoid", wrong)
    assert worst_difference(SIGMOID) > 1e-6


@pytest.mark.parametrize(
    ("backend", "execution", "name"),
    [
        pytest.param(*pair, name, marks=[pytest.mark.slow] * slow)
        for name in ("adam clip_norm", "dropout of images", "batch_norm 2d")
        for pair in (BACKENDS[1], GRAPH, BACKENDS[3])
        for slow in [pair == BACKENDS[3] or (pair == GRAPH and name != "dropout of images")]
    ],
)
def test_frameworks_stopped_anywhere_and_resumed_too(
    name: str, backend: str, execution: str
) -> None:
    test_stopped_anywhere_and_resumed_it_ends_in_the_same_bits(name, backend, execution)


# Keras' layers, losses and optimizers are the same under graph and xla, its layers and optimizers
# under fit. Each compiles for seconds: make test has every kind once, test-full all.
XLA = {"batch_norm 2d"}  # its program carries moving statistics and state
FIT = {"cross_entropy sum over batch"}  # what it has of its own: how losses are reduced
OF_GRAPH = {  # besides layers
    *("sgd nesterov", "adam clip_norm", "schedule cosine"),
    "bce sum over outputs, sum over batch",
}
# Every layer once, in two nets; by itself in test-full.
TOGETHER = {
    "layers of images": case(
        *(Conv2d(4, padding="same"), Activation("gelu_tanh"), AvgPool2d(2, 1)),
        *(Conv2d(3, 3, 2, 2, bias=False), BatchNorm(), Activation("silu"), MaxPool2d(3, 1)),
        *(LayerNorm(), Dropout(0.2, in_evaluation=True), LeakyReLU(0.2)),
        *(Conv2d(5, 3, 2, "same"), BatchNorm(variance="biased"), GlobalAvgPool2d()),
        *(Dense(6), Activation("softmax"), Dense(5, trainable=False), Activation("gelu")),
        *(BatchNorm(trainable=False), Dense(5), Dropout(0.3), Activation("sigmoid")),
        augment=Augment(SHAPES["image"], 2, True),
    ),
    "layers of a sequence": case(
        *(Embedding(VOCABULARY, 3), LayerNorm(), BatchNorm(0.2, 1e-2), Dropout(0.1), Flatten()),
        *(Dense(6, bias=False), Activation("relu"), LayerNorm(trainable=False), Dense(5)),
        *(Activation("tanh"), Dense(5), Activation("linear")),
        inputs="tokens",
    ),
}
# What frameworks put in different ways, by itself all the same.
APART = ("same", "padding", "stride", "first", "held still", "in evaluation", "augment")
PLAIN = {name for name in LAYERS if not any(word in name for word in APART)}
assert set(BLOCKS) >= XLA | FIT | OF_GRAPH
IN_SHORT = {
    "fused": {"dense"},  # the scorecard in test_kit.py has every block
    "eager": (BLOCKS.keys() - PLAIN) | TOGETHER.keys(),
    "xla": XLA,
    "fit": FIT,
    "graph": OF_GRAPH | TOGETHER.keys(),
}
EVERY = {**BLOCKS, **TOGETHER}


@pytest.mark.parametrize(
    ("backend", "execution", "name"),
    [
        pytest.param(*pair, name, marks=[pytest.mark.slow] * (name not in IN_SHORT[pair[1]]))
        for pair in (*BACKENDS, GRAPH)
        for name in EVERY
        if pair != GRAPH or name in LAYERS.keys() | IN_SHORT["graph"]
    ],
)
def test_backends_take_the_same_steps(backend: str, execution: str, name: str) -> None:
    equals_the_reference(factory(backend), execution, EVERY[name])


def test_the_nets_of_many_layers_have_every_one() -> None:
    every = {layer.name for block in BLOCKS.values() for layer in block.task.architecture.layers}
    assert {
        layer.name for net in TOGETHER.values() for layer in net.task.architecture.layers
    } == every


FUNCTIONS = (
    *("gelu", "silu", "leaky_relu", "relu", "softmax", "layer_norm"),
    *("avg_pool2d", "max_pool2d", "embedding", "conv2d", "linear"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_layer_wrong_by_half_a_thousandth_is_caught_among_many(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    right = getattr(torch.nn.functional, name)
    monkeypatch.setattr(f"torch.nn.functional.{name}", lambda *a, **k: 1.0005 * right(*a, **k))
    failed = 0
    for net in TOGETHER.values():
        try:
            equals_the_reference(factory("torch"), "eager", net)
        except AssertionError:
            failed += 1
    assert failed


# How losses are averaged changes no derivative at 0: make test has each form once.
@pytest.mark.parametrize(
    ("backend", "execution", "name"),
    [
        pytest.param(*pair, name, marks=[pytest.mark.slow] * slow)
        for pair in (BACKENDS[0], GRAPH, BACKENDS[2])
        for name in LOSSES
        for slow in [pair == BACKENDS[2] or (pair == GRAPH and "sum over" in name)]
    ],
)
def test_a_net_of_zeros_takes_the_same_first_steps(backend: str, execution: str, name: str) -> None:
    """Every logit is exactly 0 there, where derivatives of maximum and abs are a choice."""
    case = BLOCKS[name]
    walk = case.walks()[0].part(0, 2, BATCH)
    zeros = {key: 0.0 * p for key, p in case.params.items()}
    expected = trained(NumpyTrainer(case.task, case.splits), zeros, [walk])
    found = trained(factory(backend)(case.on(execution), case.splits), zeros, [walk])
    assert max(float(np.abs(found[key] - expected[key]).max()) for key in expected) <= 1e-15


RESUMED = (
    OPTIMIZERS
    | SCHEDULES
    | {
        name: dataclasses.replace(BLOCKS[name])
        for name in ("dropout", "dropout of images", "batch_norm 2d", "augment shift and flip")
    }
)


def stops(multiple: int) -> Iterator[int]:
    yield from (cut for cut in (1, 3, 6) if cut % multiple == 0)


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize(
    ("backend", "execution"),
    [*ALL[:2], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ALL[2:])],
    ids=str,
)
def test_stopped_anywhere_and_resumed_it_ends_in_the_same_bits(
    name: str, backend: str, execution: str
) -> None:
    """Another trainer, built anew, continues from what `state` returned in mid-epoch."""
    case, make = RESUMED[name], factory(backend)
    task = case.on(execution)
    first, second = make(task, case.splits), make(task, case.splits)
    expected = trained(first, case.params, case.walks())
    for stop in stops(first.slice_multiple):
        first.load(case.params)
        epochs = case.walks()
        first.train(epochs[0])
        first.train(epochs[1].part(0, stop, BATCH))
        second.restore(first.state())
        second.train(epochs[1].part(stop, 7, BATCH))
        second.train(epochs[2])
        found = second.params()
        assert all((found[key] == expected[key]).all() for key in expected), stop


@pytest.mark.parametrize(("backend", "execution"), ALL_IN_SHORT, ids=str)
def test_a_batch_of_one_can_be_normalised(backend: str, execution: str) -> None:
    """torch's own batch norm refuses it; a ragged last batch may well be one sample."""
    one = case(Dense(6), BatchNorm(), Activation("tanh"), inputs="flat")
    walk = one.walks()[0]
    walk = dataclasses.replace(walk, order=walk.order[:33], lr=walk.lr[:2], samples=33)
    expected = trained(NumpyTrainer(one.task, one.splits), one.params, [walk])
    found = trained(factory(backend)(one.on(execution), one.splits), one.params, [walk])
    assert relative_difference(expected, found) <= 1e-13
    assert all(np.isfinite(p).all() for p in found.values())


@pytest.mark.parametrize(
    "layers",
    [
        (Dense(6), BatchNorm()),
        (Dense(6), Activation("linear"), Dropout(0.0), BatchNorm()),
    ],
)
def test_parameters_without_effect_have_none(layers: tuple[Dense, BatchNorm]) -> None:
    found = case(*layers, Activation("tanh"), inputs="flat")
    without = found.task.architecture.without_effect()
    norm = next(i for i, layer in enumerate(layers) if isinstance(layer, BatchNorm))
    assert without == {ParamKey(0, "bias"), ParamKey(norm, "mean")}
    trainer = NumpyTrainer(found.task, found.splits)
    trainer.load(found.params)
    before = loss_of(trainer)
    trainer._params[ParamKey(0, "bias")] += 3.0
    assert loss_of(trainer) == pytest.approx(before, rel=1e-13)
    trainer._params[ParamKey(0, "kernel")] += 0.1
    assert abs(loss_of(trainer) - before) > 1e-3


def test_parameters_with_an_effect_are_compared() -> None:
    net = case(Dense(6), Activation("tanh"), BatchNorm(), inputs="flat").task.architecture
    assert net.without_effect() == set()


def test_clipping_bounds_the_global_norm() -> None:
    """Two parameters with gradients 3 and 4 have the norm 5; clipped to 1 they are 0.6 and 0.8."""
    from nnbench.backends.numpy.flat import Flat
    from nnbench.backends.numpy.optimizers import Rule
    from nnbench.model.optimizers import SGD

    keys = ParamKey(0, "kernel"), ParamKey(1, "kernel")
    grads = dict(zip(keys, (np.array([3.0]), np.array([4.0])), strict=True))
    for clip_norm, expected in ((1.0, [0.6, 0.8]), (9.0, [3.0, 4.0])):
        weights = Flat(dict.fromkeys(keys, (1,)), np, "float64")
        Rule(SGD(clip_norm=clip_norm), weights).step(grads, 1.0)
        assert [-weights.views[key][0] for key in keys] == pytest.approx(expected, rel=1e-6)
