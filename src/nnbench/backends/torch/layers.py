"""Layers of the spec as torch modules, and where their parameters lie; one table entry each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnbench.backends.protocol import Task
from nnbench.backends.torch.randomness import CounterDropout, Random, RandomAugment
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers as spec
from nnbench.model.counter import AUGMENT_STREAM
from nnbench.model.formulas import check_own, forms, given
from nnbench.model.layers import Shape
from nnbench.model.network import ParamKey

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "softmax": lambda: _ChannelsLast(nn.Softmax(dim=-1)),
}


class Place(NamedTuple):
    """Where a parameter lies in its module, and the axes that lead from torch to canonical."""

    attribute: str
    axes: tuple[int, ...]


Build = Callable[[Any, Shape, torch.dtype], nn.Module]


class Entry(NamedTuple):
    """How to build a layer's module, and the places of its parameters by role."""

    build: Build
    places: dict[str, Place]


def _dense(layer: spec.Dense, shape: Shape, dtype: torch.dtype) -> nn.Module:
    return nn.Linear(shape[0], layer.units, bias=layer.bias, dtype=dtype)


def activation(name: str) -> nn.Module:
    """Return the module of an activation; raises UnsupportedSpec for one that torch lacks here."""
    return supported(ACTIVATIONS, name, "activation", "torch")()


class _Conv2d(nn.Conv2d):
    """torch's convolution with the spec's `same` padding, which may be uneven."""

    pads: tuple[int, int, int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, self.pads) if self.pads else input)


def _conv2d(layer: spec.Conv2d, shape: Shape, dtype: torch.dtype) -> nn.Module:
    module = _Conv2d(
        shape[2], layer.filters, layer.kernel_size, layer.stride, bias=layer.bias, dtype=dtype
    )
    rows, columns = layer.pads(shape)
    module.pads = (*columns, *rows) if sum(rows + columns) else None
    return module


def _own_conv2d(layer: spec.Conv2d, shape: Shape, dtype: torch.dtype) -> nn.Module:
    if layer.padding == "same" and layer.stride > 1:
        raise UnsupportedSpec(
            f"Received padding=same with stride={layer.stride} and semantics=native; "
            "torch.nn.Conv2d has it for stride=1 alone. Use semantics=matched, or a number as in "
            f"padding={layer.kernel_size // 2}."
        )
    return nn.Conv2d(
        shape[2],
        layer.filters,
        layer.kernel_size,
        layer.stride,
        padding=0 if layer.padding == "valid" else layer.padding,
        bias=layer.bias,
        dtype=dtype,
    )


