"""What is random within a step: dropout and augmentation, by `nnbench.model.counter`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from nnbench.backends.numpy.layers import Array, Layer, counting
from nnbench.model import counter, layers
from nnbench.model.counter import Words


def random_bits(like: Array, shape: tuple[int, ...], key: Words, row: int = 0) -> Array:
    """Return the 24 random bits of each value of an array of `shape`, as uint32.

    Values are counted from that of sample `row`.
    """
    first = np.uint32(row * math.prod(shape[1:]) % 2**32)
    bits = counter.bits(counting(like, math.prod(shape)) + first, key).reshape(shape)
    return counter.shifted(bits, 32 - counter.FRACTION_BITS)


class Dropout(Layer):
    """`y = x / (1 - rate)` where kept, 0 where dropped; evaluation passes x on, or drops, too.

    The one layer that remembers: `factor`, what the forward pass multiplied by. `turn`: the order
    in which it is given the samples of a batch, whose values are drawn in theirs.
    """

    turn = slice(None)

    def forward_training(self, x: Array, key: Words | None) -> Array:
        """Return x with the values that `key` drops set to 0."""
        self.factor = self._factor(x, key, 0, self.turn)
        return x * self.factor

    def forward_evaluation(self, x: Array, key: Words | None, row: int) -> Array:
        """Return x, with values set to 0 where the layer drops in evaluation."""
        return x * self._factor(x, key, row) if self.spec.in_evaluation else x

    def _factor(self, x: Array, key: Words | None, row: int, turn: Any = slice(None)) -> Array:
        """Return 0 for the values that `key` drops, `1 / (1 - rate)` for the others."""
        assert key is not None
        bits = random_bits(x, x.shape, key, row)[turn]
        kept = bits >= np.uint32(counter.threshold(self.spec.rate))
        return kept * x.dtype.type(1.0 / (1.0 - self.spec.rate))

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy times what x was multiplied by."""
        return dy * self.factor


def augmented(spec: layers.Augment, inputs: Array, key: Words) -> Array:
    """Return inputs `(batch, ...)`, which are images, moved and mirrored as `key` says."""
    images = inputs.reshape(len(inputs), *spec.image)
    n, rows, columns, _ = images.shape
    s = spec.shift
    numbers = random_bits(images, (n, 3), key)
    row, column = spec.sources(numbers, counting(images, rows), counting(images, columns))
    padded = np.pad(images, ((0, 0), (s, s), (s, s), (0, 0)))
    image = counting(images, n)[:, None, None]
    return padded[image, row[:, :, None], column[:, None, :]].reshape(inputs.shape)


def generator_state(rng: np.random.Generator) -> Array:
    """Return the state of a PCG64 generator as bytes."""
    return np.frombuffer(json.dumps(rng.bit_generator.state).encode(), np.uint8).copy()


def restore_generator(rng: np.random.Generator, state: Array) -> None:
    """Have a generator go on from such a state."""
    rng.bit_generator.state = json.loads(state.tobytes())
