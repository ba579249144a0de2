"""The spec's losses in torch, summed over everything; scales belong to the caller."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from nnbench.backends.protocol import Task, UnsupportedSpec
from nnbench.backends.torch.layers import activation

LossSum = Callable[[Tensor, Tensor], Tensor]


def _mse(output: nn.Module) -> LossSum:
    return lambda z, t: functional.mse_loss(output(z), t, reduction="sum")


def _l1(output: nn.Module) -> LossSum:
    return lambda z, t: functional.l1_loss(output(z), t, reduction="sum")


def _bce(output: nn.Module) -> LossSum:
    return lambda z, t: functional.binary_cross_entropy_with_logits(z, t, reduction="sum")


def _cross_entropy(output: nn.Module) -> LossSum:
    return lambda z, t: functional.cross_entropy(z, t, reduction="sum")


LOSSES: dict[str, Callable[[nn.Module], LossSum]] = {
    "mse": _mse,
    "l1": _l1,
    "bce": _bce,
    "cross_entropy": _cross_entropy,
}


def loss_sum(task: Task) -> LossSum:
    """Return the sum over outputs and batch, from logits `(batch, outputs)` and targets."""
    if task.loss.name not in LOSSES:
        raise UnsupportedSpec(
            f"Received loss={task.loss.name}; backend=torch has {', '.join(LOSSES)}."
        )
    return LOSSES[task.loss.name](activation(task.architecture.output_activation))
