"""What is random within a step, in keras.ops: dropout and augmentation, by `nnbench.model.counter`.

Words are int32 here: multiplication wraps, and a shift to the right has to be masked.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from nnbench.model import counter
from nnbench.model.layers import Augment, Dropout


def _shifted(h: Any, by: int) -> Any:
    return ops.bitwise_and(ops.right_shift(h, _word(by)), _word(2 ** (32 - by) - 1))


def _word(value: int) -> Any:
    return ops.convert_to_tensor(counter.signed(value), dtype="int32")


class Random(keras.layers.Layer):
    """A layer that draws; `key` is set before every training step."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.key = self.add_weight(shape=(2,), dtype="int32", initializer="zeros", trainable=False)

    def bits(self, x: Any, per_sample: int, key: Any = None, row: Any = None) -> Any:
        """Return the 24 random bits of `(batch, per_sample)` values for the samples of x.

        By `key` instead of the layer's own, values counted from those of sample `row`.
        """
        index = ops.arange(ops.shape(x)[0] * per_sample, dtype="int32")
        index = index if row is None else index + row * _word(per_sample)
        words = counter.bits(index, self.key if key is None else key, _shifted, _word)
        return ops.reshape(_shifted(words, 32 - counter.FRACTION_BITS), (-1, per_sample))


class CounterDropout(Random):
    """The spec's dropout: the values that the key drops are 0, the others are scaled up.

    Where it drops in evaluation, too, it has the variables `evaluation_key` and `row`, the number
    of the first sample, which whoever evaluates puts back to 0.
    """

    def __init__(self, layer: Dropout, dtype: str) -> None:
        super().__init__(dtype)
        self.in_evaluation = layer.in_evaluation
        if self.in_evaluation:
            given = {"dtype": "int32", "initializer": "zeros", "trainable": False}
            self.evaluation_key = self.add_weight(shape=(2,), **given)
            self.row = self.add_weight(shape=(), **given)
        self.threshold = counter.threshold(layer.rate)
        self.factor = 1.0 / (1.0 - layer.rate)

    def call(self, x: Any, training: bool = False) -> Any:
        """Return x with some values dropped; in evaluation x, unless it drops there, too."""
        if not (training or self.in_evaluation):
            return x
        own = () if training else (self.evaluation_key, self.row)
        bits = self.bits(x, math.prod(x.shape[1:]), *own)
        kept = ops.reshape(ops.greater_equal(bits, _word(self.threshold)), ops.shape(x))
        factor = ops.convert_to_tensor(self.factor, dtype=x.dtype)
        return x * (ops.cast(kept, x.dtype) * factor)


class RandomAugment(Random):
    """The spec's augmentation of images."""

    def __init__(self, augment: Augment, dtype: str) -> None:
        super().__init__(dtype)
        self.augment = augment

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return inputs `(batch, ...)`, which are images; in training moved and mirrored."""
        if not training:
            return inputs
        rows, columns, channels = self.augment.image
        s = self.augment.shift
        height, width = rows + 2 * s, columns + 2 * s
        images = ops.reshape(inputs, (-1, rows, columns, channels))
        numbers = self.bits(images, 3)
        places = (ops.arange(length, dtype="int32") for length in (rows, columns))
        row, column = self.augment.sources(numbers, *places)
        pixels = row[:, :, None] * width + column[:, None, :]
        padded = ops.pad(images, ((0, 0), (s, s), (s, s), (0, 0)))
        flat = ops.reshape(padded, (-1, height * width, channels))
        pixels = ops.reshape(pixels, (-1, rows * columns, 1))
        moved = ops.take_along_axis(flat, pixels, axis=1)
        return ops.reshape(moved, (-1, *inputs.shape[1:]))
