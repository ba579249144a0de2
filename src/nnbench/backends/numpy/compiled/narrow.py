"""The first layer where it has few units: loops run along the inputs, not along the units.

A row of so few values is no length for vector instructions, and a product so narrow is not one that
BLAS is good at. Four samples at a time: one pass over the weights for four products.
"""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.dense import gather, transpose
from nnbench.backends.numpy.layers import Array

UNITS, SAMPLES = 16, 16  # at most, at least


@compiled
def pays(units: int, n: int) -> bool:
    """Tell whether n samples are better taken so by a layer of so many units."""
    return units <= UNITS and n >= SAMPLES


@compiled
def forward(data: Array, rows: Array, scale: float, w: Array, bias: Array, z: Array) -> None:
    """Put `x w + b` into z `(n, units)`, x the samples `rows` of data times `scale`."""
    n, units = z.shape
    turned, x = np.empty((units, len(w)), w.dtype), np.zeros((4, len(w)), w.dtype)
    transpose(w, turned)
    for s in range(0, n, 4):
        some = min(4, n - s)
        gather(data, rows[s : s + some], scale, x[:some])
        x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
        for j in range(units):
            row, b = turned[j], bias[j] if bias.size else bias.dtype.type(0)
            z0, z1, z2, z3 = b, b, b, b
            for i in range(len(w)):
                z0 += x0[i] * row[i]
                z1 += x1[i] * row[i]
                z2 += x2[i] * row[i]
                z3 += x3[i] * row[i]
            for t, value in enumerate((z0, z1, z2, z3)):
                if t < some:
                    z[s + t, j] = value


@compiled
def gradient(data: Array, rows: Array, scale: float, d: Array, turned: Array) -> None:
    """Put `(x^T d)^T` into turned `(units, fan_in)`; d `(n, units)`."""
    n, units = d.shape
    x = np.zeros((4, turned.shape[1]), turned.dtype)
    turned[:] = turned.dtype.type(0)
    for s in range(0, n, 4):
        some = min(4, n - s)
        gather(data, rows[s : s + some], scale, x[:some])
        x[some:] = turned.dtype.type(0)
        x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
        for j in range(units):
            out, a0 = turned[j], d[s, j]
            a1, a2, a3 = d[min(s + 1, n - 1), j], d[min(s + 2, n - 1), j], d[min(s + 3, n - 1), j]
            for i in range(len(out)):
                out[i] += a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + a3 * x3[i]
