"""A trained net as plain Keras: one .keras file of Keras' own layers. The model yields logits."""

from __future__ import annotations

from pathlib import Path

import keras

from nnbench.backends.keras.layers import LAYERS, NATIVE
from nnbench.backends.keras.model import attribute
from nnbench.backends.protocol import Params
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers
from nnbench.model.network import Architecture
from nnbench.writing import replacing


def export(architecture: Architecture, params: Params, path: Path) -> list[Path]:
    """Write the model to `path` (.keras); return it in a list."""
    dtype = str(next(iter(params.values())).dtype)
    modules = []
    for _, layer, _, _ in architecture.shapes():
        if isinstance(layer, layers.Conv2d) and isinstance(layer.padding, int):
            raise UnsupportedSpec(f"keras.layers.Conv2D has no padding={layer.padding}.")
        if isinstance(layer, layers.Dropout) and layer.in_evaluation:
            raise UnsupportedSpec(
                "keras.layers.Dropout does not drop in evaluation (in_evaluation=true)."
            )
        if layer == layers.Activation("gelu_tanh"):
            raise UnsupportedSpec("A .keras file has no name for gelu_tanh.")
        if isinstance(layer, layers.Activation):  # by name: a file cannot hold our own formula
            modules.append(keras.layers.Activation(layer.name, dtype=dtype))
        else:
            make = NATIVE.get(type(layer), LAYERS[type(layer)])
            modules.append(make(layer, keras.initializers.GlorotUniform(seed=0), dtype))
    inputs = keras.Input(
        architecture.input_shape, dtype="int64" if architecture.takes_tokens else dtype
    )
    model = keras.Sequential([inputs, *modules])
    for key, value in params.items():
        getattr(modules[key.layer], attribute(modules[key.layer], key.role)).assign(value)
    with replacing(path) as new:
        model.save(new)
    return [path]
