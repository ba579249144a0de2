"""Single operations in PyTorch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from nnbench.backends.operations import FILTERS, IMAGES, KERNEL, SMALL_IMAGE, Dtype, Operations


def operations(n: int, dtype: Dtype, threads: int) -> Operations:
    """Return the calls by name, as `nnbench.backends.operations` says."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    x, y = torch.randn(n, n, dtype=kind), torch.randn(n, n, dtype=kind)
    weights = torch.randn(n, n, dtype=kind, requires_grad=True)
    bias = torch.zeros(n, dtype=kind, requires_grad=True)
    given = torch.randn(n, n, dtype=kind, requires_grad=True)
    result = functional.linear(given, weights, bias)
    batch, height, width, channels = IMAGES
    images = torch.randn(batch, channels, height, width, dtype=kind)
    small = torch.randn(1, SMALL_IMAGE[2], *SMALL_IMAGE[:2], dtype=kind)
    kernels = torch.randn(FILTERS, channels, KERNEL, KERNEL, dtype=kind)
    offsets = torch.zeros(FILTERS, dtype=kind)
    maps = functional.conv2d(images, kernels, offsets)
    wanted = (given, weights, bias)
    w, b = weights.detach(), bias.detach()
    return {
        "matmul": partial(torch.mm, x, y),
        "relu": partial(torch.relu, x),
        "sigmoid": partial(torch.sigmoid, x),
        "softmax": partial(torch.softmax, x, -1),
        "dense": partial(functional.linear, x, w, b),
        "backward": partial(torch.autograd.grad, result, wanted, y, retain_graph=True),
        "conv2d": partial(functional.conv2d, images, kernels, offsets),
        "conv2d_small": partial(functional.conv2d, small, kernels, offsets),
        "max_pool2d": partial(functional.max_pool2d, maps, 2),
    }
