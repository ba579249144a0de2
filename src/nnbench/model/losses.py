"""Losses: how outputs and targets become one number, and which output activation is its partner."""

from __future__ import annotations

from typing import Annotated, Literal

from nnbench.errors import ConfigError
from nnbench.model.layers import ActivationName
from nnbench.schema import above, at_least, within
from nnbench.schema.deferred import dataclass

Mistake = Literal["softmax_twice", "logits_as_probabilities", "broadcast_targets"]
CLIP = 1e-7  # what Keras keeps probabilities away from 0 and 1 by
TaskKind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Loss:
    """A loss, reduced over the outputs of a sample and then over the batch.

    With outputs p `(batch, k)`, logits z and targets t (one-hot in classification), per output:

    - mse: `(p - t)**2`
    - l1: `|p - t|`, with derivative 0 at p = t
    - huber: `e^2 / 2` for `|e| <= delta`, else `delta (|e| - delta / 2)`, with `e = p - t`
    - bce: `softplus(z) - t z`, the binary cross-entropy of `p = sigmoid(z)`; summed over outputs
      its gradient is `p - t`, the delta rule of hand-written NumPy code
    - cross_entropy: `logsumexp(z) - sum over j of q_j z_j` with `p = softmax(z)`, one term per
      sample, so that `over_outputs` does not apply. q is one-hot or, with `label_smoothing` s,
      `(1 - s) q + s / k`. `class_weights` multiply a sample's loss by the weight of its label; the
      mean over the batch still divides by the number of samples (as Keras' `class_weight`;
      PyTorch's `weight` divides by the sum of the weights).

    `over_outputs` and `over_batch` scale loss and gradient. Reported losses are always means over
    samples, so `over_batch=sum` changes the gradient, not the figure.

    `mistake`: one of the classic ones, to see what it costs; every output names it.

    - softmax_twice: cross-entropy takes `softmax(z)` for logits (a net that ends in a softmax,
      then torch.nn.CrossEntropyLoss)
    - logits_as_probabilities: cross-entropy takes logits for probabilities, cut to 1e-7 and
      1 - 1e-7 and divided by their sum (Keras without `from_logits=True`)
    - broadcast_targets: mse of outputs `(n, 1)` and targets `(n,)`, which broadcast to `(n, n)`:
      every output is drawn to the mean of the batch's targets. Figures are of the mse proper.
    """

    name: Literal["mse", "l1", "huber", "bce", "cross_entropy"]
    over_outputs: Literal["sum", "mean"] = "mean"
    over_batch: Literal["sum", "mean"] = "mean"
    delta: Annotated[float, above(0.0)] = 1.0
    label_smoothing: Annotated[float, within(0.0, 1.0, high_open=True)] = 0.0
    class_weights: tuple[Annotated[float, at_least(0.0)], ...] | None = None
    mistake: Mistake | None = None

    @property
    def is_plain(self) -> bool:
        """Tell whether nothing but name and reductions is set."""
        return self == Loss(self.name, self.over_outputs, self.over_batch)

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
        if kind == "regression" and self.name not in ("mse", "l1", "huber"):
            raise ConfigError(
                f"Received loss={self.name}; task=regression needs loss=mse, l1 or huber."
            )
        self._check_extras(kind)
        needed = {"bce": ("sigmoid",), "cross_entropy": ("softmax", "linear")}.get(self.name)
        if needed and output_activation not in needed:
            raise ConfigError(
                f"Received arch.output_activation={output_activation}; loss={self.name} needs "
                f"{' or '.join(needed)} (arch.output_activation=auto picks it)."
            )

    def _check_extras(self, kind: TaskKind) -> None:
        """Raise ConfigError for settings that this loss does not have."""
        extras = {
            f"loss.label_smoothing={self.label_smoothing}": bool(self.label_smoothing),
            "loss.class_weights": self.class_weights is not None,
        }
        for what in (name for name, is_set in extras.items() if is_set):
            if self.name != "cross_entropy":
                raise ConfigError(
                    f"Received {what} with loss={self.name}; loss=cross_entropy alone has it."
                )
            if self.mistake:
                raise ConfigError(
                    f"Received {what} with loss.mistake={self.mistake}; leave one of them out."
                )
        of = {"broadcast_targets": "mse"}.get(self.mistake or "", "cross_entropy")
        if self.mistake and (of != self.name or (of == "mse" and kind != "regression")):
            task = " and task=regression" if of == "mse" else ""
            raise ConfigError(
                f"Received loss.mistake={self.mistake} with loss={self.name}; it is one of "
                f"loss={of}{task}."
            )

    def check_outputs(self, outputs: int) -> None:
        """Raise ConfigError where the number of outputs does not fit."""
        weights = self.class_weights
        if weights is not None and len(weights) != outputs:
            raise ConfigError(
                f"Received loss.class_weights of length {len(weights)}; the data has {outputs} "
                "classes, one weight each."
            )
        if weights is not None and not any(weights):
            raise ConfigError("Received loss.class_weights of zeros; one must be greater than 0.")
        if self.mistake == "broadcast_targets" and outputs != 1:
            raise ConfigError(
                f"Received loss.mistake=broadcast_targets; it needs one output, the data has "
                f"{outputs}."
            )


def output_activation_for(loss: Loss, kind: TaskKind) -> ActivationName:
    """Return what `output_activation=auto` means: the partner of the loss.

    sigmoid for bce, softmax for cross_entropy, linear where it takes logits for probabilities; for
    mse, l1 and huber sigmoid on one-hot targets, linear in regression.
    """
    if loss.name == "cross_entropy":
        return "linear" if loss.mistake == "logits_as_probabilities" else "softmax"
    return "linear" if kind == "regression" else "sigmoid"
