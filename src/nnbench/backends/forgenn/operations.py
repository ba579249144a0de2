"""Single operations in forgeNN, which has no convolution; its backward pass is a graph's."""

from __future__ import annotations

from importlib import metadata

import numpy as np
from forgeNN.tensor import Tensor
from forgeNN.vectorized import cross_entropy_loss

from nnbench.backends.operations import Dtype, Operations
from nnbench.errors import UnsupportedSpec


def facts() -> dict[str, float]:
    """Return what its document says otherwise, see `nnbench.backends.operations.FACTS`."""
    needed = [each for each in metadata.requires("forgeNN") or () if "extra ==" not in each]
    product = Tensor(np.ones((1, 1))) @ Tensor(np.ones((1, 1)))
    return {
        "requirements": float(len(needed)),
        "separate_criterion": float(callable(cross_entropy_loss)),
        "dynamic_graph": float(bool(getattr(product, "_prev", None) or product._children)),
    }


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
