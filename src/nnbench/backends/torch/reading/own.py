"""Steps of a program's own objects: its model, loss and optimizer, as a plain loop takes them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from nnbench.backends.program import Batch, one_hot
from nnbench.backends.protocol import DType, Params
from nnbench.backends.torch.reading.chain import Order
from nnbench.backends.torch.reading.dropping import DROPOUTS, drops
from nnbench.backends.torch.reading.program import Program, own_inputs
from nnbench.backends.torch.reading.whole import Whole, about_of, present, take_apart
from nnbench.errors import UnsupportedSpec
from nnbench.model import counter
from nnbench.model.reading import Reading
from nnbench.model.schedule import Cosine, Listed, OneCycle, Plateau


def seed(number: int) -> None:
    """Seed what torch draws from."""
    torch.manual_seed(number)


def copied(built: Any) -> Any:
    """Return copies of the objects, which belong to each other as they do."""
    return copy.deepcopy(built)


def steps(built: Any, reading: Reading, batches: Iterable[Batch], dtype: DType) -> Iterator[Params]:
    """Take a step per batch with the program's own objects, in `dtype`; yield the weights.

    Dropout drops what nnbench draws. Raises UnsupportedSpec where the program cannot be cast.
    Changes the objects.
    """
    whole = take_apart(built, about_of(reading))
    parts = whole.parts
    cast(parts, getattr(torch, dtype))
    parts.model.train()
    outputs = reading.architecture().output_shape()[-1]
    each_step = isinstance(reading.schedule, Cosine | OneCycle | Listed)
    watches = isinstance(reading.schedule, Plateau)  # has no figure to watch here
    dropping = Dropping(whole.chain.masks)
    for batch in batches:
        inputs = own_inputs(whole.takes, batch.inputs)
        targets = _targets(whole, batch, outputs, dtype)
        parts.optimizer.zero_grad()
        try:
            with dropping.drawn_by(batch.keys):
                parts.loss(parts.model(inputs), targets).backward()
        except RuntimeError as error:
            said = str(error).partition("\n")[0]
            if dtype == "float64" and re.search("dtype|float|double", said, re.IGNORECASE):
                raise UnsupportedSpec(f"it does not compute in {dtype} ({said})") from None
            raise
        parts.optimizer.step()
        if parts.scheduler is not None and (each_step or (batch.ends_epoch and not watches)):
            parts.scheduler.step()
        yield present(whole)


def _targets(whole: Whole, batch: Batch, outputs: int, dtype: DType) -> torch.Tensor:
    """Return the batch's targets as the loss takes them."""
    targets = batch.targets
    if targets.dtype != np.int64:
        targets = targets.astype(dtype).reshape(len(targets), *whole.targets.shape[1:])
    elif whole.targets.dim() == 2:
        targets = one_hot(targets, outputs, dtype)
    return torch.from_numpy(np.ascontiguousarray(targets))


def cast(parts: Program, dtype: torch.dtype) -> None:
    """Have the model, the loss's constants and the optimizer's state in `dtype`."""
    parts.model.to(dtype)
    if isinstance(parts.loss, nn.Module):
        parts.loss.to(dtype)
    for group in parts.optimizer.param_groups:
        for parameter in group["params"]:
            state = parts.optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    state[name] = value.to(dtype)
            if isinstance(parts.optimizer, torch.optim.Adagrad) and "sum" in state:
                # as its constructor fills it, and not that number in another precision
                state["sum"] = torch.full_like(parameter, group["initial_accumulator_value"])


class Dropping(TorchFunctionMode):
    """Has dropout, wherever the program calls it, drop what nnbench draws for its layer.

    `masks`: by the position of the layer, in the order of the calls, the order of its values.
    """

    def __init__(self, masks: Mapping[int, Order]) -> None:
        super().__init__()
        self.masks = masks
        self.keys: Mapping[int, Any] = {}
        self.left: list[int] = []

    def drawn_by(self, keys: Mapping[int, Any]) -> Dropping:
        """Return the mode for one step with these keys."""
        self.keys, self.left = keys, list(self.masks)
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was called, dropout excepted."""
        kwargs = kwargs or {}
        if func not in DROPOUTS or not drops(args, kwargs):
            return func(*args, **kwargs)
        position = self.left.pop(0)
        x = args[0] if args else kwargs["input"]
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        order = self.masks[position]
        key = np.asarray(self.keys[position], np.uint32)
        index = np.arange(len(x) * order.size, dtype=np.uint32)
        bits = counter.shifted(counter.bits(index, key), 32 - counter.FRACTION_BITS)
        kept = (bits >= counter.threshold(rate)).reshape(len(x), order.size)[:, order]
        return x * (torch.from_numpy(kept).to(x.dtype) / (1.0 - rate))
