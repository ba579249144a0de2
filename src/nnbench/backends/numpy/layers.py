"""Backpropagation, layer by layer, in plain NumPy.

A layer maps x `(batch, ...)` to y and turns the gradient of the loss with respect to y, `dy`,
into gradients with respect to its parameters and to x. The two are apart because the first layer
never needs the second. Layers keep no activations: the caller passes x and y back in.

Only operators, methods and ufuncs are used, so that the same code runs on CuPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnbench import spec
from nnbench.errors import UnsupportedSpec

Array = NDArray[Any]
Arrays = dict[str, Array]


class Layer(Protocol):
    """What every layer offers; `parameters` maps roles to arrays that are updated in place."""

    parameters: Arrays

    def forward(self, x: Array) -> Array:
        """Return y."""

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the gradient of each parameter, summed over the batch."""

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return the gradient with respect to x."""


class Dense:
    """`y = x W + b`, so `dW = x^T dy`, `db = sum over the batch of dy`, `dx = dy W^T`."""

    def __init__(self, parameters: Arrays) -> None:
        self.parameters = parameters

    def forward(self, x: Array) -> Array:
        """Return `x W + b`, `(batch, units)`."""
        y = x @ self.parameters["kernel"]
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return `x^T dy` and, with bias, the sum of dy over the batch."""
        grads = {"kernel": x.T @ dy}
        return grads | {"bias": dy.sum(axis=0)} if "bias" in self.parameters else grads

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy W^T`, `(batch, fan_in)`."""
        return dy @ self.parameters["kernel"].T


class Activation:
    """A function without parameters; a subclass gives `forward` and `input_grad`."""

    def __init__(self, parameters: Arrays) -> None:
        self.parameters = parameters

    def forward(self, x: Array) -> Array:
        """Return x: linear."""
        return x

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return nothing: there is nothing to learn."""
        return {}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy: linear."""
        return dy


class Sigmoid(Activation):
    """`y = 1 / (1 + exp(-x))`, `dy/dx = y (1 - y)`; exp may overflow to inf, giving y = 0."""

    def forward(self, x: Array) -> Array:
        """Return the logistic function of x."""
        return 1.0 / (1.0 + np.exp(-x))

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy y (1 - y)`."""
        return dy * y * (1.0 - y)


class Tanh(Activation):
    """`y = tanh(x)`, `dy/dx = 1 - y^2`."""

    def forward(self, x: Array) -> Array:
        """Return the hyperbolic tangent of x."""
        return np.tanh(x)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy (1 - y^2)`."""
        return dy * (1.0 - y * y)


class Relu(Activation):
    """`y = max(x, 0)`; the derivative at 0 is 0."""

    def forward(self, x: Array) -> Array:
        """Return x where it is positive, else 0; a NaN stays one."""
        return x.clip(min=0.0)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy where x was positive, else 0."""
        return dy * (x > 0.0)


class Softmax(Activation):
    """`y = exp(x - max x) / sum exp(x - max x)` over the last axis."""

    def forward(self, x: Array) -> Array:
        """Return probabilities `(batch, k)`."""
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `y (dy - sum of dy y)`, the product with the Jacobian `diag(y) - y y^T`."""
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


ACTIVATIONS: dict[str, Callable[[Arrays], Layer]] = {
    "linear": Activation,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": Relu,
    "softmax": Softmax,
}


def build_layer(layer: spec.Layer, parameters: Arrays) -> Layer:
    """Return the NumPy layer for `layer`; raises UnsupportedSpec for an unknown one."""
    if isinstance(layer, spec.Dense):
        return Dense(parameters)
    if isinstance(layer, spec.Activation) and layer.function in ACTIVATIONS:
        return ACTIVATIONS[layer.function](parameters)
    raise UnsupportedSpec(f"backend=numpy has no layer {layer}.")
