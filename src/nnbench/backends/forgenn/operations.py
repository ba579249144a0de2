"""Single operations in forgeNN, which has no convolution; its backward pass is a graph's."""

from __future__ import annotations

import numpy as np
from forgeNN.tensor import Tensor

from nnbench.backends.operations import Dtype, Operations
from nnbench.errors import UnsupportedSpec


def operations(n: int, dtype: Dtype, threads: int) -> Operations:
    """Return the calls by name, as `nnbench.backends.operations` says."""
    if dtype != "float32":
        raise UnsupportedSpec("backend=forgenn has no dtype=float64: its tensors are float32.")
    rng = np.random.default_rng(0)
    x, y, weights, bias = (
        Tensor(rng.standard_normal(shape)) for shape in ((n, n), (n, n), (n, n), (n,))
    )
    product = x @ weights
    result = product + bias

    def backward() -> None:
        result.grad = y.data
        result._backward()
        product._backward()

    return {
        "matmul": lambda: x @ y,
        "relu": x.relu,
        "sigmoid": x.sigmoid,
        "dense": lambda: x @ weights + bias,
        "backward": backward,
    }
