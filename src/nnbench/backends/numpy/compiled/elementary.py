"""Exponential, sigmoid and tanh without a branch, so that LLVM makes vector instructions of them.

`exp(v) = 2^n exp(r)` with `n = round(v / ln 2)` and so `|r| <= ln 2 / 2`. `ln 2` is taken off in
two parts, which keeps r exact (Cody and Waite 1980); `exp(r)` is its Taylor series up to the term
that no longer counts; `2^n` is written into the exponent of a float, in two halves, so that results
below the normal numbers come out too. Within 1 ulp; a NaN stays one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnbench.backends.numpy.compiled.compiling import by_type, compiled

LOG2_E = 1.4426950408889634
HIGH32, LOW32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
NEAR = 0.08  # below, the next term of the series of tanh is less than half an ulp
HIGH64, LOW64 = 0.6931471803691238, 1.9082149292705877e-10


def _exp32(value: Any) -> Any:
    v = np.float32(89.0) if value > np.float32(89.0) else value
    v = np.float32(-104.0) if v < np.float32(-104.0) else v
    n = np.floor(v * np.float32(LOG2_E) + np.float32(0.5))
    r = v - n * HIGH32 - n * LOW32
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    whole = np.int32(n)
    half = whole >> np.int32(1)
    one = np.int32((half + np.int32(127)) << np.int32(23))
    other = np.int32((whole - half + np.int32(127)) << np.int32(23))
    return p * one.view(np.float32) * other.view(np.float32)


def _exp64(value: Any) -> Any:
    v = 710.0 if value > 710.0 else value
    v = -746.0 if v < -746.0 else v
    n = np.floor(v * LOG2_E + 0.5)
    r = v - n * HIGH64 - n * LOW64
    p = 1 / 6227020800
    p = p * r + 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    whole = np.int64(n)
    half = whole >> 1
    one = np.int64((half + 1023) << 52)
    other = np.int64((whole - half + 1023) << 52)
    return p * one.view(np.float64) * other.view(np.float64)


@by_type(_exp32, _exp64)
def exp(value: Any) -> Any:
    """Return the exponential of a float."""
    return math.exp(value)


@compiled
def sigmoid(v: Any) -> Any:
    """Return `1 / (1 + exp(-v))`; exp may overflow to inf, which gives 0."""
    one = type(v)(1)
    return one / (one + exp(-v))


@compiled
def tanh(v: Any) -> Any:
    """Return `1 - 2 / (exp(2 v) + 1)`; near 0, where that loses digits, the Taylor series."""
    one, two = type(v)(1), type(v)(2)
    x = v * v
    p = type(v)(21844 / 6081075)
    p = p * x - type(v)(1382 / 155925)
    p = p * x + type(v)(62 / 2835)
    p = p * x - type(v)(17 / 315)
    p = p * x + type(v)(2 / 15)
    p = p * x - type(v)(1 / 3)
    near = v + v * x * p
    far = one - two / (exp(two * v) + one)
    return near if abs(v) < type(v)(NEAR) else far
