"""A Keras model's layers in nnbench's words, with the variables that are their weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nnbench.backends.keras.model import attribute
from nnbench.backends.keras.reading.chain import Link, NotKnownError, chain
from nnbench.backends.keras.reading.layers import joined, read_link
from nnbench.backends.keras.reading.places import place
from nnbench.model import layers as spec
from nnbench.model.layers import Layer, Shape, flat_length
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.reading import Place, Reading, Unknown
from nnbench.schema.deferred import dataclass

# (argument, the variable that it is for, what that is)
PENALISED = (
    ("kernel_regularizer", "kernel", "kernels"),
    ("embeddings_regularizer", "embeddings", "kernels"),
    ("bias_regularizer", "bias", "others"),
    ("gamma_regularizer", "gamma", "others"),
    ("beta_regularizer", "beta", "others"),
)


@dataclass(frozen=True)
class Net:
    """The layers, each with the operation that it comes from, and what is not understood.

    `shape` is nnbench's input shape; `given` that of the program's own model.
    """

    given: Shape
    shape: Shape
    layers: tuple[tuple[Layer, Link], ...]
    unknown: tuple[Unknown, ...]

    @property
    def specs(self) -> list[Layer]:
        """Return the layers alone."""
        return [layer for layer, _ in self.layers]

    @property
    def places(self) -> tuple[Place | None, ...]:
        """Return where each layer stands."""
        return tuple(link.where for _, link in self.layers)

    def variables(self) -> dict[ParamKey, keras.Variable]:
        """Return the variables of the weights by key; an activation behind a layer has none."""
        net = Architecture(self.shape, tuple(self.specs), "linear")
        found = {}
        for key in net.weight_shapes():
            operation = self.layers[key.layer][1].operation
            found[key] = getattr(operation, attribute(operation, key.role))
        return found

    def penalty(self) -> tuple[float, str]:
        """Return the l2 penalty and what has it, `all` or `kernels`; 0 where there is none.

        Raises NotKnownError where other parameters have it, or another one.
        """
        kernels: dict[float, Link] = {}
        others: dict[float, Link] = {}
        for link in {id(link.operation): link for _, link in self.layers}.values():
            for name, variable, found in PENALISED:
                own = getattr(link.operation, variable, None)
                if own is None or not (own.trainable and link.operation.trainable):
                    continue  # Keras adds no penalty of what does not learn
                l2 = _l2(getattr(link.operation, name, None), link)
                (kernels if found == "kernels" else others)[l2] = link
        if len(kernels) > 1:
            raise NotKnownError(
                "a regularizer that not all kernels have", kernels[max(kernels)].where
            )
        penalty = next(iter(kernels), 0.0)
        if others.keys() <= {0.0}:
            return penalty, "kernels" if others else "all"
        if others.keys() == {penalty}:
            return penalty, "all"
        raise NotKnownError("a regularizer of biases alone", others[max(others)].where)


def _l2(regularizer: Any, link: Link) -> float:
    """Return the factor of an l2 penalty. Raises NotKnownError for another one."""
    if regularizer is None:
        return 0.0
    config = regularizer.get_config()
    l1 = float(config.get("l1", 0.0) or 0.0)
    if type(regularizer).__name__ not in ("L2", "L1L2") or l1:
        raise NotKnownError(f"the regularizer {type(regularizer).__name__}", link.where)
    return float(config["l2"])


def net_of(model: Any, given: Shape, dtype: str) -> Net:
    """Return the layers of a built model for inputs of `given`; what is not known is in it."""
    shape = (*given, 1) if len(given) == 2 else given
    try:
        links = chain(model, given, dtype)
    except NotKnownError as error:
        return Net(given, shape, (), (Unknown(error.text, "layers", error.where),))
    found: list[tuple[Layer, Link]] = []
    unknown: list[Unknown] = []
    for link in links:
        if not found and type(link.operation).__name__ == "Reshape" and link.before == shape:
            shape = link.after  # the first layers take the inputs in that shape
            continue
        if not found and type(link.operation).__name__ == "Flatten":
            shape = link.after  # the first layers take the inputs flat
            continue
        try:
            found += [(layer, link) for layer in read_link(link)]
        except NotKnownError as error:
            unknown.append(Unknown(error.text, "layers", error.where))
    try:
        found = joined(found)
    except NotKnownError as error:
        unknown.append(Unknown(error.text, "layers", error.where))
    found, shape = _fitting(found, shape)
    return Net(given, shape, tuple(found), tuple(unknown))


def _fitting(
    found: list[tuple[Layer, Link]], shape: Shape
) -> tuple[list[tuple[Layer, Link]], Shape]:
    """Return layers and input shape without the axes that a Dense directly on inputs lacks."""
    images = (spec.Conv2d, spec.MaxPool2d, spec.AvgPool2d, spec.GlobalAvgPool2d)
    if len(shape) == 2 and found and isinstance(found[0][0], images):
        shape = (*shape, 1)
    return found, shape


def ready(model: Any, reading: Reading) -> Shape:
    """Return the shape that a model takes; build it where it has waited for its inputs."""
    data = reading.data_shape or reading.input_shape
    shapes: dict[str, Shape] = {
        "flat": (flat_length(data),),
        "channels_last": data if len(data) == 3 else (*data, 1),
    }
    given = shapes.get(reading.takes, data)
    if not model.built:
        model(np.zeros((1, *given), "int64" if reading.takes == "tokens" else "float32"))
    return given


def frozen(net: Net) -> list[ParamKey]:
    """Return the parameters that do not learn."""
    kept = Architecture(net.shape, tuple(net.specs), "linear").parameter_shapes()
    variables = net.variables()
    return [
        key
        for key in kept
        if not (variables[key].trainable and net.layers[key.layer][1].operation.trainable)
    ]


def unused(model: Any, net: Net) -> list[Any]:
    """Return the layers of a model with weights that no output follows from."""
    used = {id(link.operation) for _, link in net.layers}
    flat = [layer for layer in model._flatten_layers(include_self=False) if layer.weights]
    leaves = [layer for layer in flat if not list(layer._flatten_layers(include_self=False))]
    return [layer for layer in leaves if id(layer) not in used]


def where(layer: Any) -> Place:
    """Return where a layer was made."""
    return place(layer)
