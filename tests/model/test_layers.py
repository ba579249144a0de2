"""Layers beyond dense ones: finite differences, agreement of backends, shapes that do not fit."""

from __future__ import annotations

import dataclasses

import pytest

from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.model.architectures import LayerList
from nnbench.model.layers import (
    Activation,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
)
from nnbench.model.network import Architecture


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
        ((Conv2d(3, 11, padding=1),), r"kernel_size=11, .* \(8, 7, 2\) with padding=1"),
        ((GlobalAvgPool2d(), Conv2d(3)), r"Layer 2, conv2d, needs images"),
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
        (
            "[{name: conv2d, filters: 1, padding: full}]",
            "Received arch.layers[0].padding=full; must be one of valid, same or an integer",
        ),
        ("[{name: conv2d, filters: 1, padding: -1}]", "valid, same or at least 0."),
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


def test_what_does_not_learn_is_kept_and_not_counted() -> None:
    layers = (Dense(6, trainable=False), BatchNorm(trainable=False), Dense(4))
    net = LayerList(layers, output_activation="softmax", whole=True).build((5,), 4)
    assert {key.layer for key in net.parameter_shapes()} == {2}
    assert list(map(str, net.weight_shapes())) == [
        *("0.kernel", "0.bias", "1.scale", "1.offset", "1.mean", "1.variance"),
        *("2.kernel", "2.bias"),
    ]
    assert net.parameter_count() == 6 * 4 + 4
    assert [(row.parameters, row.buffers) for row in net.rows()] == [(0, 36), (0, 24), (28, 0)]
    assert net.rows()[0].layer == "dense units=6 trainable=false"
    assert net.without_effect() == set()  # a bias that stays is to stay
    with pytest.raises(ConfigError, match=r"arch\.layers of which none learns; leave out"):
        LayerList((Dense(4, trainable=False),), output_activation="softmax", whole=True).build(
            (5,), 4
        )


def test_a_whole_list_has_its_output_layer_and_must_fit_the_data() -> None:
    whole = LayerList((Dense(3), Dense(4, bias=False)), output_activation="softmax", whole=True)
    assert whole.build((7,), 4).layers == whole.layers
    with pytest.raises(ConfigError, match=r"end with \[4\]; the data needs \[5\]"):
        whole.build((7,), 5)
    with pytest.raises(ConfigError, match="end with nothing"):
        LayerList((), output_activation="softmax", whole=True).build((7,), 5)
