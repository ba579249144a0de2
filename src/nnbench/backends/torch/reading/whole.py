"""The reading of a whole program: its layers, loss, optimizer, rates, weights, and mistakes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from nnbench.backends.program import About, sample_size
from nnbench.backends.protocol import Params
from nnbench.backends.torch.reading import losses, places, program, rules, tracing
from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.dropping import mark, undropped
from nnbench.backends.torch.reading.program import Program
from nnbench.backends.torch.reading.tracing import Traced
from nnbench.backends.torch.reading.walk import Walk
from nnbench.data.dataset import ArraySpec
from nnbench.errors import ConfigError
from nnbench.model.network import ParamKey
from nnbench.model.reading import (
    NOTHING_LEARNS,
    Finding,
    Place,
    Reading,
    Takes,
    Unknown,
    classic,
    held_still,
)
from nnbench.model.recognition import recognised
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Whole:
    """A program taken apart; `targets` of a few samples are as its loss takes them."""

    parts: Program
    takes: Takes
    chain: Chain
    ending: losses.Ending
    targets: torch.Tensor
    called: frozenset[str]

    def located(self) -> dict[ParamKey, nn.Parameter]:
        """Return what nnbench learns as the program's own parameters."""
        own = dict(self.parts.model.named_parameters(remove_duplicate=False))
        return {key: own[at.name] for key, at in self.chain.located.items() if at.name in own}


def take_apart(built: Any, about: About) -> Whole:
    """Follow a program from its inputs to its loss. Raises ConfigError where it cannot be run."""
    parts = program.program(built)
    dtype = next((p.dtype for p in parts.model.parameters()), torch.float32)
    if any(isinstance(p, UninitializedParameter) for p in parts.model.parameters()):
        program.fitting(parts.model, about, dtype)  # which gives them their shapes
    program.check(parts)
    with torch.random.fork_rng(devices=[]):
        takes, outputs = program.fitting(parts.model, about, dtype)
        sample = program.own_inputs(takes, about.sample)
        sample = sample.to(dtype) if sample.is_floating_point() else sample
        chain = program.first_chain(takes, about.inputs.shape)
        called = _follow(parts.model, chain, sample)
        targets = fitting_targets(parts.loss, outputs, about)
        ending = losses.read_loss(parts.loss, chain, outputs, targets)
    return Whole(parts, takes, chain, ending, targets, called)


def _follow(model: nn.Module, chain: Chain, sample: torch.Tensor) -> frozenset[str]:
    """Read the model's graph into `chain`; return the names of the modules that it needs."""
    model.train()
    found = tracing.traced(model, sample)
    model.eval()
    evaluated = tracing.traced(model, sample)
    if found.graph is None:
        place = found.failed or Place(type(model).__name__)
        chain.name_unknown(f"{place.text}: {found.reason}", place)
        return frozenset(name for name, _ in model.named_modules())
    if hooked := _hooked(model):
        chain.name_unknown(hooked, places.made(model))
    same = _same(found, evaluated)
    if same:
        mark(found, evaluated, chain)
    walk = Walk(found, chain)
    walk.go()
    if not same:
        chain.name_unknown(
            "forward does something else in training than in evaluation", places.made(model)
        )
    called = tuple(f"{name}." for name in walk.called)
    inside = {n for n, _ in model.named_modules() if n.startswith(called)} if called else set()
    return frozenset(walk.called | inside)


def _hooked(model: nn.Module) -> str:
    """Say what changes a model besides its code; nothing where nothing does."""
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            return f"hooks on {name or 'the model'}"
        if torch.nn.utils.parametrize.is_parametrized(module):
            return f"parametrized weights of {name or 'the model'}"
    hooked = (n for n, p in model.named_parameters() if p._backward_hooks)
    return f"hooks on {name}" if (name := next(hooked, "")) else ""


def _same(trained: Traced, evaluated: Traced) -> bool:
    """Tell whether evaluation does what training does, functional dropout aside."""
    if trained.graph is None or evaluated.graph is None:
        return False
    return tracing.same_graph(undropped(trained.graph), undropped(evaluated.graph))


def fitting_targets(loss: Any, outputs: torch.Tensor, about: About) -> torch.Tensor:
    """Return targets for the sample as the loss takes them: labels, or rows with a one.

    Raises ConfigError with what the loss says where it takes neither.
    """
    n, said = len(outputs), ""
    if about.kind == "regression":
        tried = [
            torch.zeros((n,) if about.outputs == 1 else (n, about.outputs), dtype=outputs.dtype)
        ]
    else:
        labels = torch.arange(n) % about.outputs
        tried = [labels, torch.eye(about.outputs, dtype=outputs.dtype)[labels]]
    for targets in tried:
        again = outputs.detach().clone().requires_grad_()
        try:
            value = loss(again, targets)
            value.sum().backward()
        except Exception as error:  # a user's code may fail in any way
            said = said or f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        if isinstance(value, torch.Tensor) and not value.dim():
            return targets
        said = "it does not return one number"
    what = "labels" if about.kind == "classification" else "targets"
    raise ConfigError(f"The loss does not take the model's outputs with {what} of the data: {said}")


