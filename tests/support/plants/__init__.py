"""Backends with one planted fault each, and the check of the kit that must catch it.

Each is the NumPy trainer but for its fault; the name says which. `PLANTS` maps it to the name of
the check.
"""

from __future__ import annotations

from nnbench.backends.numpy import NumpyTrainer
from support.plants import completion, evaluation, held, layers, optimizers, protocol, training

PLANTS: dict[type[NumpyTrainer], str] = (
    evaluation.PLANTS
    | completion.PLANTS
    | training.PLANTS
    | optimizers.PLANTS
    | layers.PLANTS
    | held.PLANTS
    | protocol.PLANTS
)
BY_NAME = {plant.__name__: plant for plant in PLANTS}
