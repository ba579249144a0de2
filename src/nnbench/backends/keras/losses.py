"""The spec's losses in keras.ops, from logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model.losses import Loss


def sample_losses(loss: Loss, activation: str) -> Callable[[Any, Any], Any]:
    """Return the function (targets, logits) -> losses `(batch,)`, reduced over the outputs."""
    activate = keras.activations.get(activation)

    if loss.name == "cross_entropy":
        return lambda t, z: keras.losses.sparse_categorical_crossentropy(t, z, from_logits=True)
    formulas: dict[str, Callable[[Any, Any], Any]] = {
        # Not spelled out with maximum and abs: their derivatives at 0 would add up to 1 - t
        # there, where p - t = 1/2 - t is right, and a net of zeros has all its logits at 0.
        "bce": lambda t, z: ops.binary_crossentropy(t, z, from_logits=True),
        "mse": lambda t, z: ops.square(activate(z) - t),
        "l1": lambda t, z: ops.abs(activate(z) - t),
    }
    per_output = supported(formulas, loss.name, "loss", "keras")
    reduce = ops.sum if loss.over_outputs == "sum" else ops.mean
    return lambda t, z: reduce(per_output(t, z), axis=-1)


class FitLoss(keras.losses.Loss):
    """A loss for `model.compile`: per sample as above, then Keras' own reduction."""

    def __init__(self, task: Task) -> None:
        summed = task.loss.over_batch == "sum"
        super().__init__(
            name="loss", reduction="sum" if summed else "sum_over_batch_size", dtype=task.dtype
        )
        self._losses = sample_losses(task.loss, task.architecture.output_activation)
        self._sparse = task.loss.name == "cross_entropy"

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the losses `(batch,)`."""
        return self._losses(ops.cast(y_true, "int32") if self._sparse else y_true, y_pred)
