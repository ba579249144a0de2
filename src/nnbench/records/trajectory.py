"""Where a net's weights were after each epoch, by a sample that is the same for all runs.

Up to SAMPLED values of each parameter are kept, so that runs can be compared epoch by epoch
without keeping their weights. Small parameters are kept whole.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnbench import reading
from nnbench.errors import ResultsError
from nnbench.model.init import Params
from nnbench.model.network import ParamKey
from nnbench.model.streams import generator
from nnbench.records.files import write_arrays

TRAJECTORY_NAME = "trajectory.npz"
SAMPLED = 512


def sample(params: Params) -> Params:
    """Return the sampled values of every parameter, each `(k,)`."""
    return {key: value.ravel()[_positions(key, value.size)] for key, value in params.items()}


def _positions(key: ParamKey, size: int) -> slice | np.ndarray:
    if size <= SAMPLED:
        return slice(None)
    rng = generator(0, "trajectory", key.layer, key.role)
    return np.sort(rng.choice(size, SAMPLED, replace=False))


def save(path: Path, samples: list[Params]) -> None:
    """Write samples, one per epoch, as arrays `(epochs, k)` by key."""
    stacked = {str(key): np.stack([s[key] for s in samples]) for key in samples[0]}
    write_arrays(path, stacked)


def load(directory: Path) -> list[Params]:
    """Read the samples of a run, one per epoch. Raises ResultsError where there are none."""
    path = directory / TRAJECTORY_NAME
    try:
        arrays = {ParamKey.parse(name): array for name, array in reading.arrays(path).items()}
        if len({array.shape[:1] for array in arrays.values()}) != 1 or () in {
            array.shape for array in arrays.values()
        }:
            raise reading.Damage("it does not hold as many samples of each parameter")
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(
            f"{path} is damaged ({reading.reason(error)}); run it again for a certificate."
        ) from None
    epochs = len(next(iter(arrays.values())))
    return [{key: array[i] for key, array in arrays.items()} for i in range(epochs)]
