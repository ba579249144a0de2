"""From the spec's layers to NumPy's: one table entry each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnbench.backends.numpy import images
from nnbench.backends.numpy.layers import ACTIVATIONS, Arrays, Dense, Layer
from nnbench.backends.numpy.normalisation import BatchNorm, LayerNorm
from nnbench.backends.numpy.randomness import Dropout
from nnbench.backends.numpy.tokens import Embedding
from nnbench.backends.trainers import supported
from nnbench.model import layers as spec

LAYERS: dict[type, Callable[[Any, Arrays], Layer]] = {
    spec.Dense: lambda layer, parameters: Dense(parameters),
    spec.Activation: lambda layer, parameters: _activation(layer.name),
    spec.Flatten: lambda layer, parameters: images.Flatten(parameters),
    spec.Conv2d: images.Conv2d,
    spec.MaxPool2d: images.MaxPool2d,
    spec.AvgPool2d: images.AvgPool2d,
    spec.BatchNorm: BatchNorm,
    spec.LayerNorm: LayerNorm,
    spec.Dropout: Dropout,
    spec.Embedding: lambda layer, parameters: Embedding(parameters),
}


def build_layer(layer: spec.Layer, parameters: Arrays) -> Layer:
    """Return the NumPy layer for `layer`; raises UnsupportedSpec for an unknown one."""
    return supported(LAYERS, type(layer), "layer", "numpy")(layer, parameters)
