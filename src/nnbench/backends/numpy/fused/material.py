"""What plans are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.layers import Array, Layer
from nnbench.backends.protocol import Task
from nnbench.model.counter import Words


@dataclass
class Material:
    """The task, data as they are stored, the layers of `reference` and the weights.

    `training` tells what the layers do with them; `keys` are those of the step that is about to
    be taken.
    """

    task: Task
    inputs: Array
    targets: Array
    layers: list[Layer]
    weights: Flat
    training: bool = True
    keys: dict[int, Words] = field(default_factory=dict)
