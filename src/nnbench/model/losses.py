"""Losses: how outputs and targets become one number, and which output activation is its partner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nnbench.errors import ConfigError
from nnbench.model.layers import ActivationName

TaskKind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Loss:
    """A loss, reduced over the outputs of a sample and then over the batch.

    With outputs p `(batch, k)`, logits z and targets t (one-hot in classification), per output:

    - mse: `(p - t)**2`
    - l1: `|p - t|`, with derivative 0 at p = t
    - bce: `softplus(z) - t z`, the binary cross-entropy of `p = sigmoid(z)`; summed over outputs
      its gradient is `p - t`, the delta rule of hand-written NumPy code
    - cross_entropy: `logsumexp(z) - z[label]` with `p = softmax(z)`, one term per sample, so that
      `over_outputs` does not apply

    `over_outputs` and `over_batch` scale loss and gradient. Reported losses are always means over
    samples, so `over_batch=sum` changes the gradient, not the figure.
    """

    name: Literal["mse", "l1", "bce", "cross_entropy"]
    over_outputs: Literal["sum", "mean"] = "mean"
    over_batch: Literal["sum", "mean"] = "mean"

    def output_scale(self, outputs: int) -> float:
        """Return the factor on the sum over a sample's `outputs`."""
        if self.name == "cross_entropy" or self.over_outputs == "sum":
            return 1.0
        return 1.0 / outputs

    def batch_scale(self, batch: int) -> float:
        """Return the factor on the sum over the samples of a batch of `batch`."""
        return 1.0 if self.over_batch == "sum" else 1.0 / batch

    def check(self, kind: TaskKind, output_activation: ActivationName) -> None:
        """Raise ConfigError where loss, task and output activation do not belong together."""
        if kind == "regression" and self.name not in ("mse", "l1"):
            raise ConfigError(f"Received loss={self.name}; task=regression needs loss=mse or l1.")
        needed = {"bce": ("sigmoid",), "cross_entropy": ("softmax", "linear")}.get(self.name)
        if needed and output_activation not in needed:
            raise ConfigError(
                f"Received arch.output_activation={output_activation}; loss={self.name} needs "
                f"{' or '.join(needed)} (arch.output_activation=auto picks it)."
            )


def output_activation_for(loss: Loss, kind: TaskKind) -> ActivationName:
    """Return what `output_activation=auto` means: the partner of the loss.

    sigmoid for bce, softmax for cross_entropy; for mse and l1 sigmoid on one-hot targets, linear in
    regression.
    """
    if loss.name == "cross_entropy":
        return "softmax"
    return "linear" if kind == "regression" else "sigmoid"
