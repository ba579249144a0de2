"""Layers that normalise: `y = n scale + offset`, n with mean 0 and variance 1 over `axes`."""

from __future__ import annotations

import math

from nnbench.backends.numpy.layers import Array, Arrays, Layer
from nnbench.model.counter import Words


class LayerNorm(Layer):
    """Normalises each sample over its last axis."""

    def axes(self, x: Array) -> tuple[int, ...]:
        """Return the axes over which mean and variance are taken."""
        return (-1,)

    def forward(self, x: Array) -> Array:
        """Return y, of the shape of x."""
        return self._normal(x)[0] * self.parameters["scale"] + self.parameters["offset"]

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the sums of `dy n` and of dy over all but the last axis."""
        others = tuple(range(dy.ndim - 1))
        return {"scale": (dy * self._normal(x)[0]).sum(axis=others), "offset": dy.sum(axis=others)}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return `(g - mean g - n mean(g n)) / deviation` with `g = dy scale`.

        The last two terms are there because every value moves the mean and the variance.
        """
        axes, (n, deviation) = self.axes(x), self._normal(x)
        g = dy * self.parameters["scale"]
        mean, along = g.mean(axis=axes, keepdims=True), (g * n).mean(axis=axes, keepdims=True)
        return (g - mean - n * along) / deviation

    def _moments(self, x: Array) -> tuple[Array, Array]:
        """Return mean and biased variance, their axes of length 1."""
        mean = x.mean(axis=self.axes(x), keepdims=True)
        centred = x - mean
        return mean, (centred * centred).mean(axis=self.axes(x), keepdims=True)

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Return n and the deviation `sqrt(variance + epsilon)`."""
        mean, variance = self._moments(x)
        deviation = (variance + self.spec.epsilon) ** 0.5
        return (x - mean) / deviation, deviation


class BatchNorm(LayerNorm):
    """Normalises each channel over the batch in training, by gathered moments in evaluation."""

    def axes(self, x: Array) -> tuple[int, ...]:
        """Return all axes but the last."""
        return tuple(range(x.ndim - 1))

    def forward(self, x: Array) -> Array:
        """Return y with the mean and variance that training has gathered."""
        p = self.parameters
        deviation = (p["variance"] + self.spec.epsilon) ** 0.5
        return (x - p["mean"]) / deviation * p["scale"] + p["offset"]

    def forward_training(self, x: Array, key: Words | None) -> Array:
        """Return y with the batch's own mean and variance; move the gathered ones towards them."""
        mean, variance = self._moments(x)
        count = math.prod(x.shape[:-1])
        if self.spec.variance == "unbiased":
            variance = variance * (count / max(count - 1, 1))
        for gathered, new in (("mean", mean), ("variance", variance)):
            self.parameters[gathered] *= 1.0 - self.spec.momentum
            self.parameters[gathered] += self.spec.momentum * new.reshape(-1)
        return super().forward(x)
