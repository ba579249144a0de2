"""Constants in full while Keras computes in float64.

TensorFlow takes a Python number through float32 on its way to float64, also where Keras casts the
constants of its optimizers, and two of its activations do so with theirs. That is rounding of
float32, and no part of a program; in float32 nothing is put aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import keras
from keras import ops

from nnbench.backends.keras.layers import gelu, gelu_tanh

_cast: Callable[..., Any] = ops.cast


def _exact_cast(x: Any, dtype: Any) -> Any:
    if isinstance(x, float) and dtype == "float64":
        return ops.convert_to_tensor(x, dtype=dtype)
    return _cast(x, dtype)


def _leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    return ops.where(x > 0.0, x, negative_slope * x)


def _gelu(x: Any, approximate: bool = True) -> Any:
    return gelu_tanh(x) if approximate else gelu(x)


@contextmanager
def exact_numbers(dtype: str) -> Iterator[None]:
    """Let constants keep all of their digits within the block, where `dtype` has them."""
    backend = keras.src.backend
    with ExitStack() as patched:
        if dtype == "float64" and keras.backend.backend() == "tensorflow":
            patched.enter_context(patch.object(keras.src.ops, "cast", _exact_cast))
            patched.enter_context(patch.object(backend.nn, "leaky_relu", _leaky_relu))
            patched.enter_context(patch.object(backend.nn, "gelu", _gelu))
        yield
