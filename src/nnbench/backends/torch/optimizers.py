"""The spec's optimizers in torch, whose formulas are the spec's own; one table entry each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model.formulas import FAMILIES, FORMS, check_own, forms, given
from nnbench.model.network import ParamKey
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
# Of the description alone; clipping is a function in torch.
NOT_TORCH = ("name", "formulas", "decay_on", "clip_norm", "clip_value")
CLIP_OFFSET = 1e-6  # of torch's own function
BETAS = ("beta1", "beta2")  # one argument of torch's


def _arguments(kind: Any, names: dict[str, str], spec: Any) -> dict[str, Any]:
    """Return the arguments that the spec sets; torch has its own defaults for the others."""
    values = {k: v for k, v in vars(spec).items() if k not in (*FORMS, *NOT_TORCH)}
    betas = tuple(values.pop(beta, None) for beta in BETAS)
    if any(beta is not None for beta in betas):
        own = inspect.signature(kind).parameters["betas"].default
        values["betas"] = tuple(o if b is None else b for b, o in zip(betas, own, strict=True))
    return {names.get(key, key): value for key, value in values.items() if value is not None}


def effective(optimizer: torch.optim.Optimizer, spec: Any) -> dict[str, Any]:
    """Return what torch's optimizer computes with, by dotted key, read from the object."""
    if isinstance(optimizer, Formula):
        return {f"optimizer.{key}": value for key, value in given(optimizer.rule).items()}
    group, names = optimizer.param_groups[0], OPTIMIZERS[type(spec)][1]
    keys = [key for key in FAMILIES["torch"][type(spec)] if key not in (*FORMS, *BETAS)]
    values = {key: group[names.get(key, key)] for key in keys} | forms(spec, "torch")
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


def _root(rule: Any, v: Tensor) -> Tensor:
    """Return the root of v with epsilon beside it or under it."""
    inside = rule.epsilon_root == "inside"
    return (v + rule.epsilon).sqrt() if inside else v.sqrt() + rule.epsilon


def _sgd(rule: Any, g: Tensor, lr: float, t: int, v: Tensor) -> Tensor:
    inside = rule.rate == "inside"
    g = lr * g if inside else g
    v.mul_(rule.momentum).add_(g)
    step = g + rule.momentum * v if rule.nesterov else v
    return step if inside else lr * step


def _adam(rule: Any, g: Tensor, lr: float, t: int, m: Tensor, v: Tensor, *most: Tensor) -> Tensor:
    m.mul_(rule.beta1).add_(g, alpha=1.0 - rule.beta1)
    v.mul_(rule.beta2).addcmul_(g, g, value=1.0 - rule.beta2)
    for largest in most:  # of amsgrad
        v = torch.maximum(largest, v, out=largest)
    correction: float = 1.0 - rule.beta2**t
    if rule.epsilon_correction == "after":
        root = _root(rule, v / correction)
    else:
        root = _root(rule, v) / correction**0.5
    return lr / (1.0 - rule.beta1**t) * m / root


def _rmsprop(rule: Any, g: Tensor, lr: float, t: int, v: Tensor, b: Tensor) -> Tensor:
    inside = rule.rate == "inside"
    v.mul_(rule.rho).addcmul_(g, g, value=1.0 - rule.rho)
    b.mul_(rule.momentum).add_((lr * g if inside else g) / _root(rule, v))
    return b if inside else lr * b


def _adagrad(rule: Any, g: Tensor, lr: float, t: int, s: Tensor) -> Tensor:
    s.addcmul_(g, g)
    return lr * g / _root(rule, s)


# The step of each rule, as nnbench.model.optimizers writes it, and the names of its buffers.
STEPS: dict[type, tuple[Any, tuple[str, ...]]] = {
    SGD: (_sgd, ("velocity",)),
    Adam: (_adam, ("mean", "square")),
    AdamW: (_adam, ("mean", "square")),
    RMSprop: (_rmsprop, ("square", "velocity")),
    Adagrad: (_adagrad, ("sum",)),
}


class Formula(torch.optim.Optimizer):
    """The spec's formulas in the forms that torch's own classes do not have."""

    def __init__(self, groups: Any, rule: Any) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": rule.weight_decay})
        self.rule = rule
        self._step, names = STEPS[type(rule)]
        self._names = (*names, *("largest",) * getattr(rule, "amsgrad", False))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Update all parameters from their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._update(parameter, group["lr"], group["weight_decay"])

    def _update(self, w: Tensor, lr: float, decay: float) -> None:
        state = self.state[w]
        if not state:
            start = getattr(self.rule, "initial", 0.0)
            state.update({name: torch.full_like(w, start) for name in self._names})
            state["step"] = torch.zeros((), dtype=torch.float64)
        state["step"] += 1
        g = w.grad
        assert g is not None
        if decay:
            if self.rule.decay == "decoupled":
                w.mul_(1.0 - lr * decay)
            else:
                g = g + decay * w
        buffers = (state[name] for name in self._names)
        w.sub_(self._step(self.rule, g, lr, int(state["step"]), *buffers))


def _grouped(parameters: Mapping[ParamKey, Tensor], spec: Any) -> Any:
    """Return the parameters, in two groups where weight decay spares some."""
    if spec.decay_on == "all" or not spec.weight_decay:
        return list(parameters.values())
    spared = [p for key, p in parameters.items() if key.role != "kernel"]
    kernels = [p for key, p in parameters.items() if key.role == "kernel"]
    return [{"params": kernels}, {"params": spared, "weight_decay": 0.0}]


def build(
    parameters: Mapping[ParamKey, Tensor], task: Task, device: torch.device
) -> torch.optim.Optimizer:
    """Return the task's optimizer; its learning rate is set step by step.

    Native semantics leave the form to torch. Raises UnsupportedSpec for an unknown optimizer, and
    in native semantics for a form of the formula that torch's class does not have.
    """
    spec: Any = task.optimizer
    kind, names = supported(OPTIMIZERS, type(spec), "optimizer", "torch")
    groups = _grouped(parameters, spec)
    if task.semantics == "native":
        check_own(spec, "torch", f"torch.optim.{kind.__name__}")
        return kind(groups, lr=0.0, **_arguments(kind, names, spec))
    if needs_formula(spec):
        return Formula(groups, spec)
    return kind(groups, lr=0.0, **_arguments(kind, names, spec), **_fastest_form(spec, device))


def needs_formula(spec: Any) -> bool:
    """Tell whether torch's class computes something else than the spec's forms say."""
    unused = {"clip_offset"}  # clipping is no part of torch's classes
    unused |= {"rate"} if not getattr(spec, "momentum", 0.0) else set()
    unused |= {"decay"} if not spec.weight_decay else set()
    own = forms(spec, "torch")
    return any(getattr(spec, key) != has for key, has in own.items() if key not in unused)


def clip(parameters: Sequence[Tensor], spec: Any) -> None:
    """Bound the gradients, value by value or by their global norm, where the rule asks for it."""
    if spec.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, spec.clip_value)
    if spec.clip_norm is None:
        return
    if spec.clip_offset == CLIP_OFFSET:
        nn.utils.clip_grad_norm_(parameters, spec.clip_norm)
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    factor = spec.clip_norm / (norm + spec.clip_offset).clamp(min=spec.clip_norm)
    for grad in grads:
        grad.mul_(factor)
