"""What `build()` returned for PyTorch, checked, and how its model takes the data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nnbench.backends.program import LARGEST_BYTES, About
from nnbench.backends.torch.reading.chain import Chain, channels_first, natural
from nnbench.errors import ConfigError
from nnbench.model.layers import Shape, flat_length
from nnbench.model.reading import Takes

RETURNS = "build() must return (model, optimizer, loss), perhaps with a scheduler as a fourth"


class Program(NamedTuple):
    """A user's own objects."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Any
    scheduler: Any = None


def program(built: Any) -> Program:
    """Return the objects of `built`. Raises ConfigError where they are something else."""
    if not isinstance(built, tuple | list) or len(built) not in (3, 4):
        many = f" of {len(built)}" if isinstance(built, tuple | list) else ""
        raise ConfigError(f"build() returned {type(built).__name__}{many}; {RETURNS}.")
    found = Program(*built)
    if not isinstance(found.model, nn.Module):
        raise ConfigError(f"build() returned {_kind(found.model)} as the model; {RETURNS}.")
    if not isinstance(found.optimizer, torch.optim.Optimizer):
        raise ConfigError(f"build() returned {_kind(found.optimizer)} as the optimizer; {RETURNS}.")
    if not callable(found.loss):
        raise ConfigError(f"build() returned {_kind(found.loss)} as the loss; {RETURNS}.")
    if found.scheduler is not None and not hasattr(found.scheduler, "step"):
        raise ConfigError(f"build() returned {_kind(found.scheduler)} as scheduler; {RETURNS}.")
    inner = getattr(found.model, "_orig_mod", found.model)  # of torch.compile
    return found._replace(model=inner)


def _kind(thing: Any) -> str:
    return type(thing).__name__


def check(found: Program) -> None:
    """Raise ConfigError for objects that cannot be trained here, whatever they compute."""
    tensors = [*found.model.parameters(), *found.model.buffers()]
    if not list(found.model.parameters()):
        raise ConfigError("The model has no parameters; there is nothing to train.")
    if away := {str(t.device) for t in tensors if t.device.type != "cpu"}:
        raise ConfigError(
            f"The model is on {', '.join(sorted(away))}; nnbench reads programs on the CPU: leave "
            ".to(device) out of build()."
        )
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()}
    if kinds - {"float32", "float64"} or len(kinds) > 1:
        raise ConfigError(
            f"The model has {' and '.join(sorted(kinds))} parameters; must be all float32 or all "
            "float64."
        )
    size = sum(t.numel() * t.element_size() for t in tensors)
    if size > LARGEST_BYTES:
        raise ConfigError(
            f"The model has {size / 2**30:.1f} GiB of weights; must be at most "
            f"{LARGEST_BYTES // 2**30} GiB: build it smaller."
        )
    own = {id(p) for p in found.model.parameters()}
    held = [p for group in found.optimizer.param_groups for p in group["params"]]
    if not any(id(p) in own for p in held):
        raise ConfigError(
            "The optimizer holds none of the model's parameters, those of another model perhaps; "
            "give it model.parameters()."
        )


def images(shape: Shape) -> Shape | None:
    """Return what images data of `shape` are, channels last; None for none."""
    if len(shape) == 2:
        return (*shape, 1)
    if len(shape) == 3:
        return shape
    for channels in (1, 3):
        side = math.isqrt(shape[0] // channels) if len(shape) == 1 else 0
        if side > 1 and side * side * channels == shape[0]:
            return (side, side, channels)
    return None


def ways(about: About) -> Iterator[Takes]:
    """Yield how a model may take the data, the likeliest first."""
    if about.inputs.dtype == "int64":
        yield "tokens"
        return
    flat, has = len(about.inputs.shape) == 1, images(about.inputs.shape) is not None
    if flat:
        yield "flat"
    if has:
        yield from ("channels_first", "no_channels", "channels_last")
    if not flat:
        yield "flat"


def own_inputs(takes: Takes, inputs: NDArray[Any]) -> torch.Tensor:
    """Return inputs `(n, *data shape)` as the model takes them."""
    n = len(inputs)
    if takes == "tokens":
        return torch.from_numpy(np.ascontiguousarray(inputs))
    if takes == "flat":
        return torch.from_numpy(np.ascontiguousarray(inputs.reshape(n, -1)))
    shape = images(inputs.shape[1:])
    assert shape is not None
    pictures = inputs.reshape(n, *shape)
    if takes == "no_channels":
        pictures = pictures[..., 0]
    elif takes == "channels_first":
        pictures = pictures.transpose(0, 3, 1, 2)
    return torch.from_numpy(pictures.copy())  # with the strides of its own order of axes


def first_chain(takes: Takes, data: Shape) -> Chain:
    """Return the chain of nothing yet."""
    if takes in ("flat", "tokens"):
        size = flat_length(data)
        return Chain((size,), np.arange(size))
    shape = images(data)
    assert shape is not None
    if takes == "channels_first":
        return Chain(shape, channels_first(shape))
    return Chain(shape, natural(shape[:2] if takes == "no_channels" else shape))


def fitting(model: nn.Module, about: About, dtype: torch.dtype) -> tuple[Takes, torch.Tensor]:
    """Return how the model takes the data, and its outputs for the sample.

    Raises ConfigError, with what the model says, where it takes them in no way.
    """
    said, met = "", list[tuple[int, ...]]()
    model.eval()
    for takes in ways(about):
        inputs = own_inputs(takes, about.sample)
        inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
        if takes == "no_channels" and (images(about.inputs.shape) or (0, 0, 1))[2] != 1:
            continue
        try:
            with torch.no_grad():
                outputs = model(inputs)
        except Exception as error:  # a user's code may fail in any way
            if not said or "conv2d" in said:  # which wants images: what it says of them
                said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        if not isinstance(outputs, torch.Tensor):
            raise ConfigError(
                f"The model returns {type(outputs).__name__}; must return one tensor, its outputs."
            )
        shape = tuple(outputs.shape)
        n = len(about.sample)
        if shape == (n, about.outputs) or (shape == (n,) and about.outputs == 1):
            return takes, outputs
        met.append(shape)
    wanted = f"({len(about.sample)}, {about.outputs})"
    data = f"{len(about.sample)} samples of shape {about.inputs.shape}"
    if met:
        raise ConfigError(
            f"The model returns {met[0]} for {data}, where the data has {about.outputs} outputs, "
            f"{wanted}; the net and data= do not fit."
        )
    raise ConfigError(f"The model does not take {data}: {said}; set data= to what it takes.")
