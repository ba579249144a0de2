"""Layers of the spec as torch modules, and where their parameters lie; one table entry each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnbench.layers import (
    Activation,
    AvgPool2d,
    Conv2d,
    Dense,
    Flatten,
    LayerNorm,
    MaxPool2d,
    Shape,
)
from nnbench.spec import Architecture, ParamKey
from nnbench.trainer import UnsupportedSpec

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
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


class _Conv2d(nn.Conv2d):
    """torch's convolution with the spec's `same` padding, which may be uneven."""

    pads: tuple[int, int, int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, self.pads) if self.pads else input)


def _conv2d(layer: Conv2d, shape: Shape, dtype: torch.dtype) -> nn.Module:
    module = _Conv2d(
        shape[2], layer.filters, layer.kernel_size, layer.stride, bias=layer.bias, dtype=dtype
    )
    rows, columns = layer.pads(shape)
    module.pads = (*columns, *rows) if sum(rows + columns) else None
    return module


class _ChannelsLast(nn.Module):
    """Does to images in the canonical order of axes what `inner` does to the last axes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            return self.inner(x)
        y = self.inner(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2) if y.dim() == 4 else y


class _LayerNorm(_ChannelsLast):
    """torch's layer norm over the channels of images."""

    def __init__(self, layer: LayerNorm, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__(nn.LayerNorm(shape[-1], eps=layer.epsilon, dtype=dtype))
        self.weight, self.bias = self.inner.weight, self.inner.bias


class Net(nn.Sequential):
    """Layers up to the logits; images come in canonical order `(batch, rows, columns, channels)`.

    torch's order of axes is a view of that one, in memory what torch calls channels_last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return super().forward(x.permute(0, 3, 1, 2) if x.dim() == 4 else x)


KERNEL_AND_BIAS = {"kernel": Place("weight", (2, 3, 1, 0)), "bias": Place("bias", (0,))}
LAYERS: dict[type, Entry] = {
    Dense: Entry(_dense, {"kernel": Place("weight", (1, 0)), "bias": Place("bias", (0,))}),
    Conv2d: Entry(_conv2d, KERNEL_AND_BIAS),
    MaxPool2d: Entry(lambda layer, shape, dtype: nn.MaxPool2d(layer.size, layer.step), {}),
    AvgPool2d: Entry(lambda layer, shape, dtype: nn.AvgPool2d(layer.size, layer.step), {}),
    Flatten: Entry(lambda layer, shape, dtype: _ChannelsLast(nn.Flatten()), {}),
    LayerNorm: Entry(_LayerNorm, {"scale": Place("weight", (0,)), "offset": Place("bias", (0,))}),
    Activation: Entry(lambda layer, shape, dtype: activation(layer.name), {}),
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
    return Net(*modules)


def located(
    architecture: Architecture, net: nn.Sequential
) -> dict[ParamKey, tuple[torch.Tensor, tuple[int, ...]]]:
    """Return each parameter's tensor in `net` and its axes from torch to canonical layout."""
    found = {}
    for key in architecture.parameter_shapes():
        place = LAYERS[type(architecture.layers[key.layer])].places[key.role]
        found[key] = (getattr(net[key.layer], place.attribute), place.axes)
    return found
