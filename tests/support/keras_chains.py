"""Random programs in plain Keras, each with the description that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from nnbench.model import layers as spec
from nnbench.model import optimizers
from nnbench.model.formulas import documented
from nnbench.model.layers import Layer
from nnbench.model.losses import Loss
from support.chains import Choose, asked, chooser

SHAPES = {"flat": (20,), "plain": (8, 8), "colour": (8, 8, 2), "tokens": (6,)}
OUTPUTS, VOCABULARY = 5, 11
ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "relu": ("relu", ops.relu, layers.ReLU),
    "tanh": ("tanh", ops.tanh),
    "sigmoid": ("sigmoid", ops.sigmoid),
    "gelu": ("gelu",),
    "gelu_tanh": (ops.gelu,),
    "silu": ("swish", ops.silu),
}


@dataclass
class Made:
    """A program and its description, which grow together; a step is a layer or a function."""

    choose: Choose
    kind: str
    layers: list[Layer] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def add(self, layer: Layer, step: Any = None) -> None:
        self.layers.append(layer)
        self.shape = layer.output_shape(self.shape)
        if step is not None:
            self.steps.append(step)


def made(number: int) -> tuple[str, dict[str, Any], Callable[[], Any]]:
    """Return the kind of input, what should be read, and what builds program `number`."""
    return asked(_made, number)


def _made(number: int) -> tuple[Any, dict[str, Any]]:
    keras.utils.set_random_seed(number)
    choose = chooser(number)
    program = Made(choose, choose(*SHAPES))
    start = SHAPES[program.kind]
    program.shape = (*start, 1) if program.kind == "plain" else start
    given = program.shape
    _body(program)
    for _ in range(choose(0, 1, 2)):
        _dense(program)
    loss, expected, bias, last = _loss(choose)
    program.add(spec.Dense(OUTPUTS, bias), layers.Dense(OUTPUTS, activation=last, use_bias=bias))
    rule, optimizer = _optimizer(choose, tokens=program.kind == "tokens")
    model = _model(program, given)
    model.compile(optimizer, loss)
    return model, {
        "layers": tuple(program.layers), "optimizer": rule, **expected, "kind": program.kind,
    }  # fmt: skip


def _model(program: Made, given: tuple[int, ...]) -> Any:
    """Return the steps as a Sequential, where they are layers, or as a functional model."""
    dtype = "int64" if program.kind == "tokens" else "float32"
    start = keras.Input(given, dtype=dtype)
    if all(isinstance(step, keras.Layer) for step in program.steps) and program.choose(True, False):
        return keras.Sequential([start, *program.steps])
    x = start
    for step in program.steps:
        x = step(x)
    return keras.Model(start, x)


def _body(program: Made) -> None:
    choose = program.choose
    if program.kind == "tokens":
        units = choose(2, 3)
        embedding = layers.Embedding(VOCABULARY, units)
        program.add(spec.Embedding(VOCABULARY, units), embedding)
        program.add(spec.Flatten(), layers.Flatten())
    elif program.kind != "flat":
        if choose(True, False, False):
            program.steps.append(layers.Flatten())  # of the inputs: no layer
            program.shape = (int(np.prod(program.shape)),)
            return
        for _ in range(choose(1, 2)):
            _block(program)
        if choose(True, False, False):
            program.add(spec.GlobalAvgPool2d(), layers.GlobalAveragePooling2D())
            return
        flat = int(np.prod(program.shape))
        program.add(spec.Flatten(), choose(layers.Flatten(), layers.Reshape((flat,))))


def _block(program: Made) -> None:
    choose = program.choose
    filters, size = choose(2, 3), choose(1, 2, 3)
    stride, bias = choose(1, 1, 2), choose(True, False)
    padding = choose("valid", "same", 1)
    size = min(size, *program.shape[:2])
    if padding == 1:
        program.steps.append(layers.ZeroPadding2D(1))
    keras_padding = "valid" if padding == 1 else padding
    conv = layers.Conv2D(filters, size, stride, keras_padding, use_bias=bias)
    program.add(spec.Conv2d(filters, size, stride, padding, bias), conv)
    if choose(True, False):
        momentum, epsilon = choose(0.1, 0.01), choose(1e-5, 1e-3)
        norm = layers.BatchNormalization(momentum=1.0 - momentum, epsilon=epsilon)
        program.add(spec.BatchNorm(momentum, epsilon, "biased"), norm)
    _activation(program)
    if min(program.shape[:2]) >= 2 and choose(True, False):
        pool, kind = choose(
            (layers.MaxPooling2D, spec.MaxPool2d), (layers.AveragePooling2D, spec.AvgPool2d)
        )
        step = choose(1, 2)
        program.add(kind(2, step), pool(2, step))
    _dropout(program)


def _dense(program: Made) -> None:
    choose = program.choose
    units, bias = choose(4, 7), choose(True, False)
    program.add(spec.Dense(units, bias), layers.Dense(units, use_bias=bias))
    if choose(True, False):
        epsilon = choose(1e-5, 1e-3)
        program.add(spec.LayerNorm(epsilon), layers.LayerNormalization(epsilon=epsilon))
    _activation(program)
    _dropout(program)


def _activation(program: Made) -> None:
    choose = program.choose
    name = choose(*ACTIVATIONS, "leaky_relu")
    if name == "leaky_relu":
        slope = choose(0.3, 0.01)
        program.add(spec.LeakyReLU(slope), layers.LeakyReLU(negative_slope=slope))
        return
    way = choose(*ACTIVATIONS[name])
    if isinstance(way, type):
        step = way()
    else:
        step = layers.Activation(way) if choose(True, False) or isinstance(way, str) else way
    program.add(spec.Activation(name), step)


def _dropout(program: Made) -> None:
    if program.choose(True, False, False):
        program.add(spec.Dropout(0.25), layers.Dropout(0.25))


def _loss(choose: Choose) -> tuple[Any, dict[str, Any], bool, str | None]:
    """Return the loss, what should be read, whether the last layer has a bias, its activation."""
    summed = choose(False, False, True)
    over = "sum" if summed else "mean"
    reduction = "sum" if summed else "sum_over_batch_size"
    kind = choose("logits", "softmax", "smooth", "mistake", "bce", "mse")
    bias = choose(True, True, False)
    of = keras.losses
    if kind in ("logits", "softmax"):
        loss = of.SparseCategoricalCrossentropy(from_logits=kind == "logits", reduction=reduction)
        expected = {"loss": Loss("cross_entropy", over_batch=over), "output_activation": "softmax"}
        return loss, expected, bias, "softmax" if kind == "softmax" else None
    if kind == "mistake":
        loss = of.SparseCategoricalCrossentropy(reduction=reduction)
        mistaken = Loss("cross_entropy", over_batch=over, mistake="logits_as_probabilities")
        return loss, {"loss": mistaken, "output_activation": "linear"}, bias, None
    if kind == "smooth":
        loss = of.CategoricalCrossentropy(True, 0.1, reduction=reduction)
        smooth = Loss("cross_entropy", over_batch=over, label_smoothing=0.1)
        return loss, {"loss": smooth, "output_activation": "softmax"}, bias, None
    if kind == "bce":
        loss = of.BinaryCrossentropy(from_logits=True, reduction=reduction)
        return (
            loss,
            {"loss": Loss("bce", over_batch=over), "output_activation": "sigmoid"},
            bias,
            None,
        )
    last = choose("sigmoid", "tanh", None)
    loss = of.MeanSquaredError(reduction=reduction)
    expected = {"loss": Loss("mse", over_batch=over), "output_activation": last or "linear"}
    return loss, expected, bias, last


def _optimizer(choose: Choose, tokens: bool) -> tuple[Any, Any]:
    """Return what should be read of an optimizer, and the optimizer."""
    of = keras.optimizers
    clip = None if tokens else choose(None, None, 0.5)  # embeddings have SGD alone, see UNKNOWN
    more = {"global_clipnorm": clip} if clip else {}
    ours = {"clip_norm": clip}
    kind = "SGD" if tokens else choose("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
    if kind == "SGD":
        momentum = choose(0.0, 0.9)
        nesterov = bool(momentum) and choose(True, False)
        rule = optimizers.SGD(momentum=momentum, nesterov=nesterov, **ours)
        return documented(rule, "keras"), of.SGD(0.05, momentum, nesterov, **more)
    if kind == "Adam":
        decay, amsgrad = choose(0.0, 0.01), choose(True, False)
        rule = optimizers.Adam(weight_decay=decay, amsgrad=amsgrad, **ours)
        return documented(rule, "keras"), of.Adam(
            0.01, amsgrad=amsgrad, weight_decay=decay or None, **more
        )
    if kind == "AdamW":
        rule = optimizers.AdamW(**ours)
        return documented(rule, "keras"), of.AdamW(0.01, **more)
    if kind == "RMSprop":
        momentum = choose(0.0, 0.5)
        rule = optimizers.RMSprop(momentum=momentum, **ours)
        return documented(rule, "keras"), of.RMSprop(0.001, momentum=momentum, **more)
    return documented(optimizers.Adagrad(**ours), "keras"), of.Adagrad(0.05, **more)
