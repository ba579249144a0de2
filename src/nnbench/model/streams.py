"""Named random streams: every random number of a run comes from (seed, name, ...), nothing global.

Two runs that share a seed share each stream, whatever backend, batch size or execution they use,
and drawing more from one stream never moves another.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of the stream called `names` under `seed`."""
    key = tuple(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def order(seed: int, epoch: int, n: int, *, shuffle: bool = True) -> NDArray[np.int64]:
    """Return the order `(n,)` in which `epoch` visits the training samples.

    It depends on (seed, epoch, n) alone; without `shuffle` it is 0, 1, ..., n-1.
    """
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return generator(seed, "order", epoch).permutation(n).astype(np.int64)
