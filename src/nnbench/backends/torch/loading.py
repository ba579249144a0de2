"""Batches from PyTorch's own DataLoader: over arrays, or over images one by one (`per_sample`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nnbench.backends.protocol import Task, Walk
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec

Batches = Iterable[tuple[Tensor, Tensor]]


def loader(data: Dataset[Any], task: Task, walk: Walk, generator: torch.Generator) -> Batches:
    """Return a DataLoader in the walk's order, or shuffling where it leaves the order open."""
    found: Batches = DataLoader(
        data,
        batch_size=task.batch_size,
        shuffle=walk.order is None,
        sampler=None if walk.order is None else walk.order.tolist(),
        generator=generator,
        drop_last=task.drop_last,
    )
    return found


def in_order(data: Dataset[Any], task: Task) -> Batches:
    """Return a DataLoader for evaluation."""
    found: Batches = DataLoader(data, batch_size=task.batch_size)
    return found


class Images(Dataset[tuple[Tensor, Any]]):
    """Images of 8 bits, each made a PIL image and transformed when it is asked for.

    What torchvision.datasets.MNIST does with the transforms ToTensor, Normalize (where the data is
    standardised) and, for nets that take flat inputs, a flattening Lambda: the same calls of PIL,
    NumPy and torch for each image, written out here, for torchvision itself is not needed.
    Source: torchvision 0.2x, datasets/mnist.py and transforms/functional.py.
    """

    def __init__(self, task: Task, split: Split, targets: NDArray[Any]) -> None:
        pixels = split.inputs if split.pixels is None else split.pixels
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
            raise UnsupportedSpec(
                "Received input=per_sample; it reads images of 8 bits, the data has "
                f"{pixels.dtype} of shape {pixels.shape[1:]}. Use input=native."
            )
        self._data, self._targets = (torch.tensor(a) for a in (pixels, targets))
        self._scale, self._standard = task.inputs.scale, task.inputs.standard
        self._dtype = getattr(torch, task.dtype)
        self._shape = task.architecture.input_shape

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        from PIL import Image

        image, target = self._data[index], self._targets[index]
        target = int(target) if target.dim() == 0 else target
        tensor = self._to_tensor(Image.fromarray(image.numpy()))
        if self._standard is not None:
            tensor = self._normalized(tensor)
        if len(self._shape) == 1:
            return tensor.view(-1), target
        return tensor.permute(1, 2, 0).view(self._shape), target

    def _to_tensor(self, picture: Any) -> Tensor:
        """Do as ToTensor does, except that it multiplies by `scale`, as every backend does."""
        image = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        image = image.view(picture.size[1], picture.size[0], len(picture.getbands()))
        image = image.permute((2, 0, 1)).contiguous().to(dtype=self._dtype)
        return image if self._standard is not None else image.mul(self._scale)

    def _normalized(self, tensor: Tensor) -> Tensor:
        """Do as Normalize does, with mean and deviation of the pixels."""
        assert self._standard is not None
        tensor = tensor.clone()
        mean, deviation = (torch.as_tensor([v], dtype=self._dtype) for v in self._standard)
        if (deviation == 0).any():
            raise ValueError("The standard deviation is 0.")
        return tensor.sub_(mean.view(-1, 1, 1)).div_(deviation.view(-1, 1, 1))
