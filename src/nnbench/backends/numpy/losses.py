"""The gradient of the loss with respect to the logits; its value is in nnbench.model.metrics.

Where loss and output activation are partners the two derivatives cancel to `p - t`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnbench.backends.numpy.layers import Activation, Array
from nnbench.backends.trainers import supported
from nnbench.model import layers
from nnbench.model.layers import ActivationName
from nnbench.model.losses import CLIP, Loss

LogitGradient = Callable[[Array, Array], Array]


def _cross_entropy(
    loss: Loss, scale: Callable[[Array], float], softmax: Activation
) -> LogitGradient:
    """Return the gradient of a cross-entropy that sets more than its reductions."""

    def twice(z: Array, t: Array) -> Array:
        p = softmax.forward(z)
        return softmax.input_grad(z, p, (softmax.forward(p) - t) * scale(z))

    def of_logits(z: Array, t: Array) -> Array:
        p = z.clip(CLIP, 1.0 - CLIP)
        inside = (z >= CLIP) * (z <= 1.0 - CLIP)
        return (1.0 / p.sum(axis=1, keepdims=True) - t / p) * inside * scale(z)

    def weighted(z: Array, t: Array) -> Array:
        smooth = (1.0 - loss.label_smoothing) * t + loss.label_smoothing / z.shape[1]
        dz = (softmax.forward(z) - smooth) * scale(z)
        if loss.class_weights is None:
            return dz
        return dz * sum(t[:, j : j + 1] * w for j, w in enumerate(loss.class_weights))

    mistakes = {"softmax_twice": twice, "logits_as_probabilities": of_logits}
    return mistakes.get(loss.mistake or "", weighted)


def logit_gradient(loss: Loss, activation: ActivationName, ulp_off: bool = False) -> LogitGradient:
    """Return the function (logits z, target matrix t), both `(batch, k)`, -> dz `(batch, k)`.

    The reductions of `loss` are applied: over the outputs, then over the batch. `ulp_off`: see
    `Activation`.
    """
    name: ActivationName = "softmax" if loss.name == "cross_entropy" else activation
    output = Activation({}, layers.Activation(name))
    output.ulp_off = ulp_off

    def scale(z: Array) -> float:
        return loss.output_scale(z.shape[1]) * loss.batch_scale(z.shape[0])

    def partners(z: Array, t: Array) -> Array:
        return (output.forward(z) - t) * scale(z)

    def squared_error(z: Array, t: Array) -> Array:
        p = output.forward(z)
        return output.input_grad(z, p, 2.0 * scale(z) * (p - t))

    def absolute_error(z: Array, t: Array) -> Array:
        p = output.forward(z)
        return output.input_grad(z, p, scale(z) * np.sign(p - t))

    def huber(z: Array, t: Array) -> Array:
        p = output.forward(z)
        return output.input_grad(z, p, scale(z) * (p - t).clip(-loss.delta, loss.delta))

    if loss.mistake == "broadcast_targets":
        return lambda z, t: squared_error(z, t.mean(axis=0, keepdims=True))
    if loss.name == "cross_entropy" and not loss.is_plain:
        return _cross_entropy(loss, scale, output)
    formulas = {
        "bce": partners,
        "cross_entropy": partners,
        "mse": squared_error,
        "l1": absolute_error,
        "huber": huber,
    }
    return supported(formulas, loss.name, "loss", "numpy")
