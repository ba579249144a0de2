"""What is random within a step, in torch: dropout and augmentation, by `nnbench.model.counter`.

Words are int32 here: multiplication wraps, and a shift to the right has to be masked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnbench.model import counter
from nnbench.model.layers import Augment, Dropout


def _shifted(h: Tensor, by: int) -> Tensor:
    return (h >> by) & (2 ** (32 - by) - 1)


def _bits(index: Tensor, key: Tensor) -> Tensor:
    """Return the 24 random bits of each `index`."""
    words = counter.bits(index, key, _shifted, counter.signed)
    return _shifted(words, 32 - counter.FRACTION_BITS)


class Random(nn.Module):
    """A module that draws; `key`, two words as int32, is set before every training step.

    A buffer, so that a compiled step sees an input and not a constant.
    """

    key: Tensor
    index: Tensor | None = None  # 0, 1, 2, ... up to the most that was drawn at once

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros(2, dtype=torch.int32), persistent=False)

    def bits(self, shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
        """Return the 24 random bits of each value of an array of `shape`, canonical order."""
        count = math.prod(shape)
        if self.index is None or len(self.index) < count:
            self.index = torch.arange(count, dtype=torch.int32, device=device)
        return _bits(self.index[:count], self.key).view(shape)


class CounterDropout(Random):
    """The spec's dropout: the values that the key drops are 0, the others are scaled up.

    In evaluation `evaluation_key` is what drops, if anything is; the first sample is number `row`.
    """

    evaluation_key: Tensor
    row: int

    def __init__(self, layer: Dropout) -> None:
        super().__init__()
        self.in_evaluation = layer.in_evaluation
        self.threshold = counter.threshold(layer.rate)
        self.factor = 1.0 / (1.0 - layer.rate)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some values dropped; in evaluation x, unless the layer drops there, too."""
        if not (self.training or self.in_evaluation):
            return x
        images = x.dim() == 4  # in torch's order of axes: drawn in the canonical one
        shape = x.permute(0, 2, 3, 1).shape if images else x.shape
        bits = self.bits(shape, x.device) if self.training else self._evaluated(shape, x.device)
        kept = bits >= self.threshold
        kept = kept.permute(0, 3, 1, 2) if images else kept
        return x * (kept * torch.full((), self.factor, dtype=x.dtype, device=x.device))

    def _evaluated(self, shape: torch.Size, device: torch.device) -> Tensor:
        """Return the bits of evaluation; made anew, for what inference makes cannot train."""
        first = counter.signed(self.row * math.prod(shape[1:]) % 2**32)
        index = torch.arange(math.prod(shape), dtype=torch.int32, device=device) + first
        return _bits(index, self.evaluation_key.to(device)).view(shape)


def begin_at(row: int, layers: Iterable[nn.Module], seed: int) -> None:
    """Let evaluation begin at sample `row` of its split."""
    for i, module in enumerate(layers):
        if isinstance(module, CounterDropout) and module.in_evaluation:
            words = counter.evaluation_key(seed, i)
            module.evaluation_key, module.row = torch.from_numpy(words.view(np.int32)), row


class RandomAugment(Random):
    """The spec's augmentation of images in canonical order."""

    def __init__(self, augment: Augment) -> None:
        super().__init__()
        self.augment = augment

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs `(batch, ...)`, which are images; in training moved and mirrored."""
        if not self.training:
            return inputs
        images = inputs.view(len(inputs), *self.augment.image)
        n, rows, columns, _ = images.shape
        s, device = self.augment.shift, images.device
        numbers = self.bits((n, 3), device)
        places = (torch.arange(length, device=device) for length in (rows, columns))
        row, column = self.augment.sources(numbers, *places)
        padded = functional.pad(images, (0, 0, s, s, s, s))
        image = torch.arange(n, device=device)[:, None, None]
        return padded[image, row[:, :, None], column[:, None, :]].view(inputs.shape)
