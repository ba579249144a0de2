"""Single operations of keras.ops, one call after the other on the engine at hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np

from nnbench.backends.keras import process
from nnbench.backends.operations import FILTERS, IMAGES, KERNEL, SMALL_IMAGE, Dtype, Operations


def operations(n: int, dtype: Dtype, threads: int) -> Operations:
    """Return the calls by name, see `nnbench.backends.operations`; no gradient is among them."""
    process.prepare("cpu", threads, "matched")
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return keras.ops.convert_to_tensor(rng.standard_normal(shape).astype(dtype))

    x, y, images, small = draw(n, n), draw(n, n), draw(*IMAGES), draw(1, *SMALL_IMAGE)
    kernels, offsets, bias = draw(KERNEL, KERNEL, IMAGES[3], FILTERS), draw(FILTERS), draw(n)
    maps = keras.ops.conv(images, kernels)
    return {
        "matmul": partial(keras.ops.matmul, x, y),
        "relu": partial(keras.ops.relu, x),
        "sigmoid": partial(keras.ops.sigmoid, x),
        "softmax": partial(keras.ops.softmax, x),
        "dense": lambda: keras.ops.matmul(x, y) + bias,
        "conv2d": lambda: keras.ops.conv(images, kernels) + offsets,
        "conv2d_small": lambda: keras.ops.conv(small, kernels) + offsets,
        "max_pool2d": partial(keras.ops.max_pool, maps, 2),
    }
