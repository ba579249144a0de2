"""The spec's losses in torch, summed over everything; scales belong to the caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional

from nnbench.backends.protocol import Task
from nnbench.backends.torch.layers import activation
from nnbench.backends.trainers import supported

# torch's function, and whether it takes outputs rather than logits.
LOSSES: dict[str, tuple[Callable[..., Tensor], bool]] = {
    "mse": (functional.mse_loss, True),
    "l1": (functional.l1_loss, True),
    "bce": (functional.binary_cross_entropy_with_logits, False),
    "cross_entropy": (functional.cross_entropy, False),
}


def loss_sum(task: Task) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the sum over outputs and batch, from logits `(batch, outputs)` and targets."""
    function, of_outputs = supported(LOSSES, task.loss.name, "loss", "torch")
    summed = partial(function, reduction="sum")
    output = activation(task.architecture.output_activation)
    return (lambda z, t: summed(output(z), t)) if of_outputs else summed
