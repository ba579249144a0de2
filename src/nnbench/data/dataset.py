"""Splits and data sets: arrays with their digests, ready for any backend."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.schema.deferred import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ArraySpec:
    """Shape (without the sample axis) and dtype of inputs or targets as stored.

    Inputs of dtype `uint8` are multiplied by `scale` after conversion to the task's dtype; the
    product, not a quotient, so that every framework rounds alike. `standard`: mean and deviation
    by which 8-bit images were standardised, None where they were not.
    """

    shape: Shape
    dtype: str
    scale: float = 1.0
    standard: tuple[float, float] | None = None


@dataclass(frozen=True)
class Split:
    """One split, read-only.

    `inputs` `(n, *shape)`: uint8, float64, or int64 for tokens. `targets`: int64 labels `(n,)` or
    float64 `(n, outputs)`. `pixels`: the 8-bit images that standardised `inputs` were made from.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    pixels: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for array in (self.inputs, self.targets):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, n: int | None) -> Split:
        """Return the first `n` samples as a view; all of them for None."""
        if n is None:
            return self
        pixels = None if self.pixels is None else self.pixels[:n]
        return Split(self.inputs[:n], self.targets[:n], pixels)

    def digest(self) -> str:
        """Return the SHA-256 over shapes, dtypes and bytes of inputs and targets."""
        sha = hashlib.sha256()
        for array in (self.inputs, self.targets):
            sha.update(f"{array.shape}{array.dtype}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Named splits (`train`, `test`, `val` where asked for) and what a net needs to fit them.

    `target_scale` has the `mean` and `deviation` of each output where targets were standardized.
    `samples` are the sizes of the splits, which an outline without splits has too. `outputs` is
    the number of logits. `payload_digest` identifies the data set as published, before any split.
    `guessed` is how a file was understood where nobody said; `data.reading` makes sentences of it.
    """

    name: str
    splits: dict[str, Split]
    samples: dict[str, int]
    inputs: ArraySpec
    targets: ArraySpec
    outputs: int
    payload_digest: str
    guessed: dict[str, Any] = field(default_factory=dict)
    target_scale: dict[str, list[float]] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Return the digest of every split by name."""
        return {name: split.digest() for name, split in self.splits.items()}
