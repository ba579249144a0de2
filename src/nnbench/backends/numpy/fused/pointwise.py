"""Activations in place, and the gradient of the loss with respect to the logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.stage import Sink
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.losses import logit_gradient
from nnbench.model.layers import ActivationName
from nnbench.model.losses import Loss

MANY_ROWS = 64
ZEROS = 2**16  # values up to which a maximum with an array of zeros beats `clip`


def relu(x: Array, out: Array) -> list[Call]:
    """Return the call for `out = max(x, 0)`; a NaN stays one."""
    if x.size <= ZEROS:
        return [partial(np.maximum, x, np.zeros_like(x), out=out)]
    return [partial(x.clip, 0.0, None, out)]


def sigmoid(x: Array, out: Array) -> list[Call]:
    """Return the calls for `out = 1 / (1 + exp(-x))`."""
    return [partial(np.negative, x, out), *sigmoid_of_negated(out, out)]


def sigmoid_of_negated(x: Array, out: Array) -> list[Call]:
    """Return the calls for `out = 1 / (1 + exp(x))`."""
    one = out.dtype.type(1.0)
    return [
        partial(np.exp, x, out),
        partial(np.add, out, one, out),
        partial(np.reciprocal, out, out),
    ]


def tanh(x: Array, out: Array) -> list[Call]:
    """Return the call for `out = tanh(x)`."""
    return [partial(np.tanh, x, out)]


def linear(x: Array, out: Array) -> list[Call]:
    """Return the call for `out = x`, none where they are one array."""
    return [] if x is out else [partial(np.copyto, out, x)]


def times_relu_slope(dy: Array, y: Array, out: Array) -> list[Call]:
    """Return the calls for `out = dy (y > 0)`."""
    positive = np.empty_like(y, bool)
    return [
        partial(np.greater, y, y.dtype.type(0.0), positive),
        partial(np.multiply, dy, positive, out),
    ]


def times_sigmoid_slope(dy: Array, y: Array, out: Array) -> list[Call]:
    """Return the calls for `out = dy y (1 - y)`."""
    slope = np.empty_like(y)
    return [
        partial(np.multiply, y, y, slope),
        partial(np.subtract, y, slope, slope),
        partial(np.multiply, dy, slope, out),
    ]


def times_tanh_slope(dy: Array, y: Array, out: Array) -> list[Call]:
    """Return the calls for `out = dy (1 - y^2)`."""
    slope = np.empty_like(y)
    return [
        partial(np.multiply, y, y, slope),
        partial(np.subtract, y.dtype.type(1.0), slope, slope),
        partial(np.multiply, dy, slope, out),
    ]


# Activations whose slope follows from their value, so that they need not keep their input.
IN_PLACE: dict[str, tuple[Any, Any]] = {
    "linear": (linear, lambda dy, y, out: linear(dy, out)),
    "relu": (relu, times_relu_slope),
    "sigmoid": (sigmoid, times_sigmoid_slope),
    "tanh": (tanh, times_tanh_slope),
}


class Pointwise:
    """An activation; its input may be `out` itself where nobody needs it any more."""

    def __init__(self, layer: int, name: ActivationName, given: Array, out: Array) -> None:
        self.layer, self.input, self.out = layer, given, out
        self._forward, self._slope = IN_PLACE[name]

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls for the activation."""
        return list(self._forward(self.input, self.out))

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls that multiply dy by the slope, in place."""
        return list(self._slope(dy, self.out, dy)), dy


def gradient_factor(loss: Loss, outputs: int, batch: int) -> float:
    """Return the factor that `logit_calls` expects in its `scale`, the reductions of the loss."""
    factor = loss.output_scale(outputs) * loss.batch_scale(batch)
    return 2.0 * factor if loss.name == "mse" else factor


def takes_negated(loss: Loss, activation: ActivationName) -> bool:
    """Tell whether `logit_calls` can do with the negated logits."""
    return activation == "sigmoid" and loss.name in ("bce", "mse") and loss.is_plain


def logit_calls(
    loss: Loss,
    activation: ActivationName,
    z: Array,
    t: Array,
    dz: Array,
    scale: Array,
    negated: bool = False,
) -> list[Call]:
    """Return the calls for dz, the gradient of the loss with respect to the logits z.

    z, t and dz are `(batch, outputs)` or, of one sample, `(outputs,)`; `scale`, without axes, is
    what the gradient is multiplied by, `gradient_factor` with or without the learning rate.
    `negated`: z holds the negated logits, which saves a call where `takes_negated`.
    """
    scaled: list[Call] = [partial(np.multiply, dz, scale, dz)]
    if not loss.is_plain:
        return [_unfused(loss, activation, z, t, dz), *scaled]
    if loss.name == "cross_entropy":
        return [*softmax(z, dz), partial(np.subtract, dz, t, dz), *scaled]
    if loss.name == "bce":
        p = sigmoid_of_negated if negated else sigmoid
        return [*p(z, dz), partial(np.subtract, dz, t, dz), *scaled]
    if loss.name == "mse" and activation == "linear":
        return [partial(np.subtract, z, t, dz), *scaled]
    if loss.name == "mse" and activation in IN_PLACE:
        forward, slope = IN_PLACE[activation]
        y = np.empty_like(dz)
        calls = sigmoid_of_negated(z, y) if negated else forward(z, y)
        return [*calls, partial(np.subtract, y, t, dz), *slope(dz, y, dz), *scaled]
    return [_unfused(loss, activation, z, t, dz), *scaled]


def _unfused(loss: Loss, activation: ActivationName, z: Array, t: Array, dz: Array) -> Call:
    """Return the call of the plain formula, its factor taken out again."""
    unscaled = logit_gradient(loss, activation)
    factor = gradient_factor(loss, z.shape[-1], len(z) if z.ndim > 1 else 1)

    def gradient() -> None:
        whole = unscaled(np.atleast_2d(z), np.atleast_2d(t))
        np.divide(whole.reshape(dz.shape), factor, dz)

    return gradient


def softmax(z: Array, out: Array) -> list[Call]:
    """Return the calls for the softmax of each row of z."""
    if z.ndim == 1:
        value = np.zeros((), z.dtype)
        largest: Call = partial(np.maximum.reduce, z, -1, None, value)
        total = partial(np.add.reduce, out, -1, None, value)
    else:
        value = np.zeros((len(z), 1), z.dtype)
        largest = _row_maximum(z, value)
        total = partial(np.matmul, out, np.ones((z.shape[1], 1), z.dtype), value)
    return [
        largest,
        partial(np.subtract, z, value, out),
        partial(np.exp, out, out),
        total,
        partial(np.divide, out, value, out),
    ]


def _row_maximum(z: Array, out: Array) -> Call:
    """Return the call for the maximum of each row; of many rows column by column is faster."""
    if len(z) < MANY_ROWS:
        return partial(np.maximum.reduce, z, -1, None, out, True)
    turned = np.empty(z.shape[::-1], z.dtype)

    def call() -> None:
        np.copyto(turned, z.T)
        np.maximum.reduce(turned, 0, out=out[:, 0])

    return call
