"""Activations and their slopes over a batch, by number: compiled code knows no names."""

from __future__ import annotations

import math
from typing import Any

from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.elementary import exp, sigmoid, tanh
from nnbench.backends.numpy.layers import TANH_CUBIC, TANH_SCALE, Array

LINEAR, RELU, SIGMOID, TANH, SOFTMAX, LEAKY_RELU, SILU, GELU, GELU_TANH = range(9)
NUMBERS = {
    **{"linear": LINEAR, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH, "softmax": SOFTMAX},
    **{"leaky_relu": LEAKY_RELU, "silu": SILU, "gelu": GELU, "gelu_tanh": GELU_TANH},
}
ROOT_HALF, DENSITY = math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi)


@compiled
def activate(kind: int, leak: float, z: Array, y: Array) -> None:
    """Put the activation of z into y, both `(n, k)`; they may be one array.

    `leak`: the slope of leaky_relu below 0.
    """
    n, k = z.shape
    zero = z.dtype.type(0)
    if kind == SOFTMAX:
        softmax(z, y)
        return
    for s in range(n):
        a, b = z[s], y[s]
        if kind == RELU:
            for j in range(k):
                b[j] = zero if a[j] <= zero else a[j]  # a NaN stays one
        elif kind == SIGMOID:
            for j in range(k):
                b[j] = sigmoid(a[j])
        elif kind == TANH:
            for j in range(k):
                b[j] = tanh(a[j])
        elif kind == LEAKY_RELU:
            low = z.dtype.type(leak)
            for j in range(k):
                b[j] = low * a[j] if a[j] <= zero else a[j]
        elif kind == SILU:
            for j in range(k):
                b[j] = a[j] * sigmoid(a[j])
        elif kind == GELU:
            for j in range(k):
                b[j] = a[j] * normal_cdf(a[j])
        elif kind == GELU_TANH:
            for j in range(k):
                b[j] = z.dtype.type(0.5) * a[j] * (z.dtype.type(1) + inner_tanh(a[j]))
        else:
            for j in range(k):
                b[j] = a[j]


@compiled
def times_slope(kind: int, leak: float, z: Array, y: Array, d: Array) -> None:
    """Multiply d by the slope of the activation that made y of z, all `(n, k)`.

    z is looked at for silu and gelu alone.
    """
    n, k = d.shape
    zero, one = d.dtype.type(0), d.dtype.type(1)
    for s in range(n):
        x, a, b = z[s], y[s], d[s]
        if kind == RELU:
            for j in range(k):
                b[j] = b[j] if a[j] > zero else zero * b[j]
        elif kind == SIGMOID:
            for j in range(k):
                b[j] *= a[j] * (one - a[j])
        elif kind == TANH:
            for j in range(k):
                b[j] *= one - a[j] * a[j]
        elif kind == LEAKY_RELU:
            low = d.dtype.type(leak)
            for j in range(k):
                b[j] *= one if x[j] > zero else low
        elif kind == SILU:
            for j in range(k):
                p = sigmoid(x[j])
                b[j] *= p + a[j] * (one - p)
        elif kind == GELU:
            for j in range(k):
                b[j] *= normal_cdf(x[j]) + x[j] * normal_density(x[j])
        elif kind == GELU_TANH:
            for j in range(k):
                b[j] *= gelu_tanh_slope(x[j])
        elif kind == SOFTMAX:
            dot = zero
            for j in range(k):
                dot += b[j] * a[j]
            for j in range(k):
                b[j] = a[j] * (b[j] - dot)


@compiled
def softmax(z: Array, y: Array) -> None:
    """Put the softmax of each row of z into y, both `(n, k)`."""
    n, k = z.shape
    for s in range(n):
        a, b = z[s], y[s]
        largest, total = a[0], z.dtype.type(0)
        for j in range(1, k):
            largest = a[j] if a[j] > largest else largest
        for j in range(k):
            b[j] = exp(a[j] - largest)
        for j in range(k):
            total += b[j]
        for j in range(k):
            b[j] /= total


@compiled
def normal_cdf(x: Any) -> Any:
    """Return the probability that a standard normal value is at most x."""
    half = type(x)(0.5)
    return half * (type(x)(1) + type(x)(math.erf(x * type(x)(ROOT_HALF))))


@compiled
def normal_density(x: Any) -> Any:
    """Return the standard normal density at x."""
    return type(x)(DENSITY) * exp(type(x)(-0.5) * x * x)


@compiled
def inner_tanh(x: Any) -> Any:
    """Return the tanh in the approximate gelu."""
    return tanh(type(x)(TANH_SCALE) * (x + type(x)(TANH_CUBIC) * x * x * x))


@compiled
def gelu_tanh_slope(x: Any) -> Any:
    """Return the slope of the approximate gelu."""
    t, half, one = inner_tanh(x), type(x)(0.5), type(x)(1)
    inner = type(x)(TANH_SCALE) * (one + type(x)(3 * TANH_CUBIC) * x * x)
    return half * (one + t) + half * x * (one - t * t) * inner
