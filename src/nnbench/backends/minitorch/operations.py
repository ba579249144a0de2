"""Single operations in MiniTorch: graphs are made each time, as its tensors make them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbench.backends.minitorch.package import functional, tensor
from nnbench.backends.minitorch.rows import facts
from nnbench.backends.operations import FILTERS, KERNEL, SMALL_IMAGE, Dtype, Operations

__all__ = ["facts", "operations"]


def operations(n: int, dtype: Dtype, threads: int) -> Operations:
    """Return the calls by name, as `nnbench.backends.operations` says.

    Its convolution takes a Python loop over pixels: of the images, the small one alone.
    """
    rng = np.random.default_rng(0)

    def draw(*shape: int, learns: bool = False) -> Any:
        return tensor.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=learns)

    x, y, bias = draw(n, n), draw(n, n), draw(n)
    given, weights, offsets = (draw(*s, learns=True) for s in ((n, n), (n, n), (n,)))
    product = given @ weights
    result = product + offsets
    height, width, channels = SMALL_IMAGE
    image = draw(1, channels, height, width)
    kernels, biases = draw(FILTERS, channels, KERNEL, KERNEL), draw(FILTERS)

    def backward() -> None:
        for each in (result, product, given, weights, offsets):
            each.grad = None
        result.backward(y)

    return {
        "matmul": lambda: x @ y,
        "relu": x.relu,
        "sigmoid": x.sigmoid,
        "softmax": lambda: functional.softmax(x),
        "dense": lambda: x @ y + bias,
        "backward": backward,
        "conv2d_small": lambda: functional.conv2d(image, kernels, biases),
    }
