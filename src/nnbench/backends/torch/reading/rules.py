"""torch's optimizers and schedulers in nnbench's words."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from nnbench.backends.torch.reading import places
from nnbench.model import optimizers as spec
from nnbench.model import schedule as schedules
from nnbench.model.formulas import documented
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import Optimizer
from nnbench.model.reading import Place, Unknown
from nnbench.model.schedule import Schedule

Group = Mapping[str, Any]
IGNORED = ("params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable",
           "max_lr", "min_lr", "base_momentum", "max_momentum", "param_names")  # fmt: skip


def _sgd(group: Group) -> dict[str, Any]:
    return {"momentum": float(group["momentum"]), "nesterov": group["nesterov"]}


def _adam(group: Group) -> dict[str, Any]:
    beta1, beta2 = map(float, group["betas"])
    values = {"beta1": beta1, "beta2": beta2, "epsilon": group["eps"]}
    return values | {"amsgrad": group["amsgrad"]}


def _rmsprop(group: Group) -> dict[str, Any]:
    return {"rho": group["alpha"], "epsilon": group["eps"], "momentum": float(group["momentum"])}


def _adagrad(group: Group) -> dict[str, Any]:
    return {"initial": group["initial_accumulator_value"], "epsilon": group["eps"]}


# nnbench's class, what it takes of a group, and what a group must not have.
RULES: dict[type, tuple[type, Callable[[Group], dict[str, Any]], dict[str, Any]]] = {
    torch.optim.SGD: (spec.SGD, _sgd, {"dampening": 0}),
    torch.optim.Adam: (spec.Adam, _adam, {}),
    torch.optim.AdamW: (spec.AdamW, _adam, {}),
    torch.optim.RMSprop: (spec.RMSprop, _rmsprop, {"centered": False}),
    torch.optim.Adagrad: (spec.Adagrad, _adagrad, {"lr_decay": 0}),
}


def read_optimizer(
    optimizer: torch.optim.Optimizer, learnt: Mapping[ParamKey, nn.Parameter]
) -> tuple[Optimizer | None, list[Unknown]]:
    """Return the rule by which `learnt` are updated, and what is not understood of it."""
    place, kind = places.made(optimizer), type(optimizer)
    groups = [g for g in optimizer.param_groups if _holds(g, learnt)]
    decay_on = _decay_on(groups, learnt)
    if kind not in RULES:
        odd: str | None = "not an optimizer that nnbench has"
    elif not groups:
        odd = "it holds none of the parameters that are used"
    elif optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        odd = "it has hooks"
    else:
        odd = _odd(groups, RULES[kind][2])
        odd = odd or (None if decay_on else "weight decay neither of all nor of the kernels alone")
    if odd:
        return None, [Unknown(f"{kind.__name__}: {odd}", "optimizer", place)]
    ours, take, _ = RULES[kind]
    first = groups[0]
    values = take(first) | {"decay_on": decay_on}
    values["weight_decay"] = max(float(g["weight_decay"]) for g in groups)
    if ours is spec.Adam and first.get("decoupled_weight_decay"):
        values["decay"] = "decoupled"
    return documented(ours(**values), "torch"), []


def _odd(groups: Sequence[Group], without: Mapping[str, Any]) -> str | None:
    """Say what groups of parameters have that nnbench has not."""
    for group in groups:
        for key, plain in {"maximize": False, **without}.items():
            idle = key == "dampening" and not group["momentum"]
            if group.get(key, plain) != plain and not idle:
                return f"{key}={group[key]}"
    rates = dict.fromkeys(f"{float(g['lr']):g}" for g in groups)
    if len(rates) > 1:
        return f"several learning rates, {', '.join(rates)}"
    first = groups[0]
    others = {key for g in groups for key in g if key not in IGNORED and g[key] != first.get(key)}
    several = ", ".join(sorted(others - {"weight_decay"}))
    return f"groups with several {several}" if several else None


def _holds(group: Group, learnt: Mapping[ParamKey, nn.Parameter]) -> bool:
    own = {id(p) for p in group["params"]}
    return any(id(p) in own for p in learnt.values())


def _decay_on(groups: Sequence[Group], learnt: Mapping[ParamKey, nn.Parameter]) -> str | None:
    """Return which parameters decay in nnbench's words; None where it has none."""
    by_id = {id(p): float(g["weight_decay"]) for g in groups for p in g["params"]}
    decays = {key: by_id[id(p)] for key, p in learnt.items() if id(p) in by_id}
    if len(set(decays.values())) <= 1:
        return "all"
    kernels = {decay for key, decay in decays.items() if key.role == "kernel"}
    others = {decay for key, decay in decays.items() if key.role != "kernel"}
    return "kernels" if others == {0.0} and len(kernels) == 1 else None


