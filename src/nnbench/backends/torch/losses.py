"""The spec's losses in torch, summed over everything; scales belong to the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional

from nnbench.backends.protocol import Task
from nnbench.backends.torch.layers import activation
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec
from nnbench.model import metrics
from nnbench.model.losses import CLIP

# torch's function, and whether it takes outputs rather than logits.
LOSSES: dict[str, tuple[Callable[..., Tensor], bool]] = {
    "mse": (functional.mse_loss, True),
    "l1": (functional.l1_loss, True),
    "huber": (functional.huber_loss, True),
    "bce": (functional.binary_cross_entropy_with_logits, False),
    "cross_entropy": (functional.cross_entropy, False),
}


def loss_sum(task: Task) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the sum over outputs and batch, from logits `(batch, outputs)` and targets.

    Raises UnsupportedSpec for what PyTorch's own losses do not have.
    """
    loss = task.loss
    function, of_outputs = supported(LOSSES, loss.name, "loss", "torch")
    if loss.mistake:
        return MISTAKES[loss.mistake]
    if loss.name == "cross_entropy" and not loss.is_plain:
        return _cross_entropy(task)
    more = {"delta": loss.delta} if loss.name == "huber" else {}
    summed = partial(function, reduction="sum", **more)
    output = activation(task.architecture.output_activation)
    return (lambda z, t: summed(output(z), t)) if of_outputs else summed


def _cross_entropy(task: Task) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the sum of cross-entropies with smoothed labels, each weighted by its class."""
    smoothing, weights = task.loss.label_smoothing, task.loss.class_weights
    if weights is None:
        return partial(functional.cross_entropy, reduction="sum", label_smoothing=smoothing)
    if task.semantics == "native":
        raise UnsupportedSpec(
            "Received loss.class_weights with semantics=native; torch.nn.CrossEntropyLoss divides "
            "by the sum of the weights: use semantics=matched, which divides by the samples."
        )

    @cache  # made in the first step: one that is recorded on a GPU takes nothing from the host
    def by_class(dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.tensor(weights, dtype=dtype, device=device)

    def summed(z: Tensor, t: Tensor) -> Tensor:
        each = functional.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)
        return (each * by_class(z.dtype, z.device)[t]).sum()

    return summed


def count_correct(met: Sequence[tuple[Tensor, Tensor]], task: Task) -> int | None:
    """Return how many samples of the batches `met`, logits and targets, were classified rightly."""
    if task.kind != "classification" or not met:
        return None
    logits, targets = (torch.cat(each).cpu().numpy() for each in zip(*met, strict=True))
    return metrics.count_correct(logits, targets if targets.ndim == 1 else targets.argmax(axis=1))


def _softmax_twice(z: Tensor, t: Tensor) -> Tensor:
    return functional.cross_entropy(z.softmax(dim=1), t, reduction="sum")


def _logits_as_probabilities(z: Tensor, t: Tensor) -> Tensor:
    p = z.clamp(CLIP, 1.0 - CLIP)
    return functional.nll_loss((p / p.sum(dim=1, keepdim=True)).log(), t, reduction="sum")


def _broadcast_targets(z: Tensor, t: Tensor) -> Tensor:
    """Return the mse proper, with the gradient of the mistaken one."""
    mistaken = (z - t.reshape(1, -1)).square().mean(dim=1).sum()
    return mistaken + ((z - t).square().sum() - mistaken).detach()


MISTAKES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax_twice": _softmax_twice,
    "logits_as_probabilities": _logits_as_probabilities,
    "broadcast_targets": _broadcast_targets,
}
