"""Counter-based random numbers: what a step draws is a function of where it is, not of the past.

Dropout and augmentation take the bits of (seed, step, stream, index), by integer operations that
NumPy, torch and Keras all have: every backend, execution and device drops the same values, and
resuming needs no generator's state.

1. A key of two words for each (seed, step, stream): Threefry-2x32 of 20 rounds (Salmon, Moraes,
   Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), once per step, by NumPy.
2. The bits of value `i` (its position in the batch, canonical layout): `mix(mix(i + k0) ^ k1)`
   with `mix` the 32-bit finalizer of MurmurHash3 (Appleby 2011), on the backend's own arrays.

Steps count from the start of the run, so that the epoch need not be part of the key; `stream` is
the layer's position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

AUGMENT_STREAM = 0xFFFF  # of no layer
EVALUATION_STEP = 2**32 - 1  # of no training step
FRACTION_BITS = 24  # a uniform number is its bits without the lowest 8, over 2**24
MIX = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))  # (shift, factor) of the two rounds; then a shift of 16

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def keys(seed: int, first_step: int, steps: int, stream: int) -> Words:
    """Return the keys `(steps, 2)` of `stream` for consecutive steps."""
    counter = np.empty((steps, 2), np.uint32)
    counter[:, 0] = (first_step + np.arange(steps)) % 2**32
    counter[:, 1] = stream
    return threefry(np.array([seed % 2**32, (seed >> 32) % 2**32], np.uint32), counter)


def evaluation_key(seed: int, stream: int) -> Words:
    """Return the key `(2,)` of what `stream` draws in evaluation, the same each time.

    Values count from the first sample of the split, so that it may be computed in any parts.
    """
    return keys(seed, EVALUATION_STEP, 1, stream)[0]


def threefry(key: Words, counter: Words) -> Words:
    """Return Threefry-2x32-20 of `counter` `(..., 2)` under `key` `(2,)`."""
    words = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(_PARITY))
    x, y = counter[..., 0] + words[0], counter[..., 1] + words[1]
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x = x + y
            y = (y << np.uint32(rotation) | y >> np.uint32(32 - rotation)) ^ x
        x = x + words[(block + 1) % 3]
        y = y + words[(block + 2) % 3] + np.uint32(block + 1)
    return np.stack([x, y], axis=-1)


def signed(word: int) -> int:
    """Return the int32 with the bits of `word`, for frameworks that lack unsigned words."""
    return word - 2**32 if word >= 2**31 else word


def shifted(h: Any, by: int) -> Any:
    """Return the words `h` (uint32, NumPy or CuPy) moved right by `by` bits."""
    return h >> np.uint32(by)


def mix(h: Any, shifted: Callable[[Any, int], Any] = shifted, word: Any = np.uint32) -> Any:
    """Return MurmurHash3's finalizer of the words `h`; the other arguments as in `bits`."""
    for shift, factor in MIX:
        h = (h ^ shifted(h, shift)) * word(factor)
    return h ^ shifted(h, 16)


def bits(
    index: Any, key: Any, shifted: Callable[[Any, int], Any] = shifted, word: Any = np.uint32
) -> Any:
    """Return the 32 random bits of each `index` under `key` `(2,)`.

    Words are uint32, NumPy's or CuPy's. For those of another framework `shifted` moves words to
    the right, zeros coming in, and `word` makes one from an integer.
    """
    return mix(mix(index + key[0], shifted, word) ^ key[1], shifted, word)


def threshold(rate: float) -> int:
    """Return what a 24-bit number must reach to be kept where `rate` of them are dropped."""
    return round(rate * 2**FRACTION_BITS)
