"""Layers of the spec as torch modules, and where their parameters lie; one table entry each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from nnbench.spec import Activation, Architecture, Dense, ParamKey, Shape
from nnbench.trainer import UnsupportedSpec

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softmax": lambda: nn.Softmax(dim=-1),
}


class Place(NamedTuple):
    """Where a parameter lies in its module, and the axes that lead from torch to canonical."""

    attribute: str
    axes: tuple[int, ...]


class Entry(NamedTuple):
    """How to build a layer's module, and the places of its parameters by role."""

    build: Callable[[Any, Shape, torch.dtype], nn.Module]
    places: dict[str, Place]


def _dense(layer: Dense, shape: Shape, dtype: torch.dtype) -> nn.Module:
    return nn.Linear(shape[0], layer.units, bias=layer.bias, dtype=dtype)


def activation(name: str) -> nn.Module:
    """Return the module of an activation; raises UnsupportedSpec for one that torch lacks here."""
    if name not in ACTIVATIONS:
        raise UnsupportedSpec(
            f"Received activation={name}; backend=torch has {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]()


LAYERS: dict[type, Entry] = {
    Dense: Entry(_dense, {"kernel": Place("weight", (1, 0)), "bias": Place("bias", (0,))}),
    Activation: Entry(lambda layer, shape, dtype: activation(layer.function), {}),
}


def build(architecture: Architecture, dtype: torch.dtype, seed: int) -> nn.Sequential:
    """Return the layers up to the logits, with torch's own initial weights drawn from `seed`.

    The process's random state is left as it was. Raises UnsupportedSpec for an unknown layer.
    """
    modules = []
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for _, layer, shape, _ in architecture.shapes():
            if type(layer) not in LAYERS:
                names = ", ".join(known.__name__ for known in LAYERS)
                raise UnsupportedSpec(
                    f"Received layer {type(layer).__name__}; backend=torch has {names}."
                )
            modules.append(LAYERS[type(layer)].build(layer, shape, dtype))
    return nn.Sequential(*modules)


def located(
    architecture: Architecture, net: nn.Sequential
) -> dict[ParamKey, tuple[torch.Tensor, tuple[int, ...]]]:
    """Return each parameter's tensor in `net` and its axes from torch to canonical layout."""
    found = {}
    for key in architecture.parameter_shapes():
        place = LAYERS[type(architecture.layers[key.layer])].places[key.role]
        found[key] = (getattr(net[key.layer], place.attribute), place.axes)
    return found
