"""Layers of the spec in Keras: one table entry each, and what native semantics have instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from nnbench.backends.keras.normalisation import MatchedBatchNorm
from nnbench.backends.keras.randomness import CounterDropout
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers
from nnbench.model.formulas import check_own, forms, given


def gelu(x: Any) -> Any:
    """Return `x/2 (1 + erf(x / sqrt 2))`.

    TensorFlow's own takes sqrt 2 through float32: off by 2e-8 in float64.
    """
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Any) -> Any:
    """Return `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, in the dtype of x."""
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


OWN = ("linear", "sigmoid", "tanh", "relu", "silu", "softmax")  # Keras' functions of that name
ACTIVATIONS: dict[str, Any] = {
    **dict(zip(OWN, OWN, strict=True)),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
}
OWN_GELU: dict[str, Any] = {  # in native semantics
    "gelu": keras.activations.gelu,
    "gelu_tanh": partial(keras.activations.gelu, approximate=True),
}


def _dense(layer: layers.Dense, initializer: Any, dtype: str) -> Any:
    return keras.layers.Dense(
        layer.units, use_bias=layer.bias, kernel_initializer=initializer, dtype=dtype
    )


class MatchedLeakyReLU(keras.layers.Layer):
    """The spec's; TensorFlow's own takes the slope through float32."""

    def __init__(self, layer: layers.LeakyReLU, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.layer = layer

    def call(self, x: Any) -> Any:
        """Return x where it is positive, a part of it elsewhere."""
        return ops.where(x > 0.0, x, self.layer.slope * x)


class PaddedConv2D(keras.layers.Conv2D):
    """Keras' convolution of images with `zeros` rows and columns of zeros on every side."""

    def __init__(self, *arguments: Any, zeros: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.zeros = zeros

    def call(self, inputs: Any) -> Any:
        """Pad, then convolve."""
        pad = (self.zeros, self.zeros)
        return super().call(ops.pad(inputs, ((0, 0), pad, pad, (0, 0))))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape for inputs that are padded."""
        batch, rows, columns, channels = input_shape
        more = 2 * self.zeros
        return super().compute_output_shape((batch, rows + more, columns + more, channels))


def _conv2d(layer: layers.Conv2d, initializer: Any, dtype: str) -> Any:
    named = {"use_bias": layer.bias, "kernel_initializer": initializer, "dtype": dtype}
    size = (layer.filters, layer.kernel_size, layer.stride)
    if isinstance(layer.padding, int):
        return PaddedConv2D(*size, "valid", zeros=layer.padding, **named)
    return keras.layers.Conv2D(*size, layer.padding, **named)


def _own_conv2d(layer: layers.Conv2d, initializer: Any, dtype: str) -> Any:
    if isinstance(layer.padding, int):
        raise UnsupportedSpec(
            f"Received padding={layer.padding} with semantics=native; keras.layers.Conv2D has "
            "padding valid and same. Use one of these, or semantics=matched."
        )
    return _conv2d(layer, initializer, dtype)


def _own_activation(layer: layers.Activation, initializer: Any, dtype: str) -> Any:
    function = supported(ACTIVATIONS, layer.name, "activation", "keras")
    return own.Activation(OWN_GELU.get(layer.name, function), dtype=dtype)


def _own_embedding(layer: layers.Embedding, initializer: Any, dtype: str) -> Any:
    uniform = keras.initializers.RandomUniform(seed=initializer.seed)  # its default, seeded
    return keras.layers.Embedding(
        layer.vocabulary, layer.units, embeddings_initializer=uniform, dtype=dtype
    )


def _own_batch_norm(layer: layers.BatchNorm, initializer: Any, dtype: str) -> Any:
    kept = None if layer.momentum is None else 1.0 - layer.momentum  # Keras weighs the old
    constants = _set(momentum=kept, epsilon=layer.epsilon)
    return keras.layers.BatchNormalization(dtype=dtype, **constants)


def _layer_norm(layer: layers.LayerNorm, initializer: Any, dtype: str) -> Any:
    return keras.layers.LayerNormalization(dtype=dtype, **_set(epsilon=layer.epsilon))


def _set(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that have a value; the others are left to Keras."""
    return {name: value for name, value in arguments.items() if value is not None}


class MaxPooling(keras.layers.MaxPooling2D):
    """Keras' own in training; in evaluation a NaN comes through, which TensorFlow's CPU code drops.

    The mean of a window is NaN, or infinite, where the window has such a value.
    """

    def call(self, x: Any, training: bool = False) -> Any:
        """Return the maximum of each window."""
        y = super().call(x)
        if training:
            return y
        mean = ops.average_pool(x, self.pool_size, self.strides, self.padding, self.data_format)
        return ops.where(ops.isnan(mean), mean, y)


Make = Callable[[Any, Any, str], Any]  # from (layer, initializer, dtype)
own = keras.layers
# How to build each layer; image layers are channels-last anyway.
LAYERS: dict[type, Make] = {
    layers.Dense: _dense,
    layers.Activation: lambda layer, _, dtype: own.Activation(
        supported(ACTIVATIONS, layer.name, "activation", "keras"), dtype=dtype
    ),
    layers.LeakyReLU: lambda x, _, dtype: MatchedLeakyReLU(x, dtype),
    layers.Flatten: lambda layer, _, dtype: own.Flatten(dtype=dtype),
    layers.GlobalAvgPool2d: lambda layer, _, dtype: own.GlobalAveragePooling2D(dtype=dtype),
    layers.Conv2d: _conv2d,
    layers.MaxPool2d: lambda x, _, dtype: MaxPooling(x.size, x.step, dtype=dtype),
    layers.AvgPool2d: lambda x, _, dtype: own.AveragePooling2D(x.size, x.step, dtype=dtype),
    layers.BatchNorm: lambda layer, _, dtype: MatchedBatchNorm(layer, dtype),
    layers.LayerNorm: _layer_norm,
    layers.Dropout: lambda layer, _, dtype: CounterDropout(layer, dtype),
    layers.Embedding: lambda x, _, dtype: own.Embedding(x.vocabulary, x.units, dtype=dtype),
}
# What native semantics have instead: Keras' own.
NATIVE: dict[type, Make] = {
    layers.Activation: _own_activation,
    layers.LeakyReLU: lambda x, _, dtype: own.LeakyReLU(
        dtype=dtype, **_set(negative_slope=x.slope)
    ),
    layers.Conv2d: _own_conv2d,
    layers.MaxPool2d: lambda x, _, dtype: own.MaxPooling2D(x.size, x.step, dtype=dtype),
    layers.BatchNorm: _own_batch_norm,
    layers.Dropout: lambda x, init, dtype: own.Dropout(x.rate, seed=init.seed, dtype=dtype),
    layers.Embedding: _own_embedding,
}


OWN_CLASSES = {layers.BatchNorm: "BatchNormalization", layers.LayerNorm: "LayerNormalization"}


def make(layer: layers.Layer, position: int, initializer: Any, dtype: str, native: bool) -> Any:
    """Return the layer at `position`; raises UnsupportedSpec for what Keras does not have."""
    matched = supported(LAYERS, type(layer), "layer", "keras")
    if not native:
        return matched(layer, initializer, dtype)
    kind = OWN_CLASSES.get(type(layer), type(layer).__name__)
    check_own(layer, "keras", f"keras.layers.{kind}", f"arch.layers[{position}]")
    return NATIVE.get(type(layer), matched)(layer, initializer, dtype)


def effective(modules: list[Any]) -> dict[str, Any]:
    """Return the constants that layers compute with, by dotted key."""
    found: dict[str, Any] = {}
    for i, module in enumerate(modules):
        if isinstance(module, MatchedBatchNorm):
            constants = given(module.layer)
        elif isinstance(module, keras.layers.BatchNormalization):
            # The weight of the new, without the rounding of 1 - 0.99.
            constants = {"momentum": round(1.0 - module.momentum, 15), "epsilon": module.epsilon}
            constants |= forms(layers.BatchNorm(), "keras")
        elif isinstance(module, keras.layers.LayerNormalization):
            constants = {"epsilon": module.epsilon}
        elif isinstance(module, MatchedLeakyReLU):
            constants = given(module.layer)
        elif isinstance(module, keras.layers.LeakyReLU):
            constants = {"slope": module.negative_slope}
        else:
            continue
        found |= {f"layers.{i}.{name}": value for name, value in constants.items()}
    return found
