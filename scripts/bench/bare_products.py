"""The matrix products of a training step and nothing else: what is left to a loop that uses BLAS.

No activation, loss, gathering or unfolding of images: what a step of `numpy` takes beside this is
what better code can save; what it takes for this, only a better BLAS, or products left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nnbench.backends.numpy.fused.stages import products

WINDOWS = 4096  # rows of an unfolded image at a time, so that they stay in the cache
Call = Callable[[], object]


def products_loop(p: Any) -> tuple[Call, Call]:
    """For each layer `x W`, `x^T d` added to `momentum` times what is there, and `d W^T`.

    Then one addition for the weights as a vector. A layer of `(n, fan_in, units)`; of a
    convolution n is that of all windows in the batch and fan_in what one of them sees.
    """
    from scipy.linalg.blas import saxpy, sgemm

    rng = np.random.default_rng(0)
    batch, calls, evaluating, total = p.task.batch_size, list[Call](), list[Call](), 0
    momentum = float(getattr(p.task.optimizer, "momentum", 0.0))
    for i, (per_sample, fan_in, units) in enumerate(products(p.task.architecture)):
        w, v = (np.zeros((fan_in, units), np.float32) for _ in range(2))
        w[:] = rng.standard_normal(w.shape, np.float32) / np.sqrt(fan_in)
        total += w.size
        n = batch * per_sample
        rows = min(n, WINDOWS) if per_sample > 1 else n
        x = rng.standard_normal((rows, fan_in), np.float32)
        z, dx = np.empty((rows, units), np.float32), np.empty_like(x)
        for _ in range(math.ceil(n / rows)):
            calls.append(partial(np.matmul, x, w, z))
            calls.append(partial(sgemm, 1e-6, z.T, x.T, momentum, v.T, 0, 1, 1))
            if i:
                calls.append(partial(np.matmul, z, w.T, dx))
        for _ in range(math.ceil(len(p.test) * per_sample / rows)):
            evaluating.append(partial(np.matmul, x, w, z))
    weights, step = (np.zeros(total, np.float32) for _ in range(2))
    calls.append(partial(saxpy, step, weights, total, -p.lr))
    steps = p.task.steps(len(p.x))

    def epoch() -> None:
        for _ in range(steps):
            for call in calls:
                call()

    def evaluate() -> None:
        for call in evaluating:
            call()

    return epoch, evaluate
