"""A dense layer: gathering, `x W + b`, and what its gradients need."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.layers import Array


@compiled
def gather(data: Array, rows: Array, scale: float, x: Array) -> None:
    """Put the samples `rows` of data `(n, k)` into x `(len(rows), k)`, times `scale`."""
    factor = x.dtype.type(scale)
    for s in range(len(rows)):
        a, b = data[rows[s]], x[s]
        for j in range(len(b)):
            b[j] = x.dtype.type(a[j]) * factor


@compiled
def copy(x: Array, out: Array) -> None:
    """Put x `(n, k)` into out: Numba compiles seconds of messages for `out[:] = x`."""
    for s in range(len(x)):
        a, b = x[s], out[s]
        for j in range(len(b)):
            b[j] = a[j]


@compiled
def forward(x: Array, w: Array, bias: Array, z: Array) -> None:
    """Put `x w + b` into z `(n, units)`; `bias` has no values where there is none."""
    n, units = z.shape
    if n > 1:
        np.dot(x, w, z)
    else:
        one_row(x[0], w, z[0])
    if bias.size:
        for s in range(n):
            row = z[s]
            for j in range(units):
                row[j] += bias[j]


@compiled
def one_row(x: Array, w: Array, z: Array) -> None:
    """Put `x w` into z: x `(k,)`, four rows of w at a time."""
    k, units = w.shape
    for j in range(units):
        z[j] = z.dtype.type(0)
    whole = k - k % 4
    for i in range(0, whole, 4):
        a0, a1, a2, a3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        for j in range(units):
            z[j] += a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
    for i in range(whole, k):
        a, row = x[i], w[i]
        for j in range(units):
            z[j] += a * row[j]


@compiled
def transpose(x: Array, out: Array) -> None:
    """Put `x^T` into out `(k, n)`, in squares that stay in the cache."""
    n, k = x.shape
    for start in range(0, k, 32):
        for s in range(n):
            for i in range(start, min(start + 32, k)):
                out[i, s] = x[s, i]


@compiled
def sum_rows(d: Array, out: Array) -> None:
    """Put the sum of the rows of d `(n, units)` into out `(units,)`."""
    for j in range(len(out)):
        out[j] = d[0, j]
    for s in range(1, len(d)):
        row = d[s]
        for j in range(len(out)):
            out[j] += row[j]


@compiled
def outer(x: Array, d: Array, out: Array) -> None:
    """Put `x d^T` into out `(len(x), len(d))`."""
    for i in range(len(x)):
        a, row = x[i], out[i]
        for j in range(len(d)):
            row[j] = a * d[j]
