"""From the spec to Keras: the net, and where its weights are."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from nnbench.backends.keras.layers import make
from nnbench.backends.keras.randomness import CounterDropout, Random, RandomAugment
from nnbench.backends.protocol import Task
from nnbench.model import counter
from nnbench.model.counter import AUGMENT_STREAM
from nnbench.model.network import ParamKey

# Keras' names of roles where they are not ours; of those of an embedding, `EMBEDDING`.
ATTRIBUTES = {
    "scale": "gamma",
    "offset": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}
EMBEDDING = {"kernel": "embeddings"}


class Net(NamedTuple):
    """A model that yields logits, and what nnbench needs of it.

    `layers` by position, without `augment` before them; `variables` of the weights by key;
    `drawing`: the layers that need a key for every step, by stream.
    """

    model: keras.Sequential
    layers: list[Any]
    variables: dict[ParamKey, keras.Variable]
    drawing: dict[int, Random]

    @property
    def augment(self) -> Random | None:
        """Return what augments the inputs in training."""
        return self.drawing.get(AUGMENT_STREAM)

    def begin_at(self, row: int) -> None:
        """Let evaluation begin at sample `row` of its split."""
        for module in self.drawing.values():
            if isinstance(module, CounterDropout) and module.in_evaluation:
                module.row.assign(row)


def build(task: Task) -> Net:
    """Return the net of `task` with Keras' own initial weights, seeded.

    Raises UnsupportedSpec for an unknown layer.
    """
    architecture, dtype = task.architecture, task.dtype
    native = task.semantics == "native"
    modules = []
    for position, layer, _, _ in architecture.shapes():
        initializer = keras.initializers.GlorotUniform(seed=(task.seed << 8) + position)
        modules.append(make(layer, position, initializer, dtype, native))
    drawing = {i: module for i, module in enumerate(modules) if isinstance(module, Random)}
    first = [keras.Input(architecture.input_shape, dtype=input_dtype(task))]
    if architecture.augment:
        drawing[AUGMENT_STREAM] = RandomAugment(architecture.augment, dtype)
        first.append(drawing[AUGMENT_STREAM])
    model = keras.Sequential(first + modules)
    for i, module in enumerate(modules):
        if isinstance(module, CounterDropout) and module.in_evaluation:
            module.evaluation_key.assign(counter.evaluation_key(task.seed, i).view(np.int32))
    # Keras' layout is the canonical one.
    variables = {
        key: getattr(modules[key.layer], attribute(modules[key.layer], key.role))
        for key in architecture.weight_shapes()
    }
    for key, variable in variables.items():  # not the layer: batch norm goes on gathering
        if not architecture.layers[key.layer].learns:
            variable.trainable = False
    return Net(model, modules, variables, drawing)


def input_dtype(task: Task) -> str:
    """Return the dtype of inputs: the task's, integers for tokens."""
    return "int64" if task.architecture.takes_tokens else task.dtype


def attribute(module: Any, role: str) -> str:
    """Return Keras' name of a role in `module`."""
    names = EMBEDDING if isinstance(module, keras.layers.Embedding) else ATTRIBUTES
    return names.get(role, role)
