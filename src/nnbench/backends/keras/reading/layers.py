"""Keras' layers and operations in nnbench's words, one entry each; what else there is, is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from nnbench.backends.keras.reading.chain import Link, NotKnownError, own_class
from nnbench.model import layers as spec
from nnbench.model.layers import Layer, flat_length

# What Keras' layers can have that nnbench's have not, and the value that leaves it out.
PLAIN: dict[str, Any] = {
    "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None,
    "embeddings_constraint": None, "gamma_constraint": None, "beta_constraint": None,
    "groups": 1, "data_format": "channels_last", "noise_shape": None, "center": True,
    "scale": True, "synchronized": False, "mask_zero": False, "keepdims": False,
    "rms_scaling": False, "lora_enabled": False,
}  # fmt: skip
FUNCTIONS = ("linear", "relu", "sigmoid", "tanh", "silu", "softmax")  # alike wherever they are
LIBRARIES = ("keras", "tensorflow", "torch", "jax")
ALIASES = {"swish": "silu", "relu_v2": "relu", "softmax_v2": "softmax"}


def read_link(link: Link) -> list[Layer]:
    """Return the layers that an operation stands for, none for what changes nothing.

    Raises NotKnownError.
    """
    operation = link.operation
    kind = own_class(operation) if isinstance(operation, keras.Layer) else type(operation)
    name = kind.__name__ if kind is not None else ""
    readers = LAYERS if isinstance(operation, keras.Layer) else OPERATIONS
    if kind is None or name not in readers:
        raise NotKnownError(f"{type(operation).__name__}, which nnbench does not have", link.where)
    for attribute, plain in PLAIN.items():
        value = getattr(operation, attribute, plain)
        # A GlobalAveragePooling2D of (1, 1) and a Flatten of vectors have their own words.
        if value != plain and not (attribute == "scale" and name == "Rescaling"):
            raise NotKnownError(f"{name} with {attribute}={_short(value)}", link.where)
    return readers[name](link)


def _short(value: Any) -> str:
    return type(value).__name__ if hasattr(value, "get_config") else str(value)


def function(activation: Any, link: Link) -> list[Layer]:
    """Return the layer of an activation function, none for `linear`. Raises NotKnownError."""
    name = getattr(activation, "__name__", "")
    library = (getattr(activation, "__module__", None) or "").split(".")[0]
    name = ALIASES.get(name, name)
    if activation is keras.activations.gelu:
        return [spec.Activation("gelu")]
    if activation is keras.ops.gelu:
        return [spec.Activation("gelu_tanh")]  # approximate unless told otherwise
    if activation is keras.activations.leaky_relu or activation is keras.ops.leaky_relu:
        return [spec.LeakyReLU(0.2)]
    if name not in FUNCTIONS or library not in LIBRARIES:
        raise NotKnownError(f"activation={name or type(activation).__name__}", link.where)
    return [] if name == "linear" else [spec.Activation(name)]  # type: ignore[arg-type]


def _one(values: Any, what: str, link: Link) -> int:
    """Return the one length that both axes of an image have. Raises NotKnownError."""
    found = set(values) if isinstance(values, Sequence) else {values}
    if len(found) > 1:
        raise NotKnownError(
            f"{type(link.operation).__name__} with {what}={tuple(values)}", link.where
        )
    return int(found.pop())


def _dense(link: Link) -> list[Layer]:
    layer = link.operation
    if len(link.before) != 1:
        raise NotKnownError(f"Dense over the last of {len(link.before)} axes", link.where)
    dense = spec.Dense(layer.units, bool(layer.use_bias))
    return [dense, *function(layer.activation, link)]


def _conv2d(link: Link) -> list[Layer]:
    layer = link.operation
    if _one(layer.dilation_rate, "dilation_rate", link) != 1:
        raise NotKnownError(f"Conv2D with dilation_rate={layer.dilation_rate}", link.where)
    size, stride = (
        _one(layer.kernel_size, "kernel_size", link),
        _one(layer.strides, "strides", link),
    )
    conv = spec.Conv2d(layer.filters, size, stride, layer.padding, bool(layer.use_bias))
    return [conv, *function(layer.activation, link)]


def _pool(kind: Callable[[int, int], Layer]) -> Callable[[Link], list[Layer]]:
    def read(link: Link) -> list[Layer]:
        layer = link.operation
        size, step = _one(layer.pool_size, "pool_size", link), _one(layer.strides, "strides", link)
        added = (max((-(-n // step) - 1) * step + size - n, 0) for n in link.before[:2])
        if layer.padding == "same" and any(added):
            raise NotKnownError(f"{type(layer).__name__} with padding=same", link.where)
        return [kind(size, step)]

    return read


def _flatten(link: Link) -> list[Layer]:
    return [spec.Flatten()]


def _reshape(link: Link) -> list[Layer]:
    if link.before == link.after:
        return []
    if link.after == (flat_length(link.before),):
        return [spec.Flatten()]
    raise NotKnownError(f"a reshape of {link.before} to {link.after}", link.where)


def _batch_norm(link: Link) -> list[Layer]:
    layer = link.operation
    _check_last_axis(layer.axis, link)
    if not layer.trainable or not link.training:
        raise NotKnownError("BatchNormalization that trains with its running averages", link.where)
    if link.always:
        raise NotKnownError("BatchNormalization by the batch in evaluation, too", link.where)
    momentum = round(1.0 - layer.momentum, 15)  # Keras weighs the old
    return [spec.BatchNorm(momentum, float(layer.epsilon), "biased")]


def _layer_norm(link: Link) -> list[Layer]:
    _check_last_axis(link.operation.axis, link)
    return [spec.LayerNorm(float(link.operation.epsilon))]


def _check_last_axis(axis: Any, link: Link) -> None:
    axes = list(axis) if isinstance(axis, Sequence) else [axis]
    if axes not in ([-1], [len(link.before)]):
        raise NotKnownError(f"{type(link.operation).__name__} with axis={axis}", link.where)


def _dropout(link: Link) -> list[Layer]:
    if not link.training:
        return []
    rate = float(link.operation.rate)
    return [spec.Dropout(rate, in_evaluation=link.always)] if rate else []


def _relu(link: Link) -> list[Layer]:
    layer = link.operation
    if layer.max_value is not None or layer.threshold:
        raise NotKnownError("ReLU with max_value or threshold", link.where)
    slope = float(layer.negative_slope or 0.0)
    return [spec.LeakyReLU(slope)] if slope else [spec.Activation("relu")]


def _softmax(link: Link) -> list[Layer]:
    if link.operation.axis not in (-1, len(link.before)):
        raise NotKnownError(f"Softmax with axis={link.operation.axis}", link.where)
    return [spec.Activation("softmax")]


def _embedding(link: Link) -> list[Layer]:
    return [spec.Embedding(link.operation.input_dim, link.operation.output_dim)]


def _padding(link: Link) -> list[Layer]:
    """Return a marker that the next convolution takes up (`joined`)."""
    pads = {n for pair in link.operation.padding for n in pair}
    if len(pads) != 1:
        raise NotKnownError(f"ZeroPadding2D with padding={link.operation.padding}", link.where)
    return [spec.Conv2d(1, 1, 1, pads.pop())]


def _rescaling(link: Link) -> list[Layer]:
    layer = link.operation
    if layer.scale == 1 and layer.offset == 0:
        return []
    raise NotKnownError(f"Rescaling with scale={layer.scale} and offset={layer.offset}", link.where)


def _global_max(link: Link) -> list[Layer]:
    size = _one(link.before[:2], "an input of rows and columns", link)
    return [spec.MaxPool2d(size, size), spec.Flatten()]


def _same(link: Link) -> list[Layer]:
    return []


Read = Callable[[Link], list[Layer]]
LAYERS: dict[str, Read] = {
    "Dense": _dense,
    "Conv2D": _conv2d,
    "ZeroPadding2D": _padding,
    "MaxPooling2D": _pool(spec.MaxPool2d),
    "AveragePooling2D": _pool(spec.AvgPool2d),
    "GlobalAveragePooling2D": lambda link: [spec.GlobalAvgPool2d()],
    "GlobalMaxPooling2D": _global_max,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Dropout": _dropout,
    "Embedding": _embedding,
    "Activation": lambda link: function(link.operation.activation, link),
    "ReLU": _relu,
    "LeakyReLU": lambda link: [spec.LeakyReLU(float(link.operation.negative_slope))],
    "Softmax": _softmax,
    "Identity": _same,
    "Rescaling": _rescaling,
}
OPERATIONS: dict[str, Read] = {
    "Relu": lambda link: [spec.Activation("relu")],
    "Sigmoid": lambda link: [spec.Activation("sigmoid")],
    "Tanh": lambda link: [spec.Activation("tanh")],
    "Silu": lambda link: [spec.Activation("silu")],
    "Softmax": _softmax,
    "Gelu": lambda link: [spec.Activation("gelu_tanh" if link.operation.approximate else "gelu")],
    "LeakyRelu": lambda link: [spec.LeakyReLU(float(link.operation.negative_slope))],
    "Reshape": _reshape,
    "Identity": _same,
}


def joined(found: list[tuple[Layer, Link]]) -> list[tuple[Layer, Link]]:
    """Return the layers with zeros around images taken up by the convolution that follows.

    Raises NotKnownError where none does.
    """
    kept: list[tuple[Layer, Link]] = []
    zeros: tuple[int, Link] | None = None
    for layer, link in found:
        padding = type(link.operation).__name__ == "ZeroPadding2D"
        if zeros is not None:
            number, where = zeros
            if not isinstance(layer, spec.Conv2d) or padding or layer.padding != "valid":
                raise NotKnownError(
                    "ZeroPadding2D without a plain convolution after it", where.where
                )
            kept.append((spec.Conv2d(layer.filters, layer.kernel_size, layer.stride, number,
                                     layer.bias), link))  # fmt: skip
            zeros = None
        elif padding:
            assert isinstance(layer, spec.Conv2d)
            assert isinstance(layer.padding, int)
            zeros = (layer.padding, link)
        else:
            kept.append((layer, link))
    if zeros is not None:
        raise NotKnownError("ZeroPadding2D without a plain convolution after it", zeros[1].where)
    return kept
