"""What a framework's room offers to read programs of users' own; each is a package `reading`.

A program is what its `build()` returned: for PyTorch `(model, optimizer, loss)` and perhaps a
scheduler, for Keras a compiled model.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import DType, Params
from nnbench.data.dataset import ArraySpec
from nnbench.model.counter import Words
from nnbench.model.losses import TaskKind
from nnbench.model.reading import Reading
from nnbench.schema.deferred import dataclass

ROOMS = {"torch": "nnbench.backends.torch.reading", "keras": "nnbench.backends.keras.reading"}
LARGEST_BYTES = 2**30  # of a program's weights


@dataclass(frozen=True)
class About:
    """What is said to a program that is read.

    `sample` has a few training inputs `(n, *inputs.shape)` as floats, tokens as int64; `outputs` is
    the number of classes or of regression targets. `file` is None for objects without a source.
    """

    kind: TaskKind
    inputs: ArraySpec
    sample: NDArray[Any]
    outputs: int
    epochs: int
    steps: int
    file: str | None = None


@dataclass(frozen=True)
class Batch:
    """One step's samples: `inputs` `(n, *data shape)`, `targets` int64 `(n,)` or `(n, outputs)`.

    `keys` are those of what nnbench draws in this step, by the position of the layer. `ends_epoch`
    tells when a scheduler that counts epochs is stepped.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    keys: Mapping[int, Words]
    ends_epoch: bool = False


class Room(Protocol):
    """The functions of a package `reading`."""

    def recording(self, file: str) -> AbstractContextManager[None]:
        """Note, while a program builds, which lines of `file` make its parts."""

    def seed(self, number: int) -> None:
        """Seed what the framework draws from."""

    def copied(self, built: Any) -> Any:
        """Return a copy, so that the caller's own objects stay as they are."""

    def read(self, built: Any, about: About) -> Reading:
        """Return what a program trains. Raises ConfigError for what cannot be trained at all."""

    def weights(self, built: Any, reading: Reading) -> Params:
        """Return its present weights in nnbench's layout."""

    def steps(
        self, built: Any, reading: Reading, batches: Iterable[Batch], dtype: DType
    ) -> Iterator[Params]:
        """Take a step per batch with the program's own objects, in `dtype`; yield the weights.

        Raises UnsupportedSpec where it cannot be cast. Changes the objects.
        """


def one_hot(labels: NDArray[np.int64], classes: int, dtype: DType) -> NDArray[Any]:
    """Return rows of zeros with a one at the label."""
    return np.eye(classes, dtype=dtype)[labels]


def sample_size(outputs: int) -> int:
    """Return how many samples a program is tried with; not as many as it has outputs."""
    return 3 if outputs != 3 else 4


def framework_of(built: Any) -> str | None:
    """Return whose objects these are, by their classes; nothing is imported."""
    parts = built if isinstance(built, tuple | list) else (built,)
    found = {c.__module__.partition(".")[0] for part in parts for c in type(part).__mro__}
    return next((name for name in ("keras", "torch") if name in found), None)


def room_of(framework: str) -> Any:
    """Return the package that reads programs of `framework`."""
    return importlib.import_module(ROOMS[framework])
