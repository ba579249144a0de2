"""The batches of a walk: views of gathered samples, or from a DataLoader; one step's at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from nnbench.backends.protocol import Task, Walk
from nnbench.backends.torch import loading

GATHER_BYTES = 64 * 2**20
Batch = tuple[Tensor, Tensor]  # inputs and targets


class Data(NamedTuple):
    """The training split on the device, and what draws the order that a walk leaves open."""

    inputs: Tensor
    targets: Tensor
    generator: torch.Generator


def gathered(task: Task, walk: Walk, data: Data) -> Iterator[Batch]:
    """Yield the walk's batches as views of chunks of at most about `GATHER_BYTES`."""
    inputs, size = data.inputs, task.batch_size
    row_bytes = inputs[0].numel() * inputs.element_size()
    chunk = max(1, GATHER_BYTES // (row_bytes * size)) * size
    order = (
        torch.randperm(walk.samples, generator=data.generator)
        if walk.order is None
        else torch.from_numpy(walk.order)
    )
    order = order[: task.visited(len(order))]
    for part in order.to(inputs.device).split(chunk):
        batches = inputs.index_select(0, part), data.targets.index_select(0, part)
        yield from zip(*(array.split(size) for array in batches), strict=True)


def loaded(task: Task, walk: Walk, data: Data) -> Iterable[Batch]:
    """Return a DataLoader in the walk's order, or shuffling where it leaves the order open."""
    rows = slice(None if walk.order is not None else walk.samples)
    split = TensorDataset(data.inputs[rows], data.targets[rows])
    return loading.loader(split, task, walk, data.generator)


def in_steps(batches: Iterable[Batch], count: int) -> Iterator[list[Batch]]:
    """Yield `count` batches at a time, fewer at the end."""
    left = iter(batches)
    while step := list(islice(left, count)):
        yield step
