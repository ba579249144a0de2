"""From the spec's layers to NumPy's: one table entry each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnbench.backends.numpy import images, layers, normalisation
from nnbench.backends.numpy.optimizers import Rule
from nnbench.backends.numpy.randomness import Dropout
from nnbench.backends.trainers import supported
from nnbench.model import layers as spec

if TYPE_CHECKING:
    from nnbench.backends.numpy.compiled import Compiled
    from nnbench.backends.numpy.fused import Fused

LAYERS: dict[type, type[layers.Layer]] = {
    spec.Dense: layers.Dense,
    spec.Activation: layers.Activation,
    spec.LeakyReLU: layers.LeakyReLU,
    spec.Flatten: images.Flatten,
    spec.GlobalAvgPool2d: images.GlobalAvgPool2d,
    spec.Conv2d: images.Conv2d,
    spec.MaxPool2d: images.MaxPool2d,
    spec.AvgPool2d: images.AvgPool2d,
    spec.BatchNorm: normalisation.BatchNorm,
    spec.LayerNorm: normalisation.LayerNorm,
    spec.Dropout: Dropout,
    spec.Embedding: layers.Embedding,
}


def build_layer(layer: spec.Layer, parameters: layers.Arrays) -> layers.Layer:
    """Return the NumPy layer for `layer`; raises UnsupportedSpec for an unknown one."""
    return supported(LAYERS, type(layer), "layer", "numpy")(parameters, layer)


def arranged(execution: str, optimizer: Rule, *material: Any) -> Fused | Compiled:
    """Return the steps arranged for speed; imported here, for SciPy and Numba take time."""
    from nnbench.backends.numpy.fused.stage import Material

    if execution == "compiled":
        from nnbench.backends.numpy.compiled import Compiled

        return Compiled(Material(*material), optimizer)
    from nnbench.backends.numpy.fused import Fused

    return Fused(Material(*material), optimizer)
