"""Backends with one planted fault each, and the check of the kit that must catch it.

Each is the NumPy trainer but for its fault; the name says which. `PLANTS` maps it to the name of
the check. Folders with a backend of each are made by `install`, for the commands.
"""

from __future__ import annotations

from pathlib import Path

from nnbench.backends.numpy import NumpyTrainer
from support.plants import completion, evaluation, layers, optimizers, protocol, training

PLANTS: dict[type[NumpyTrainer], str] = (
    evaluation.PLANTS
    | completion.PLANTS
    | training.PLANTS
    | optimizers.PLANTS
    | layers.PLANTS
    | protocol.PLANTS
)
BY_NAME = {plant.__name__: plant for plant in PLANTS}


def install(folder: Path, plant: type[NumpyTrainer]) -> None:
    """Write the YAML of backend=planted into `folder`, for `--config-dir`."""
    group = folder / "backend"
    group.mkdir(parents=True, exist_ok=True)
    (group / "planted.yaml").write_text(
        f"name: planted\n_target_: {plant.__module__}.{plant.__name__}\n"
        "execution: reference\nexecutions: [reference]\n"
    )
