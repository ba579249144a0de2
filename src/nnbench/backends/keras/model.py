"""From the spec to Keras: layers, losses and nnbench's update rules, written in keras.ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
from keras import ops

from nnbench.backends.keras.normalisation import MatchedBatchNorm
from nnbench.backends.keras.randomness import CounterDropout, Random, RandomAugment
from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers
from nnbench.model.counter import AUGMENT_STREAM
from nnbench.model.formulas import check_own, forms, given
from nnbench.model.losses import Loss
from nnbench.model.network import ParamKey

# Keras' names of roles where they are not ours; of those of an embedding, `EMBEDDING`.
ATTRIBUTES = {
    "scale": "gamma",
    "offset": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}
EMBEDDING = {"kernel": "embeddings"}


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
    layers.MaxPool2d: lambda x, _, dtype: own.MaxPooling2D(x.size, x.step, dtype=dtype),
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
    layers.BatchNorm: _own_batch_norm,
    layers.Dropout: lambda x, init, dtype: own.Dropout(x.rate, seed=init.seed, dtype=dtype),
    layers.Embedding: _own_embedding,
}


OWN_CLASSES = {layers.BatchNorm: "BatchNormalization", layers.LayerNorm: "LayerNormalization"}


class Net(NamedTuple):
    """A model that yields logits, and what nnbench needs of it.

    `layers` by position, without `augment` before them; `variables` of the weights by key;
    `drawing`: the layers that need a key for every step, by stream.
    """

    model: keras.Sequential
    layers: list[Any]
    variables: dict[ParamKey, keras.Variable]
    drawing: dict[int, Random]

    @property
    def augment(self) -> Random | None:
        """Return what augments the inputs in training."""
        return self.drawing.get(AUGMENT_STREAM)


def build(task: Task) -> Net:
    """Return the net of `task` with Keras' own initial weights, seeded.

    Raises UnsupportedSpec for an unknown layer.
    """
    architecture, dtype = task.architecture, task.dtype
    native = NATIVE if task.semantics == "native" else {}
    modules = []
    for position, layer, _, _ in architecture.shapes():
        if native:
            kind = OWN_CLASSES.get(type(layer), type(layer).__name__)
            check_own(layer, "keras", f"keras.layers.{kind}", f"arch.layers[{position}]")
        make = supported(LAYERS, type(layer), "layer", "keras")
        initializer = keras.initializers.GlorotUniform(seed=(task.seed << 8) + position)
        modules.append(native.get(type(layer), make)(layer, initializer, dtype))
    drawing = {i: module for i, module in enumerate(modules) if isinstance(module, Random)}
    first = [keras.Input(architecture.input_shape, dtype=input_dtype(task))]
    if architecture.augment:
        drawing[AUGMENT_STREAM] = RandomAugment(architecture.augment, dtype)
        first.append(drawing[AUGMENT_STREAM])
    model = keras.Sequential(first + modules)
    # Keras' layout is the canonical one.
    variables = {
        key: getattr(modules[key.layer], attribute(modules[key.layer], key.role))
        for key in architecture.weight_shapes()
    }
    return Net(model, modules, variables, drawing)


def effective(net: Net) -> dict[str, Any]:
    """Return the constants that the layers of `net` compute with, by dotted key."""
    found: dict[str, Any] = {}
    for i, module in enumerate(net.layers):
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


def input_dtype(task: Task) -> str:
    """Return the dtype of inputs: the task's, integers for tokens."""
    return "int64" if task.architecture.takes_tokens else task.dtype


def attribute(module: Any, role: str) -> str:
    """Return Keras' name of a role in `module`."""
    names = EMBEDDING if isinstance(module, keras.layers.Embedding) else ATTRIBUTES
    return names.get(role, role)


def sample_losses(loss: Loss, activation: str) -> Callable[[Any, Any], Any]:
    """Return the function (targets, logits) -> losses `(batch,)`, reduced over the outputs."""
    activate = keras.activations.get(activation)

    if loss.name == "cross_entropy":
        return lambda t, z: keras.losses.sparse_categorical_crossentropy(t, z, from_logits=True)
    formulas: dict[str, Callable[[Any, Any], Any]] = {
        # Not spelled out with maximum and abs: their derivatives at 0 would add up to 1 - t
        # there, where p - t = 1/2 - t is right, and a net of zeros has all its logits at 0.
        "bce": lambda t, z: ops.binary_crossentropy(t, z, from_logits=True),
        "mse": lambda t, z: ops.square(activate(z) - t),
        "l1": lambda t, z: ops.abs(activate(z) - t),
    }
    per_output = supported(formulas, loss.name, "loss", "keras")
    reduce = ops.sum if loss.over_outputs == "sum" else ops.mean
    return lambda t, z: reduce(per_output(t, z), axis=-1)


class FitLoss(keras.losses.Loss):
    """A loss for `model.compile`: per sample as above, then Keras' own reduction."""

    def __init__(self, task: Task) -> None:
        summed = task.loss.over_batch == "sum"
        super().__init__(
            name="loss", reduction="sum" if summed else "sum_over_batch_size", dtype=task.dtype
        )
        self._losses = sample_losses(task.loss, task.architecture.output_activation)
        self._sparse = task.loss.name == "cross_entropy"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the losses `(batch,)`."""
        return self._losses(ops.cast(y_true, "int32") if self._sparse else y_true, y_pred)
