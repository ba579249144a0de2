"""Splits as the arrays that every backend trains on: converted once, by NumPy, alike for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import Task
from nnbench.data.dataset import Split
from nnbench.errors import ConfigError
from nnbench.model.layers import Embedding
from nnbench.model.metrics import target_matrix


def input_array(task: Task, split: Split) -> NDArray[np.floating]:
    """Return the inputs `(n, *architecture.input_shape)` in the task's dtype.

    uint8 is multiplied by `task.inputs.scale` after the conversion, as `ArraySpec` says. For an
    embedding they are tokens, int64.
    """
    if task.architecture.takes_tokens:
        checked_tokens(task, {"": split})
        return split.inputs.astype(np.int64)
    dtype = np.dtype(task.dtype)
    inputs = split.inputs.astype(dtype)
    if split.inputs.dtype == np.uint8:
        inputs *= dtype.type(task.inputs.scale)
    return inputs.reshape(len(split), *task.architecture.input_shape)


def checked_tokens(task: Task, splits: Mapping[str, Split]) -> None:
    """Raise ConfigError unless all inputs are whole numbers that the embedding has rows for."""
    embedding = task.architecture.layers[0]
    assert isinstance(embedding, Embedding)
    for split in splits.values():
        low, high = split.inputs.min(), split.inputs.max()
        if low < 0 or high >= embedding.vocabulary or (split.inputs % 1 != 0).any():
            raise ConfigError(
                f"Received inputs from {low:g} to {high:g}; layer 1, embedding, takes whole "
                f"numbers from 0 to vocabulary - 1 = {embedding.vocabulary - 1}."
            )


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
