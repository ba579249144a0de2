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

from nnbench.backends.trainers import supported
from nnbench.model.counter import Words

Array = NDArray[Any]
Arrays = dict[str, Array]


class Layer:
    """A layer that changes nothing and has no parameters: what the others override.

    `parameters` maps roles to arrays that are updated in place, `spec` is the layer's description.
    In training a layer may do something else than in evaluation: `forward_training` then differs
    from `forward`; one that draws in evaluation, too, has a `forward_evaluation` of its own.
    """

    def __init__(self, parameters: Arrays, spec: Any = None) -> None:
        self.parameters, self.spec = parameters, spec

    def forward(self, x: Array) -> Array:
        """Return y."""
        return x

    def forward_training(self, x: Array, key: Words | None) -> Array:
        """Return y as training sees it; `key` decides what is random in this step."""
        return self.forward(x)

    def forward_evaluation(self, x: Array, key: Words | None, row: int) -> Array:
        """Return y as evaluation sees it; the first sample of x is number `row` of its split."""
        return self.forward(x)

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the gradient of each parameter, summed over the batch."""
        return {}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return the gradient with respect to x."""
        return dy


def counting(like: Array, n: int) -> Array:
    """Return 0, 1, ..., n-1 as uint32, on the device of `like`."""
    return np.ones_like(like, dtype=np.uint32, shape=(n,)).cumsum(dtype=np.uint32) - np.uint32(1)


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


class Embedding(Layer):
    """`y = W[x]`, so row t of dW is the sum of the dy wherever x is t; tokens have no gradient."""

    def forward(self, x: Array) -> Array:
        """Return y `(*x.shape, units)`."""
        return self.parameters["kernel"][x]

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return for each token the sum of dy over its places."""
        kernel = np.zeros_like(self.parameters["kernel"])
        if isinstance(kernel, np.ndarray):
            np.add.at(kernel, x, dy)
        else:  # additions at an index come in any order on a GPU; a matrix product has its own
            met = x.reshape(1, -1) == counting(kernel, len(kernel))[:, None]
            kernel += met.astype(kernel.dtype) @ dy.reshape(-1, dy.shape[-1])
        return {"kernel": kernel}


class Activation(Layer):
    """A function without parameters, from the table below.

    `ulp_off`: its values are an ulp nearer to zero, as another library has them. What a derivative
    leaves of a value near 1 is an ulp of 1 off then; those of `ULP_WITHIN` have it within.
    """

    ulp_off = False

    def __init__(self, parameters: Arrays, spec: Any) -> None:
        super().__init__(parameters, spec)
        self.function, self.gradient = supported(ACTIVATIONS, spec.name, "activation", "numpy")

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x."""
        y = self.function(x)
        return np.nextafter(y, y.dtype.type(0)) if self.ulp_off else y

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy times dy/dx."""
        dx = self.gradient(x, y, dy)
        if self.ulp_off and self.spec.name in ULP_WITHIN:
            dx = dx + np.finfo(dx.dtype).epsneg * ULP_WITHIN[self.spec.name](x) * dy
        return dx


class LeakyReLU(Layer):
    """`max(x, slope x)`, the slope at most 1."""

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x."""
        return np.maximum(x, self.spec.slope * x)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy where x > 0, `slope dy` elsewhere."""
        return dy * (x > 0.0) + self.spec.slope * dy * (x <= 0.0)


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _normal_cdf(x: Array) -> Array:
    special = importlib.import_module(
        "scipy.special" if isinstance(x, np.ndarray) else "cupyx.scipy.special"
    )
    return 0.5 * (1.0 + special.erf(x * math.sqrt(0.5)))


def _normal_density(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


TANH_SCALE, TANH_CUBIC = math.sqrt(2.0 / math.pi), 0.044715


def _tanh_of_gelu(x: Array) -> Array:
    return np.tanh(TANH_SCALE * (x + TANH_CUBIC * x * x * x))


def _slope_in_gelu(x: Array) -> Array:
    return TANH_SCALE * (1.0 + 3.0 * TANH_CUBIC * x * x)


def _gelu_tanh_gradient(x: Array, y: Array, dy: Array) -> Array:
    t = _tanh_of_gelu(x)
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * _slope_in_gelu(x))


def _sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


# y of x, and the gradient with respect to x of (x, y, dy), as nnbench.model.layers says. exp may
# overflow to inf, which gives sigmoid 0; softmax has the Jacobian `diag(y) - y y^T`.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array, Array], Array]]] = {
    "linear": (lambda x: x, lambda x, y, dy: dy),
    "sigmoid": (lambda x: 1.0 / (1.0 + np.exp(-x)), lambda x, y, dy: dy * y * (1.0 - y)),
    "tanh": (np.tanh, lambda x, y, dy: dy * (1.0 - y * y)),
    "relu": (lambda x: x.clip(min=0.0), lambda x, y, dy: dy * (x > 0.0)),
    "gelu": (
        lambda x: x * _normal_cdf(x),
        lambda x, y, dy: dy * (_normal_cdf(x) + x * _normal_density(x)),
    ),
    "gelu_tanh": (lambda x: 0.5 * x * (1.0 + _tanh_of_gelu(x)), _gelu_tanh_gradient),
    "silu": (
        lambda x: x * _sigmoid(x),
        lambda x, y, dy: dy * (_sigmoid(x) + y * (1.0 - _sigmoid(x))),
    ),
    "softmax": (_softmax, lambda x, y, dy: y * (dy - (dy * y).sum(axis=-1, keepdims=True))),
}
# What an erf or a tanh that is off makes of a derivative, at most: that with respect to its value.
ULP_WITHIN: dict[str, Callable[[Array], Array | float]] = {
    "gelu": lambda x: 0.5,
    "gelu_tanh": lambda x: 0.5 + np.abs(x) * _slope_in_gelu(x),
}
