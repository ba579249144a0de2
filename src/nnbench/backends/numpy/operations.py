"""Single operations as the fused execution does them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.dense import Dense
from nnbench.backends.numpy.fused.images import Conv
from nnbench.backends.numpy.fused.pointwise import relu, sigmoid, softmax
from nnbench.backends.numpy.fused.stage import Sink
from nnbench.backends.numpy.images import MaxPool2d
from nnbench.backends.operations import FILTERS, IMAGES, KERNEL, SMALL_IMAGE, Dtype, Operations
from nnbench.model import layers as spec
from nnbench.model.network import ParamKey


def operations(n: int, dtype: Dtype, threads: int) -> Operations:
    """Return the calls by name, as `nnbench.backends.operations` says."""
    rng, blas = np.random.default_rng(0), Blas(dtype, "both" if threads == 1 else "numpy", threads)
    x, y = (rng.standard_normal((n, n)).astype(dtype) for _ in range(2))
    out = np.zeros_like(x)
    key, bias = ParamKey(0, "kernel"), ParamKey(0, "bias")
    weights = Flat({key: (n, n), bias: (n,)}, np, dtype)
    weights.views[key][...] = y
    dense = Dense(0, weights, out)
    dense.input[...] = x
    gradients = Sink(weights.like(), 1.0, 0.0)
    conv = spec.Conv2d(FILTERS, KERNEL)
    kernels = Flat({key: (KERNEL, KERNEL, IMAGES[3], FILTERS), bias: (FILTERS,)}, np, dtype)
    kernels.vector[...] = rng.standard_normal(kernels.vector.shape)
    stages = []
    for images in (IMAGES, (1, *SMALL_IMAGE)):
        shape = (images[0], *conv.output_shape(images[1:]))
        stages.append(Conv(0, conv, images, kernels, np.zeros(shape, dtype), pooled=False))
        stages[-1].input[...] = rng.standard_normal(images)
    shape = (IMAGES[0], *conv.output_shape(IMAGES[1:]))
    pool = MaxPool2d({}, spec.MaxPool2d())
    return {
        "matmul": partial(np.matmul, x, y, out),
        "relu": _all(relu(x, out)),
        "sigmoid": _all(sigmoid(x, out)),
        "softmax": _all(softmax(x, out)),
        "dense": _all(dense.forward(blas)),
        "backward": _all(dense.backward(blas, y, gradients, wanted=True)[0]),
        "conv2d": _all(stages[0].forward(blas)),
        "conv2d_small": _all(stages[1].forward(blas)),
        "max_pool2d": partial(pool.forward, rng.standard_normal(shape).astype(dtype)),
    }


def _all(calls: list[Call]) -> Callable[[], None]:
    def run() -> None:
        for call in calls:
            call()

    return run
