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
from nnbench.model.losses import Loss

LogitGradient = Callable[[Array, Array], Array]


def logit_gradient(loss: Loss, activation: ActivationName) -> LogitGradient:
    """Return the function (logits z, target matrix t), both `(batch, k)`, -> dz `(batch, k)`.

    The reductions of `loss` are applied: over the outputs, then over the batch.
    """
    output = Activation(
        {}, layers.Activation("softmax" if loss.name == "cross_entropy" else activation)
    )

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

    formulas = {
        "bce": partners,
        "cross_entropy": partners,
        "mse": squared_error,
        "l1": absolute_error,
    }
    return supported(formulas, loss.name, "loss", "numpy")
