"""Layers that normalise."""

from __future__ import annotations

from nnbench import layers
from nnbench.backends.numpy.layers import Array, Arrays


class LayerNorm:
    """`y = n scale + offset`, n the input with mean 0 and variance 1 over the last axis."""

    def __init__(self, spec: layers.LayerNorm, parameters: Arrays) -> None:
        self.spec, self.parameters = spec, parameters

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
