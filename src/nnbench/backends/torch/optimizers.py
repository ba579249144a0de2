"""The spec's optimizers in torch, whose formulas are the spec's own; one table entry each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop


def _moments(spec: Any) -> dict[str, Any]:
    return {"betas": (spec.beta1, spec.beta2), "eps": spec.epsilon}


# torch's class, and its arguments beyond the learning rate and the weight decay.
OPTIMIZERS: dict[type, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
    SGD: (torch.optim.SGD, lambda s: {"momentum": s.momentum, "nesterov": s.nesterov}),
    Adam: (torch.optim.Adam, _moments),
    AdamW: (torch.optim.AdamW, _moments),
    RMSprop: (
        torch.optim.RMSprop,
        lambda s: {"alpha": s.rho, "momentum": s.momentum, "eps": s.epsilon},
    ),
    Adagrad: (
        torch.optim.Adagrad,
        lambda s: {"eps": s.epsilon, "initial_accumulator_value": s.initial},
    ),
}


def _fastest_form(spec: Any, device: torch.device) -> dict[str, bool]:
    """Return the arguments for the fastest form on `device`: the plain loop on a CPU.

    One fused kernel pays for SGD on CUDA, and on a CPU once there is more to do than `w -= lr * g`:
    784-128-10 at batch 1, one thread, with momentum 130 us a step against 145 in a plain loop
    and 154 with foreach; without momentum 118 against 112 and 120.
    """
    if isinstance(spec, SGD):
        stateful = spec.momentum > 0 or spec.weight_decay > 0
        return {"fused": stateful or device.type == "cuda", "foreach": False}
    return {"foreach": False} if device.type == "cpu" else {}


def build(parameters: Iterable[Tensor], task: Task, device: torch.device) -> torch.optim.Optimizer:
    """Return the task's optimizer; its learning rate is set step by step.

    Native semantics leave the form to torch. Raises UnsupportedSpec for an unknown optimizer.
    """
    spec = task.optimizer
    kind, arguments = supported(OPTIMIZERS, type(spec), "optimizer", "torch")
    form = _fastest_form(spec, device) if task.semantics == "matched" else {}
    return kind(parameters, lr=0.0, weight_decay=spec.weight_decay, **arguments(spec), **form)
