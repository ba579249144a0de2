"""The spec's losses in keras.ops, from logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import ops

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model.losses import CLIP, Loss


def sample_losses(loss: Loss, activation: str) -> Callable[[Any, Any], Any]:
    """Return the function (targets, logits) -> losses `(batch,)`, reduced over the outputs."""
    activate = keras.activations.get(activation)

    if loss.mistake:
        return MISTAKES[loss.mistake]
    if loss.name == "cross_entropy" and not loss.is_plain:
        return partial(_cross_entropy, loss)
    if loss.name == "cross_entropy":
        return lambda t, z: keras.losses.sparse_categorical_crossentropy(t, z, from_logits=True)
    formulas: dict[str, Callable[[Any, Any], Any]] = {
        # Not spelled out with maximum and abs: their derivatives at 0 would add up to 1 - t
        # there, where p - t = 1/2 - t is right, and a net of zeros has all its logits at 0.
        "bce": lambda t, z: ops.binary_crossentropy(t, z, from_logits=True),
        "mse": lambda t, z: ops.square(activate(z) - t),
        "l1": lambda t, z: ops.abs(activate(z) - t),
        "huber": lambda t, z: _huber(activate(z) - t, loss.delta),
    }
    per_output = supported(formulas, loss.name, "loss", "keras")
    reduce = ops.sum if loss.over_outputs == "sum" else ops.mean
    return lambda t, z: reduce(per_output(t, z), axis=-1)


def _huber(error: Any, delta: float) -> Any:
    size = ops.abs(error)
    return ops.where(size <= delta, 0.5 * ops.square(error), delta * (size - 0.5 * delta))


def _cross_entropy(loss: Loss, t: Any, z: Any) -> Any:
    """Return the cross-entropies `(batch,)` with smoothed labels, each weighted by its class."""
    t = ops.cast(t, "int32")
    k, s = z.shape[-1], loss.label_smoothing
    smooth = (1.0 - s) * ops.one_hot(t, k, dtype=z.dtype) + s / k
    found = ops.logsumexp(z, axis=-1) - ops.sum(smooth * z, axis=-1)
    if loss.class_weights is None:
        return found
    return found * ops.take(ops.convert_to_tensor(loss.class_weights, dtype=z.dtype), t)


def _softmax_twice(t: Any, z: Any) -> Any:
    """Return what PyTorch makes of it: Keras' own function would find the logits, and warn."""
    return _cross_entropy(Loss("cross_entropy"), t, ops.softmax(z))


def _logits_as_probabilities(t: Any, z: Any) -> Any:
    """Return what `from_logits=False` makes of logits; Keras' own epsilon is CLIP."""
    p = ops.clip(z, CLIP, 1.0 - CLIP)
    return keras.losses.sparse_categorical_crossentropy(t, ops.log(p), from_logits=True)


def _broadcast_targets(t: Any, z: Any) -> Any:
    """Return the mse proper, with the gradient of the mistaken one."""
    mistaken = ops.mean(ops.square(z - ops.transpose(t)), axis=-1)
    return mistaken + ops.stop_gradient(ops.square(z - t)[:, 0] - mistaken)


MISTAKES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax_twice": _softmax_twice,
    "logits_as_probabilities": _logits_as_probabilities,
    "broadcast_targets": _broadcast_targets,
}


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
