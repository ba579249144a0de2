"""Layers on integer tokens."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.layers import Array, Arrays, Layer


class Embedding(Layer):
    """`y = W[x]`, so row t of dW is the sum of the dy wherever x is t; tokens have no gradient."""

    def forward(self, x: Array) -> Array:
        """Return y `(*x.shape, units)`."""
        return self.parameters["kernel"][x]

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return for each token the sum of dy over its places."""
        kernel = np.zeros_like(self.parameters["kernel"])
        np.add.at(kernel, x, dy)
        return {"kernel": kernel}
