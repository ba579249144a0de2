"""Splits as the arrays that every backend trains on: converted once, by NumPy, alike for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.dataset import Split
from nnbench.metrics import target_matrix
from nnbench.trainer import Task


def input_array(task: Task, split: Split) -> NDArray[np.floating]:
    """Return the inputs `(n, *architecture.input_shape)` in the task's dtype.

    uint8 is multiplied by `task.inputs.scale` after the conversion, as `ArraySpec` says.
    """
    dtype = np.dtype(task.dtype)
    inputs = split.inputs.astype(dtype)
    if split.inputs.dtype == np.uint8:
        inputs *= dtype.type(task.inputs.scale)
    return inputs.reshape(len(split), *task.architecture.input_shape)


def target_array(task: Task, split: Split) -> NDArray[Any]:
    """Return what the task's loss needs: labels int64 `(n,)`, or `(n, outputs)` in its dtype."""
    if task.loss.name == "cross_entropy":
        return split.targets.astype(np.int64)
    outputs = task.architecture.output_shape()[-1]
    return target_matrix(split.targets, outputs).astype(task.dtype)


def begins(part: Split, whole: Split) -> bool:
    """Return whether `part` is the first samples of `whole`, in the same memory."""
    a, b = part.inputs, whole.inputs
    same = a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    return same and a.strides == b.strides and a.dtype == b.dtype and len(a) <= len(b)
