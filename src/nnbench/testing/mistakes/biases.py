"""Mistakes with the gradient of a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import Conv2d
from nnbench.backends.numpy.layers import Array, Dense, Layer
from nnbench.backends.protocol import Params, Task
from nnbench.model.network import ParamKey
from nnbench.testing.mistakes.mistake import Mistake, OtherGradients, in_layers


def _no_bias(concerns: Callable[[NumpyTrainer, ParamKey], bool]) -> tuple[type[NumpyTrainer], ...]:
    """Return trainers that have no gradient for the parameters in question, or leave them out."""

    class NoGradient(OtherGradients):
        def other_gradients(self, grads: Params, samples: int) -> Params:
            kept = {k: g * (not concerns(self, k)) for k, g in grads.items()}
            return super().other_gradients(kept, samples)

    class NoUpdate(NumpyTrainer):
        def __init__(self, task: Task, splits: Any) -> None:
            super().__init__(task, splits)
            right = self._optimizer.step

            def step(grads: Params, lr: float) -> None:
                views = self._optimizer.weights.views
                kept = {k: w.copy() for k, w in views.items() if concerns(self, k)}
                right(grads, lr)
                for key, w in kept.items():
                    views[key][...] = w

            self._optimizer.step = step  # type: ignore[method-assign]

    return NoGradient, NoUpdate


def _is_bias(trainer: NumpyTrainer, key: ParamKey) -> bool:
    return key.role == "bias"


def _is_output_bias(trainer: NumpyTrainer, key: ParamKey) -> bool:
    return key.role == "bias" and key.layer == len(trainer.layers) - 1


def _is_hidden_bias(trainer: NumpyTrainer, key: ParamKey) -> bool:
    return key.role == "bias" and key.layer < len(trainer.layers) - 1


def _with_mean(kind: type[Layer]) -> type[Layer]:
    class MeanOfBias(kind):  # type: ignore[misc, valid-type]
        def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
            grads: dict[str, Array] = super().param_grads(x, dy)
            if "bias" in grads:
                grads["bias"] = dy.reshape(-1, dy.shape[-1]).mean(axis=0)
            return grads

    return MeanOfBias


class _MeanOfBiases(OtherGradients):
    """The mean over a whole step, where that takes several batches."""

    def other_gradients(self, grads: Params, samples: int) -> Params:
        shared = {k: g / samples if k.role == "bias" else g for k, g in grads.items()}
        return super().other_gradients(shared, samples)


def _unbiased(kind: type[Layer], learns: bool) -> type[Layer]:
    class Unbiased(kind):  # type: ignore[misc, valid-type]
        def forward(self, x: Array) -> Array:
            kernel = {"kernel": self.parameters["kernel"]}
            return np.asarray(kind(kernel, self.spec).forward(x))

        def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
            grads: dict[str, Array] = super().param_grads(x, dy)
            return {k: g * (learns or k != "bias") for k, g in grads.items()}

    return Unbiased


BIASES = (
    Mistake(
        "the bias is not added on the way forward",
        "y = x W + b: without b every unit's line goes through 0.",
        tuple(
            in_layers({kind: _unbiased(kind, learns) for kind in kinds})
            for kinds in ((Dense, Conv2d), (Dense,), (Conv2d,))
            for learns in (True, False)
        ),
    ),
    Mistake(
        "the biases have no gradient",
        "b is a parameter as W is: its gradient is dy summed over the batch, dy.sum(axis=0).",
        (*_no_bias(_is_bias),),
    ),
    Mistake(
        "the bias of the output layer has no gradient",
        "The last layer learns its bias as the others do: its gradient is p - t summed over the "
        "batch.",
        (*_no_bias(_is_output_bias),),
    ),
    Mistake(
        "only the output layer's bias has a gradient",
        "Every layer's bias has the gradient dy.sum(axis=0), with dy at the output of that layer.",
        (*_no_bias(_is_hidden_bias),),
    ),
    Mistake(
        "the gradient of a bias is a mean over the batch, not a sum",
        "dy has been divided by n at the loss. dy.mean(axis=0) divides a second time; "
        "dy.sum(axis=0) is right.",
        (
            in_layers({Dense: _with_mean(Dense), Conv2d: _with_mean(Conv2d)}),
            in_layers({Dense: _with_mean(Dense)}),
            _MeanOfBiases,
        ),
    ),
)
