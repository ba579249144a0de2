"""Backpropagation, layer by layer, in plain NumPy.

A layer maps x `(batch, ...)` to y and turns the gradient of the loss with respect to y, `dy`,
into gradients with respect to its parameters and to x. The two are apart because the first layer
never needs the second. Layers keep no activations: the caller passes x and y back in.

Only operators, methods and ufuncs are used, so that the same code runs on CuPy arrays.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.model.counter import Words

Array = NDArray[Any]
Arrays = dict[str, Array]


class Layer:
    """A layer that changes nothing and has no parameters: what the others override.

    `parameters` maps roles to arrays that are updated in place. In training a layer may do
    something else than in evaluation: `forward_training` then differs from `forward`.
    """

    def __init__(self, parameters: Arrays) -> None:
        self.parameters = parameters

    def forward(self, x: Array) -> Array:
        """Return y."""
        return x

    def forward_training(self, x: Array, key: Words | None) -> Array:
        """Return y as training sees it; `key` decides what is random in this step."""
        return self.forward(x)

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the gradient of each parameter, summed over the batch."""
        return {}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return the gradient with respect to x."""
        return dy


class Dense(Layer):
    """`y = x W + b`, so `dW = x^T dy`, `db = sum over the batch of dy`, `dx = dy W^T`."""

    def forward(self, x: Array) -> Array:
        """Return `x W + b`, `(batch, units)`."""
        y = x @ self.parameters["kernel"]
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return `x^T dy` and, with bias, the sum of dy over the batch."""
        # A matrix product of inner size 1 takes NumPy's slow path; the outer product is the same.
        grads = {"kernel": x.T @ dy if len(x) > 1 else x.T * dy}
        return grads | {"bias": dy.sum(axis=0)} if "bias" in self.parameters else grads

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy W^T`, `(batch, fan_in)`."""
        return dy @ self.parameters["kernel"].T


class Sigmoid(Layer):
    """`y = 1 / (1 + exp(-x))`, `dy/dx = y (1 - y)`; exp may overflow to inf, giving y = 0."""

    def forward(self, x: Array) -> Array:
        """Return the logistic function of x."""
        return 1.0 / (1.0 + np.exp(-x))

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy y (1 - y)`."""
        return dy * y * (1.0 - y)


class Tanh(Layer):
    """`y = tanh(x)`, `dy/dx = 1 - y^2`."""

    def forward(self, x: Array) -> Array:
        """Return the hyperbolic tangent of x."""
        return np.tanh(x)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy (1 - y^2)`."""
        return dy * (1.0 - y * y)


class Relu(Layer):
    """`y = max(x, 0)`; the derivative at 0 is 0."""

    def forward(self, x: Array) -> Array:
        """Return x where it is positive, else 0; a NaN stays one."""
        return x.clip(min=0.0)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy where x was positive, else 0."""
        return dy * (x > 0.0)


class Softmax(Layer):
    """`y = exp(x - max x) / sum exp(x - max x)` over the last axis."""

    def forward(self, x: Array) -> Array:
        """Return probabilities `(batch, k)`."""
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `y (dy - sum of dy y)`, the product with the Jacobian `diag(y) - y y^T`."""
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


class Gelu(Layer):
    """`y = x P(x)` with the normal distribution `P(x) = (1 + erf(x / sqrt 2)) / 2`."""

    def forward(self, x: Array) -> Array:
        """Return `x P(x)`."""
        return x * _normal_cdf(x)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `dy (P(x) + x p(x))`, p the normal density."""
        density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        return dy * (_normal_cdf(x) + x * density)


def _normal_cdf(x: Array) -> Array:
    special = importlib.import_module(
        "scipy.special" if isinstance(x, np.ndarray) else "cupyx.scipy.special"
    )
    return 0.5 * (1.0 + special.erf(x * math.sqrt(0.5)))


ACTIVATIONS: dict[str, Callable[[Arrays], Layer]] = {
    "linear": Layer,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": Relu,
    "gelu": Gelu,
    "softmax": Softmax,
}
