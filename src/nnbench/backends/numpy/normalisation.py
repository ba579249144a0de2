"""Layers that normalise."""

from __future__ import annotations

import math

from nnbench.backends.numpy.layers import Array, Arrays, Layer
from nnbench.model import layers
from nnbench.model.counter import Words


class LayerNorm(Layer):
    """`y = n scale + offset`, n the input with mean 0 and variance 1 over the last axis."""

    def __init__(self, spec: layers.LayerNorm, parameters: Arrays) -> None:
        super().__init__(parameters)
        self.spec = spec

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x."""
        return self._normal(x)[0] * self.parameters["scale"] + self.parameters["offset"]

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the sums of `dy n` and of dy over all but the last axis."""
        axes = tuple(range(dy.ndim - 1))
        return {"scale": (dy * self._normal(x)[0]).sum(axis=axes), "offset": dy.sum(axis=axes)}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `(g - mean g - n mean(g n)) / deviation` with `g = dy scale`."""
        n, deviation = self._normal(x)
        g = dy * self.parameters["scale"]
        mean = g.mean(axis=-1, keepdims=True)
        along = (g * n).mean(axis=-1, keepdims=True)
        return (g - mean - n * along) / deviation

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Return n and the deviation `sqrt(variance + epsilon)`."""
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        deviation = (variance + self.spec.epsilon) ** 0.5
        return centred / deviation, deviation


class BatchNorm(Layer):
    """`y = n scale + offset`; in training n has mean 0 and variance 1 per channel of the batch."""

    def __init__(self, spec: layers.BatchNorm, parameters: Arrays) -> None:
        super().__init__(parameters)
        self.spec = spec

    def forward(self, x: Array) -> Array:
        """Return y with the mean and variance that training has gathered."""
        p = self.parameters
        deviation = (p["variance"] + self.spec.epsilon) ** 0.5
        return (x - p["mean"]) / deviation * p["scale"] + p["offset"]

    def forward_training(self, x: Array, key: Words | None) -> Array:
        """Return y with the batch's own mean and variance; move the gathered ones towards them."""
        mean, variance = self._moments(x)
        count = math.prod(x.shape[:-1])
        unbiased = variance * (count / max(count - 1, 1))
        for gathered, new in (("mean", mean), ("variance", unbiased)):
            self.parameters[gathered] *= 1.0 - self.spec.momentum
            self.parameters[gathered] += self.spec.momentum * new
        n = (x - mean) / (variance + self.spec.epsilon) ** 0.5
        return n * self.parameters["scale"] + self.parameters["offset"]

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the sums of `dy n` and of dy over all but the last axis."""
        axes = tuple(range(dy.ndim - 1))
        return {"scale": (dy * self._normal(x)[0]).sum(axis=axes), "offset": dy.sum(axis=axes)}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `(g - mean g - n mean(g n)) / deviation` with `g = dy scale`, means per channel.

        The last two terms are there because every value moves the batch's mean and variance.
        """
        axes = tuple(range(x.ndim - 1))
        n, deviation = self._normal(x)
        g = dy * self.parameters["scale"]
        return (g - g.mean(axis=axes) - n * (g * n).mean(axis=axes)) / deviation

    def _moments(self, x: Array) -> tuple[Array, Array]:
        """Return mean and biased variance per channel."""
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axis=axes)
        centred = x - mean
        return mean, (centred * centred).mean(axis=axes)

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Return n and the deviation `sqrt(variance + epsilon)`."""
        mean, variance = self._moments(x)
        deviation = (variance + self.spec.epsilon) ** 0.5
        return (x - mean) / deviation, deviation
