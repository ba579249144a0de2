"""Layers on integer tokens."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.layers import Array, Arrays, Layer
from nnbench.backends.numpy.randomness import counting


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