class _GlobalAvgPool2d(nn.Module):
    """The mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


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

    def __init__(self, layer: spec.LayerNorm, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__(nn.LayerNorm(shape[-1], dtype=dtype, **_set(eps=layer.epsilon)))
        self.weight, self.bias = self.inner.weight, self.inner.bias


class _BatchNorm(nn.Module):
    """torch's batch norm, which the spec follows; a batch of one value per channel is taken too."""

    def __init__(self, layer: spec.BatchNorm, shape: Shape, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer: Any = layer  # with all its constants
        self.weight = nn.Parameter(torch.ones(shape[-1], dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(shape[-1], dtype=dtype))
        self.register_buffer("mean", torch.zeros(shape[-1], dtype=dtype))
        self.register_buffer("variance", torch.ones(shape[-1], dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over all axes but the channels: the second of images, the last otherwise."""
        flat = x if x.dim() in (2, 4) else x.reshape(-1, x.shape[-1])
        alone = self.training and flat.numel() == flat.shape[1]
        alone = alone or (self.training and self.layer.variance == "biased")
        if alone:
            axes = [i for i in range(flat.dim()) if i != 1]
            with torch.no_grad():
                variance, mean = torch.var_mean(flat, axes, correction=0)
                self.mean.lerp_(mean, self.layer.momentum)
                self.variance.mul_(1.0 - self.layer.momentum)
                self.variance.add_(variance, alpha=self.layer.momentum)
        y = torch.batch_norm(
            flat,
            self.weight,
            self.bias,
            None if alone else self.mean,
            None if alone else self.variance,
            self.training,
            self.layer.momentum,
            self.layer.epsilon,
            torch.backends.cudnn.enabled,
        )
        return y.view(x.shape) if flat is not x else y


class _OwnBatchNorm(nn.BatchNorm1d):
    """torch's own, whatever the number of axes; what `scale` and the others are called there."""

    def __init__(self, layer: spec.BatchNorm, shape: Shape, dtype: torch.dtype) -> None:
        constants = _set(momentum=layer.momentum, eps=layer.epsilon)
        super().__init__(shape[-1], dtype=dtype, **constants)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take images and sequences too: what follows normalises over the second axis of any."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 3:
            return super().forward(input)
        return super().forward(input.transpose(1, 2)).transpose(1, 2)  # sequences: channels last


def _set(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that have a value; the others are left to torch."""
    return {name: value for name, value in arguments.items() if value is not None}


class Net(nn.Module):
    """Augmentation, then `layers` up to the logits.

    Images come in canonical order `(batch, rows, columns, channels)`. torch's order of axes is a
    view of that one, in memory what torch calls channels_last.
    """

    def __init__(self, layers: list[nn.Module], augment: RandomAugment | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.augment = augment

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        if self.augment is not None:
            x = self.augment(x)
        return self.layers(x.permute(0, 3, 1, 2) if x.dim() == 4 else x)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Return what goes into the first layer, then the output of each."""
        if self.augment is not None:
            x = self.augment(x)
        found = [x.permute(0, 3, 1, 2) if x.dim() == 4 else x]
        for module in self.layers:
            found.append(module(found[-1]))
        return found

    def drawing(self) -> dict[int, Random]:
        """Return the modules that need a key for every step, by stream."""
        found = {i: module for i, module in enumerate(self.layers) if isinstance(module, Random)}
        return found | {AUGMENT_STREAM: self.augment} if self.augment is not None else found


KERNEL_AND_BIAS = {"kernel": Place("weight", (2, 3, 1, 0)), "bias": Place("bias", (0,))}
SCALE_AND_OFFSET = {"scale": Place("weight", (0,)), "offset": Place("bias", (0,))}
MOMENTS = {"mean": Place("mean", (0,)), "variance": Place("variance", (0,))}
LAYERS: dict[type, Entry] = {
    spec.Dense: Entry(_dense, {"kernel": Place("weight", (1, 0)), "bias": Place("bias", (0,))}),
    spec.Conv2d: Entry(_conv2d, KERNEL_AND_BIAS),
    spec.MaxPool2d: Entry(lambda layer, shape, dtype: nn.MaxPool2d(layer.size, layer.step), {}),
    spec.AvgPool2d: Entry(lambda layer, shape, dtype: nn.AvgPool2d(layer.size, layer.step), {}),
    spec.GlobalAvgPool2d: Entry(lambda layer, shape, dtype: _GlobalAvgPool2d(), {}),
    spec.LeakyReLU: Entry(
        lambda layer, shape, dtype: nn.LeakyReLU(**_set(negative_slope=layer.slope)), {}
    ),
    spec.Flatten: Entry(lambda layer, shape, dtype: _ChannelsLast(nn.Flatten()), {}),
    spec.BatchNorm: Entry(_BatchNorm, SCALE_AND_OFFSET | MOMENTS),
    spec.LayerNorm: Entry(_LayerNorm, SCALE_AND_OFFSET),
    spec.Dropout: Entry(lambda layer, shape, dtype: CounterDropout(layer), {}),
    spec.Embedding: Entry(
        lambda layer, shape, dtype: nn.Embedding(layer.vocabulary, layer.units, dtype=dtype),
        {"kernel": Place("weight", (0, 1))},
    ),
    spec.Activation: Entry(lambda layer, shape, dtype: activation(layer.name), {}),
}
# What native semantics have instead: torch's own masks, from its own generator; its own batch norm.
NATIVE: dict[type, Entry] = {
    spec.Dropout: Entry(lambda layer, shape, dtype: nn.Dropout(layer.rate), {}),
    spec.Conv2d: Entry(_own_conv2d, KERNEL_AND_BIAS),
    spec.BatchNorm: Entry(
        _OwnBatchNorm,
        SCALE_AND_OFFSET
        | {"mean": Place("running_mean", (0,)), "variance": Place("running_var", (0,))},
    ),
}


def build(task: Task) -> Net:
    """Return the layers up to the logits, with torch's own initial weights drawn from the seed.

    The process's random state is left as it was. Raises UnsupportedSpec for an unknown layer.
    """
    dtype = getattr(torch, task.dtype)
    native = NATIVE if task.semantics == "native" else {}
    modules = []
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(task.seed)
        for i, layer, shape, _ in task.architecture.shapes():
            if native:
                check_own(layer, "torch", f"torch.nn.{type(layer).__name__}", f"arch.layers[{i}]")
            entry = supported(LAYERS, type(layer), "layer", "torch")
            module = native.get(type(layer), entry).build(layer, shape, dtype)
            modules.append(module.requires_grad_(layer.learns))
    augment = task.architecture.augment
    return Net(modules, RandomAugment(augment) if augment else None)


def located(task: Task, net: Net) -> dict[ParamKey, tuple[torch.Tensor, tuple[int, ...]]]:
    """Return each parameter's tensor in `net` and its axes from torch to canonical layout."""
    table = LAYERS | (NATIVE if task.semantics == "native" else {})
    found = {}
    for key in task.architecture.weight_shapes():
        place = table[type(task.architecture.layers[key.layer])].places[key.role]
        found[key] = (getattr(net.layers[key.layer], place.attribute), place.axes)
    return found


def effective(net: Net) -> dict[str, Any]:
    """Return the constants that the modules of `net` compute with, by dotted key."""
    found: dict[str, Any] = {}
    for i, module in enumerate(net.layers):
        own = getattr(module, "inner", module)
        if isinstance(own, _BatchNorm):
            constants = given(own.layer)
        elif isinstance(own, nn.BatchNorm1d):
            constants = {"momentum": own.momentum, "epsilon": own.eps}
            constants |= forms(spec.BatchNorm(), "torch")
        elif isinstance(own, nn.LayerNorm):
            constants = {"epsilon": own.eps}
        elif isinstance(own, nn.LeakyReLU):
            constants = {"slope": own.negative_slope}
        else:
            continue
        found |= {f"layers.{i}.{name}": value for name, value in constants.items()}
    return found
