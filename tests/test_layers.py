"""Layers beyond dense ones: finite differences, agreement of backends, shapes that do not fit."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import MaxPool2d as NumpyMaxPool2d
from nnbench.compose import compose
from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import ConfigError
from nnbench.init import Uniform, initial_params
from nnbench.layers import (
    Activation,
    AvgPool2d,
    Conv2d,
    Dense,
    Flatten,
    Layer,
    LayerNorm,
    MaxPool2d,
)
from nnbench.optimizers import SGD
from nnbench.parity import agreement
from nnbench.spec import Architecture, LayerList, Loss
from nnbench.trainer import Task
from test_numpy import worst_difference
from test_parity import BACKENDS, factory, small_walks

NETS: dict[str, tuple[Layer, ...]] = {
    "conv-valid": (Conv2d(3), Activation("tanh"), Flatten()),
    "conv-same": (Conv2d(3, padding="same"), Activation("tanh"), Flatten()),
    "conv-same-stride": (Conv2d(3, 3, 2, "same"), Activation("tanh"), Flatten()),
    "conv-even-kernel": (Conv2d(3, 2, 1, "same"), Activation("tanh"), Flatten()),
    "conv-stride-no-bias": (Conv2d(3, 2, 2, bias=False), Activation("tanh"), Flatten()),
    "conv-conv": (Conv2d(3), Activation("relu"), Conv2d(2, 2), Activation("relu"), Flatten()),
    "max-pool": (Conv2d(3), MaxPool2d(), Activation("relu"), Flatten()),
    "max-pool-first": (MaxPool2d(), Flatten(), Dense(5), Activation("tanh")),
    "max-pool-overlap": (Conv2d(2), MaxPool2d(3, 1), Flatten()),
    "avg-pool": (Conv2d(3), Activation("sigmoid"), AvgPool2d(), Flatten()),
    "avg-pool-overlap": (Conv2d(2), AvgPool2d(3, 2), Flatten()),
    "layer-norm": (Flatten(), Dense(6), LayerNorm(), Activation("relu")),
    "layer-norm-image": (Conv2d(3), LayerNorm(), Activation("relu"), Flatten()),
    "gelu": (Flatten(), Dense(6), Activation("gelu"), Dense(5), Activation("gelu")),
    "softmax": (Flatten(), Dense(6), Activation("softmax")),
}


@cache
def splits(ties: bool = False) -> dict[str, Split]:
    """200 images of 8x7 pixels and 2 channels; with `ties`, of few values."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 3 if ties else 256, (200, 8, 7, 2)).astype(np.uint8)
    split = Split(images, rng.integers(0, 4, 200))
    return {"train": split, "train_eval": split.first(50), "test": split}


def task_for(layers: tuple[Layer, ...], execution: str = "reference") -> Task:
    architecture = LayerList(layers, output_activation="softmax").build((8, 7, 2), 4)
    return Task(
        kind="classification",
        architecture=architecture,
        loss=Loss("cross_entropy"),
        optimizer=SGD(momentum=0.9, weight_decay=0.01),
        batch_size=32,
        dtype="float64",
        inputs=ArraySpec((8, 7, 2), "uint8", 1 / 255),
        targets=ArraySpec((), "int64"),
        device="cpu",
        semantics="matched",
        execution=execution,
        threads=1,
        seed=0,
    )


def numpy_trainer(layers: tuple[Layer, ...], ties: bool = False) -> NumpyTrainer:
    trainer = NumpyTrainer(task_for(layers), splits(ties))
    architecture = trainer.task.architecture
    trainer.load(initial_params(Uniform(-0.3, 0.3), architecture, 1, "float64"))
    return trainer


@pytest.mark.parametrize("name", NETS)
def test_gradients_equal_finite_differences(name: str) -> None:
    small = {"train": splits()["train"].first(6), "test": splits()["test"].first(6)}
    trainer = NumpyTrainer(task_for(NETS[name]), small)
    architecture = trainer.task.architecture
    trainer.load(initial_params(Uniform(-0.3, 0.3), architecture, 1, "float64"))
    assert worst_difference(trainer, trainer.task.loss) <= 1e-7


@pytest.mark.parametrize(("backend", "execution"), BACKENDS[:2], ids=str)
@pytest.mark.parametrize("name", NETS)
def test_backends_agree_within_the_envelope(name: str, backend: str, execution: str) -> None:
    reference = numpy_trainer(NETS[name])
    other = factory(backend)(task_for(NETS[name], execution), splits())
    params = initial_params(Uniform(-0.3, 0.3), reference.task.architecture, 2, "float64")
    found = agreement(reference, other, params, small_walks(0.02))
    assert not found.chaotic
    assert found.within, found