def read(built: Any, about: About) -> Reading:
    """Return what a program trains. Raises ConfigError for what cannot be trained at all."""
    whole = take_apart(built, about)
    parts, chain, ending = whole.parts, whole.chain, whole.ending
    learnt = whole.located()
    shared = _shared(learnt)
    unknown = [*chain.unknown, *shared, *ending.unknown]
    every = {ParamKey(i, "kernel"): p for i, p in enumerate(parts.model.parameters())}
    idle = _idle(parts)
    learning = {key: p for key, p in learnt.items() if p.requires_grad and id(p) not in idle}
    rule, odd = rules.read_optimizer(parts.optimizer, every if chain.unknown else learning)
    unknown += odd
    schedule, odd, said = rules.read_schedule(
        parts.optimizer, parts.scheduler, about.epochs, about.steps
    )
    unknown += odd
    still, findings = _not_learning(whole, learnt, () if unknown else _unreached(whole, about))
    unknown += [NOTHING_LEARNS] * (0 < len(learnt) == len(still))
    layers, still = held_still(chain.layers, learnt, still)
    where = {"optimizer": places.made(parts.optimizer)}
    where |= {"loss": ending.place} if ending.place else {}
    where["schedule"] = places.made(parts.scheduler or parts.optimizer)
    found = Reading(
        framework="torch",
        versions={"torch": str(torch.__version__)},
        task=about.kind,
        input_shape=chain.input_shape,
        takes=whole.takes,
        layers=layers,
        places=tuple(chain.places),
        output_activation=ending.output_activation,
        loss=ending.loss,
        optimizer=rule,
        schedule=schedule,
        init=recognised(present(whole)),
        frozen=tuple(map(str, still)),
        where=where,
        unknown=tuple(unknown),
        remarks=(*ending.remarks, *said),
        data_shape=about.inputs.shape,
    )
    return replace(found, findings=(*classic(found), *chain.findings, *findings))


def about_of(reading: Reading) -> About:
    """Return what was said to the program when it was read, but for the sample's values."""
    outputs = reading.architecture().output_shape()[-1]
    tokens = reading.takes == "tokens"
    inputs = ArraySpec(reading.data_shape, "int64" if tokens else "float64")
    sample = np.zeros((sample_size(outputs), *inputs.shape), inputs.dtype)
    return About(reading.task, inputs, sample, outputs, 1, 1)


def weights(built: Any, reading: Reading) -> Params:
    """Return the present weights of a program in nnbench's layout."""
    return present(take_apart(built, about_of(reading)))


def present(whole: Whole) -> Params:
    """Return the weights as they are now, in nnbench's layout."""
    state = dict(whole.parts.model.named_parameters(remove_duplicate=False))
    state |= dict(whole.parts.model.named_buffers(remove_duplicate=False))
    return {key: at.canonical(state[at.name]) for key, at in sorted(whole.chain.located.items())}


def _shared(learnt: dict[ParamKey, nn.Parameter]) -> list[Unknown]:
    """Name parameters that two layers have in common."""
    seen: dict[int, ParamKey] = {}
    found = []
    for key, parameter in learnt.items():
        if id(parameter) in seen:
            text = f"layers {seen[id(parameter)].layer + 1} and {key.layer + 1} share their weights"
            found.append(Unknown(text, "layers"))
        seen[id(parameter)] = key
    return found


def _idle(parts: Program) -> set[int]:
    """Return the ids of parameters whose group has the rate 0, and that of others is not."""
    groups = parts.optimizer.param_groups
    resting = [group for group in groups if not float(group["lr"]) and parts.scheduler is None]
    resting = resting if len(resting) < len(groups) else []
    return {id(p) for group in resting for p in group["params"]}


def _unreached(whole: Whole, about: About) -> list[ParamKey]:
    """Return the parameters that no gradient reaches, as those before detach() or in no_grad()."""
    asked = {key: p for key, p in whole.located().items() if p.requires_grad}
    inputs = program.own_inputs(whole.takes, about.sample)
    dtype = next(p.dtype for p in whole.parts.model.parameters())
    whole.parts.model.eval()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        outputs = whole.parts.model(inputs.to(dtype) if inputs.is_floating_point() else inputs)
    if not outputs.requires_grad or not asked:
        return list(asked)
    found = torch.autograd.grad(outputs.sum(), list(asked.values()), allow_unused=True)
    return [key for key, gradient in zip(asked, found, strict=True) if gradient is None]


def _not_learning(
    whole: Whole, learnt: dict[ParamKey, nn.Parameter], unreached: Collection[ParamKey]
) -> tuple[tuple[ParamKey, ...], list[Finding]]:
    """Return the parameters that stay as they are, and what is to be said of it."""
    model, findings = whole.parts.model, list[Finding]()
    held = {id(p) for group in whole.parts.optimizer.param_groups for p in group["params"]}
    stopped = {key: p for key, p in learnt.items() if not p.requires_grad}
    cut = {key: p for key, p in learnt.items() if key in unreached}
    free = {key: p for key, p in learnt.items() if p.requires_grad and key not in cut}
    resting = {key: p for key, p in free.items() if id(p) in _idle(whole.parts)}
    missed = {key: p for key, p in free.items() if id(p) not in held}
    named = {id(p): name for name, p in model.named_parameters()}
    if stopped:
        names = ", ".join(named[id(p)] for p in stopped.values())
        findings.append(Finding("frozen_layers", f"{names}: requires_grad is False"))
    if cut:
        names = ", ".join(named[id(p)] for p in cut.values())
        text = f"{names}: no gradient reaches them (detach() or no_grad())"
        findings.append(Finding("frozen_layers", text))
    if resting:
        names = ", ".join(named[id(p)] for p in resting.values())
        findings.append(Finding("frozen_layers", f"{names}: the learning rate is 0"))
    if missed:
        names = ", ".join(named[id(p)] for p in missed.values())
        place = places.made(whole.parts.optimizer)
        findings.append(Finding("not_in_optimizer", f"the optimizer does not hold {names}", place))
    findings += [
        Finding("unused_layers", f"{name} is never used", places.made(module, str(module)))
        for name, module in model.named_modules()
        if name and name not in whole.called and not list(module.children())
        and not any(f"{name}.{own}" in whole.chain.used for own, _ in module.named_parameters())
    ]  # fmt: skip
    return (*stopped, *cut, *resting, *missed), findings
