"""Where a net's weights were, by a sample that is the same for all runs.

After the first steps and after each epoch up to SAMPLED values of each parameter are kept, so
that runs can be compared along the way without keeping their weights. Small parameters are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import ResultsError
from nnbench.model.init import Params
from nnbench.model.network import ParamKey
from nnbench.model.streams import generator
from nnbench.records.files import write_arrays
from nnbench.schema import files
from nnbench.schema.archives import arrays as arrays_of
from nnbench.schema.deferred import dataclass

TRAJECTORY_NAME = "trajectory.npz"
SAMPLED = 512
FIRST = "first/"
FIRST_STEPS = f"{FIRST}steps"


@dataclass(frozen=True)
class Trajectory:
    """Samples after each epoch, and `first`: after so many of the run's first steps."""

    epochs: Sequence[Params]
    first: Mapping[int, Params] = field(default_factory=dict)


def sample(params: Params) -> Params:
    """Return the sampled values of every parameter, each `(k,)`."""
    return {key: value.ravel()[_positions(key, value.size)] for key, value in params.items()}


def _positions(key: ParamKey, size: int) -> slice | np.ndarray:
    if size <= SAMPLED:
        return slice(None)
    rng = generator(0, "trajectory", key.layer, key.role)
    return np.sort(rng.choice(size, SAMPLED, replace=False))


def save(path: Path, found: Trajectory) -> None:
    """Write arrays `(epochs, k)` by key, and `(steps, k)` of the first steps."""
    arrays = _stacked(found.epochs)
    if found.first:
        first = _stacked(list(found.first.values()))
        arrays |= {f"{FIRST}{key}": value for key, value in first.items()}
        arrays[FIRST_STEPS] = np.asarray(list(found.first))
    write_arrays(path, arrays)


def load(directory: Path) -> Trajectory:
    """Read the samples of a run. Raises ResultsError where there are none that can be read."""
    path = directory / TRAJECTORY_NAME
    try:
        arrays = arrays_of(path)
        steps = arrays.pop(FIRST_STEPS, np.zeros(0, np.int64))
        if steps.ndim != 1 or steps.dtype.kind not in "iu":
            raise files.Damage("its first steps are no list of whole numbers")
        first = _taken_apart(
            {k.removeprefix(FIRST): v for k, v in arrays.items() if k.startswith(FIRST)}
        )
        if len(first) != len(steps):
            raise files.Damage(f"it has {len(first):,} samples of {len(steps):,} first steps")
        epochs = _taken_apart({k: v for k, v in arrays.items() if not k.startswith(FIRST)})
        return Trajectory(epochs, dict(zip(map(int, steps), first, strict=True)))
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(
            f"{path} is damaged ({files.reason(error)}); delete its folder and run it again."
        ) from None


def _stacked(samples: Sequence[Params]) -> dict[str, NDArray[np.floating]]:
    return {str(key): np.stack([each[key] for each in samples]) for key in samples[0]}


class _Points(Sequence[Params]):
    """What `_stacked` was given, a sample at a time: a small file may have millions."""

    def __init__(self, keyed: Params) -> None:
        self._keyed = keyed

    def __len__(self) -> int:
        return min(map(len, self._keyed.values()), default=0)

    @overload
    def __getitem__(self, index: int) -> Params: ...
    @overload
    def __getitem__(self, index: slice) -> list[Params]: ...
    def __getitem__(self, index: int | slice) -> Params | list[Params]:
        at = range(len(self))[index]
        if isinstance(at, range):
            return [self[i] for i in at]
        return {key: array[at] for key, array in self._keyed.items()}


def _taken_apart(arrays: Mapping[str, NDArray[np.floating]]) -> Sequence[Params]:
    """Return what `_stacked` was given."""
    if any(array.ndim != 2 or not array.shape[1] for array in arrays.values()):
        raise files.Damage("it has no list of values for a parameter")
    if len({len(array) for array in arrays.values()}) > 1:
        raise files.Damage("its arrays are of several lengths")
    return _Points({ParamKey.parse(name): array for name, array in arrays.items()})