def read_schedule(
    optimizer: torch.optim.Optimizer, scheduler: Any, epochs: int, steps: int
) -> tuple[Schedule | None, list[Unknown], list[str]]:
    """Return the learning rates of a run, what is not understood, and how it was taken.

    A scheduler is stepped after every epoch, one that counts to the steps of the run after each.
    """
    rate = float(optimizer.param_groups[0]["lr"])
    place = places.made(scheduler if scheduler is not None else optimizer)
    if scheduler is None:
        rate = max(float(group["lr"]) for group in optimizer.param_groups)  # others rest, or differ
        if rate > 0:
            return schedules.Constant(rate), [], []
        return None, [Unknown(f"a learning rate of {rate:g}", "schedule", place)], []
    kind = type(scheduler).__name__
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        return _plateau(scheduler, rate, place)
    total = epochs * steps
    counts = {getattr(scheduler, name, None) for name in ("total_steps", "T_max", "total_iters")}
    each_step = isinstance(scheduler, lr_scheduler.OneCycleLR | lr_scheduler.CyclicLR)
    each_step = each_step or (total in counts and total != epochs)
    try:
        rates = _simulated(optimizer, scheduler, total if each_step else epochs)
    except Exception as error:  # a user's own scheduler may fail in any way
        reason = f"{kind}: {str(error).partition(chr(10))[0]}"
        return None, [Unknown(reason, "schedule", place)], []
    how = f"{kind} is stepped after every {'step' if each_step else 'epoch'}"
    found = _by_step(scheduler, rates) if each_step else _by_epoch(scheduler, rates)
    if found is None:
        return None, [Unknown(f"{kind}: rates that nnbench has not", "schedule", place)], [how]
    return found, [], [how]


def _simulated(optimizer: Any, scheduler: Any, count: int) -> list[float]:
    """Return the rates that a copy of the scheduler gives, one after the other."""
    copied, own = copy.deepcopy((scheduler, optimizer))
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            rates.append(float(own.param_groups[0]["lr"]))
            copied.step()
    return rates


def _by_epoch(scheduler: Any, rates: list[float]) -> Schedule | None:
    """Return nnbench's schedule whose rates these are, epoch by epoch."""
    if min(rates) <= 0:
        return None
    named: Schedule | None = None
    if type(scheduler) is lr_scheduler.StepLR and 0 < scheduler.gamma <= 1:
        named = schedules.Step(rates[0], scheduler.step_size, scheduler.gamma)
    if type(scheduler) is lr_scheduler.ExponentialLR and 0 < scheduler.gamma <= 1:
        named = schedules.Exponential(rates[0], scheduler.gamma)
    if named is not None and np.allclose(_of_epochs(named, len(rates)), rates, rtol=1e-12, atol=0):
        return named
    starts = [i for i, rate in enumerate(rates) if i == 0 or rate != rates[i - 1]]
    if len(starts) == 1:
        return schedules.Constant(rates[0])
    return schedules.Phases(tuple(starts), tuple(rates[i] for i in starts))


def _of_epochs(found: Schedule, epochs: int) -> list[float]:
    return [float(found.per_step(epoch, 1, epochs, ())[0]) for epoch in range(epochs)]


def _by_step(scheduler: Any, rates: list[float]) -> Schedule:
    """Return nnbench's schedule whose rates these are, step by step."""
    total = len(rates)
    tried: list[Any] = []
    if isinstance(scheduler, lr_scheduler.CosineAnnealingLR) and rates[0] > 0:
        tried.append(schedules.Cosine(rates[0], scheduler.eta_min))
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        group = scheduler.optimizer.param_groups[0]
        most, first, least = (float(group[k]) for k in ("max_lr", "initial_lr", "min_lr"))
        share = (scheduler._schedule_phases[0]["end_step"] + 1.0) / total
        tried.append(schedules.OneCycle(most, share, most / first, first / least))
    for each in tried:
        ours = [each.of(i, total, total) for i in range(total)]
        if max(abs(a - b) for a, b in zip(ours, rates, strict=True)) <= 1e-9 * max(rates):
            found: Schedule = each
            return found
    return schedules.Listed(tuple(rates))


def _plateau(
    scheduler: Any, rate: float, place: Place
) -> tuple[Schedule | None, list[Unknown], list[str]]:
    plain = scheduler.threshold_mode == "rel" and not scheduler.cooldown
    if not plain or len(set(scheduler.min_lrs)) != 1:
        text = "ReduceLROnPlateau with threshold_mode, cooldown or several min_lr"
        return None, [Unknown(text, "schedule", place)], []
    found = schedules.Plateau(
        rate, scheduler.factor, scheduler.patience, scheduler.threshold, scheduler.min_lrs[0]
    )
    return found, [], ["ReduceLROnPlateau is taken to watch the loss of every epoch"]
