"""The spec's optimizers in torch, whose formulas are the spec's own; one table entry each."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model.formulas import FAMILIES
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

# torch's class, and the names of its arguments that are called otherwise in the spec.
OPTIMIZERS: dict[type, tuple[Any, dict[str, str]]] = {
    SGD: (torch.optim.SGD, {}),
    Adam: (torch.optim.Adam, {"epsilon": "eps"}),
    AdamW: (torch.optim.AdamW, {"epsilon": "eps"}),
    RMSprop: (torch.optim.RMSprop, {"epsilon": "eps", "rho": "alpha"}),
    Adagrad: (
        torch.optim.Adagrad,
        {"epsilon": "eps", "initial": "initial_accumulator_value"},
    ),
}
BETAS = ("beta1", "beta2")  # one argument of torch's


def _arguments(kind: Any, names: dict[str, str], spec: Any) -> dict[str, Any]:
    """Return the arguments that the spec sets; torch has its own defaults for the others."""
    values = {k: v for k, v in vars(spec).items() if k not in ("name", "clip_norm")}
    betas = tuple(values.pop(beta, None) for beta in BETAS)
    if any(beta is not None for beta in betas):
        own = inspect.signature(kind).parameters["betas"].default
        values["betas"] = tuple(o if b is None else b for b, o in zip(betas, own, strict=True))
    return {names.get(key, key): value for key, value in values.items() if value is not None}


def effective(optimizer: torch.optim.Optimizer, spec: Any) -> dict[str, Any]:
    """Return what torch's optimizer computes with, by dotted key, read from the object."""
    group, names = optimizer.param_groups[0], OPTIMIZERS[type(spec)][1]
    values = {key: group.get(names.get(key, key)) for key in FAMILIES["torch"][type(spec)]}
    values |= dict(zip(BETAS, group.get("betas", ()), strict=False))
    return {f"optimizer.{key}": value for key, value in values.items()}


def _fastest_form(spec: Any, device: torch.device) -> dict[str, bool]:
    """Return the arguments for the fastest form on `device`: the plain loop on a CPU.

    One fused kernel pays for SGD on CUDA, and on a CPU once there is more to do than `w -= lr * g`:
    784-128-10 at batch 1, one thread, with momentum 130 us a step against 145 in a plain loop
    and 154 with foreach; without momentum 118 against 112 and 120.
    """
    if isinstance(spec, SGD):
        stateful = spec.momentum > 0 or bool(spec.weight_decay)
        return {"fused": stateful or device.type == "cuda", "foreach": False}
    return {"foreach": False} if device.type == "cpu" else {}


def build(parameters: Iterable[Tensor], task: Task, device: torch.device) -> torch.optim.Optimizer:
    """Return the task's optimizer; its learning rate is set step by step.

    Native semantics leave the form to torch. Raises UnsupportedSpec for an unknown optimizer.
    """
    spec: Any = task.optimizer
    kind, names = supported(OPTIMIZERS, type(spec), "optimizer", "torch")
    form = _fastest_form(spec, device) if task.semantics == "matched" else {}
    return kind(parameters, lr=0.0, **_arguments(kind, names, spec), **form)
