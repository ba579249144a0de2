"""Where a net's weights were, by a sample that is the same for all runs.

After the first steps and after each epoch up to SAMPLED values of each parameter are kept, so
that runs can be compared along the way without keeping their weights. Small parameters are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import ResultsError
from nnbench.model.init import Params
from nnbench.model.network import ParamKey
from nnbench.model.streams import generator
from nnbench.records.files import write_arrays
from nnbench.schema import files

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
        arrays = files.arrays(path)
        steps = arrays.pop(FIRST_STEPS, np.zeros(0, np.int64))
        if steps.ndim != 1 or steps.dtype.kind not in "iu":
            raise files.Damage("its first steps are no list of whole numbers")
        first = {k.removeprefix(FIRST): v for k, v in arrays.items() if k.startswith(FIRST)}
        epochs = _taken_apart({k: v for k, v in arrays.items() if not k.startswith(FIRST)})
        return Trajectory(epochs, dict(zip(map(int, steps), _taken_apart(first), strict=True)))
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(
            f"{path} is damaged ({files.reason(error)}); delete its folder and run it again."
        ) from None


def _stacked(samples: Sequence[Params]) -> dict[str, NDArray[np.floating]]:
    return {str(key): np.stack([each[key] for each in samples]) for key in samples[0]}


def _taken_apart(arrays: Mapping[str, NDArray[np.floating]]) -> list[Params]:
    """Return what `_stacked` was given."""
    if any(array.ndim == 0 for array in arrays.values()):
        raise files.Damage("it has a single number for a parameter")
    if len({len(array) for array in arrays.values()}) > 1:
        raise files.Damage("its arrays are of several lengths")
    points = len(next(iter(arrays.values()))) if arrays else 0
    keyed = {ParamKey.parse(name): array for name, array in arrays.items()}
    return [{key: array[i] for key, array in keyed.items()} for i in range(points)]