TIES = (Conv2d(2, 2, bias=False), MaxPool2d(), Flatten())


def one_step_among_ties(make: Any, execution: str) -> Any:
    """Return the kernel after one step on pixels 0, 1, 2 with all weights 1/2.

    Sums of pixels are then exact: windows tie, and the patches behind equal maxima differ.
    """
    task = dataclasses.replace(task_for(TIES, execution), inputs=ArraySpec((8, 7, 2), "uint8", 1.0))
    params = initial_params(Uniform(-0.3, 0.3), task.architecture, 2, "float64")
    key = next(iter(params))
    params[key][...] = 0.5
    trainer = make(task, splits(ties=True))
    trainer.load(params)
    trainer.train(small_walks(0.02)[0].part(0, 1, 32))
    return trainer.params()[key]


@pytest.mark.parametrize(("backend", "execution"), BACKENDS[:2], ids=str)
def test_of_equal_maxima_the_first_gets_the_gradient(backend: str, execution: str) -> None:
    expected = one_step_among_ties(NumpyTrainer, "reference")
    found = one_step_among_ties(factory(backend), execution)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_a_pool_that_takes_the_last_maximum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = one_step_among_ties(NumpyTrainer, "reference")
    in_order = NumpyMaxPool2d._taps
    monkeypatch.setattr(
        NumpyMaxPool2d, "_taps", lambda self, *a: reversed(list(in_order(self, *a)))
    )
    found = one_step_among_ties(NumpyTrainer, "reference")
    assert np.abs(found - expected).max() > 1e-6


@pytest.mark.parametrize(
    ("n", "kernel", "stride"), [(28, 5, 1), (28, 3, 2), (7, 3, 2), (7, 2, 1), (5, 5, 3), (9, 4, 4)]
)
def test_same_padding_keeps_the_length_of_the_stride(n: int, kernel: int, stride: int) -> None:
    layer = Conv2d(4, kernel, stride, "same")
    expected = -(-n // stride)
    assert layer.output_shape((n, n, 1)) == (expected, expected, 4)
    (before, after), _ = layer.pads((n, n, 1))
    assert after - before in (0, 1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((Dense(3), Conv2d(3)), r"Layer 2, conv2d, needs images .*received \(3,\)"),
        ((Conv2d(3), Dense(3)), r"Layer 2, dense, needs flat input .*received \(6, 5, 3\)"),
        ((Conv2d(3, 9),), r"Layer 1, conv2d, has kernel_size=9, larger than its input"),
        ((MaxPool2d(2), MaxPool2d(4)), r"Layer 2, max_pool2d, has size=4, larger than"),
    ],
)
def test_shapes_that_do_not_fit_name_the_layer(layers: tuple[Layer, ...], message: str) -> None:
    shape = (8, 7, 2) if not isinstance(layers[0], Dense) else (112,)
    with pytest.raises(ConfigError, match=message):
        LayerList(layers, output_activation="softmax").build(shape, 4).output_shape()


def test_layers_are_read_from_yaml_by_name() -> None:
    arch = compose(
        [
            "arch=layers",
            "loss=cross_entropy",
            "arch.layers=[{name: conv2d, filters: 8}, relu, max_pool2d, flatten]",
        ]
    ).config.arch
    assert isinstance(arch, LayerList)
    assert arch.layers == (Conv2d(8), Activation("relu"), MaxPool2d(), Flatten())
    for text, message in (
        ("[conv3d]", "did you mean 'conv2d'"),
        ("[{name: conv2d}]", "Missing value for 'arch.layers[0].filters'"),
        ("[{name: conv2d, filters: 0}]", "Received arch.layers[0].filters=0; must be at least 1."),
        ("[{name: dense, units: 3, bios: true}]", "did you mean 'bias'"),
    ):
        with pytest.raises(ConfigError) as caught:
            compose(["arch=layers", f"arch.layers={text}"])
        assert message in str(caught.value)


def test_a_net_says_what_it_is() -> None:
    net = LayerList((Conv2d(8), MaxPool2d(), Activation("relu"), Flatten())).layers
    architecture = Architecture((28, 28, 1), (*net, Dense(10)), "softmax")
    assert str(architecture) == "28x28x1-conv8-max_pool2-10 relu/softmax"
    assert architecture.parameter_count() == 9 * 8 + 8 + 13 * 13 * 8 * 10 + 10
    assert dataclasses.replace(architecture).output_shape() == (10,)
