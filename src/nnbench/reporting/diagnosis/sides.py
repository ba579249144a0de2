"""A program's reading in the form in which two are compared: what changes nothing is left out.

Layers that compute the same in another order, or nothing, are put in one form; so are forms of an
optimizer's formula that its settings leave without effect.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from nnbench import data
from nnbench.data.config import DataConfig
from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.init import Params
from nnbench.model.layers import Layer, Shape
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import SGD, Adam, AdamW, Optimizer
from nnbench.model.reading import Place, Reading
from nnbench.model.schedule import Constant, Schedule
from nnbench.schema import convert, to_data
from nnbench.schema.deferred import dataclass

RELU = spec.Activation("relu")


@dataclass(frozen=True)
class Side:
    """A reading by the `name` that it was given, with its layers in the common form."""

    name: str
    reading: Reading

    @cached_property
    def _layers(self) -> list[tuple[Layer, int]]:
        """Return the layers in the common form, each with its position in the reading."""
        return _common(list(zip(self.reading.layers, range(len(self.reading.layers)), strict=True)),
                       self.reading.input_shape)  # fmt: skip

    @property
    def layers(self) -> list[Layer]:
        """Return the layers in the common form."""
        return [layer for layer, _ in self._layers]

    @property
    def rule(self) -> Optimizer:
        """Return the optimizer without forms that have no effect."""
        assert self.reading.optimizer is not None
        constant = isinstance(self.reading.schedule, Constant)
        return plain_rule(self.reading.optimizer, constant)

    def place(self, layer: int) -> Place | None:
        """Return where a layer of the common form stands."""
        return self.reading.places[self._layers[layer][1]]

    def position(self, layer: int) -> int:
        """Return the position in the reading of a layer of the common form."""
        return self._layers[layer][1]

    def params(self, weights: Params) -> Params:
        """Return the weights of the program by the layers of the common form."""
        at = {position: i for i, (_, position) in enumerate(self._layers)}
        return {ParamKey(at[key.layer], key.role): value for key, value in weights.items()}

    def settings(self) -> dict[str, Any]:
        """Return the groups of a run's configuration that the reading decides."""
        found = copy.deepcopy(self.reading.settings())
        found["arch"]["layers"] = [to_data(layer) for layer in self.layers]
        found["optimizer"] = to_data(self.rule)
        if found["loss"]["name"] == "cross_entropy":
            found["loss"]["over_outputs"] = "mean"  # has no effect there
        return found


def values_of(side: Side, base: Mapping[str, Any], backend: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run of what was read, in matched semantics, in `backend`."""
    found = copy.deepcopy(dict(base)) | side.settings()
    found |= {"backend": copy.deepcopy(dict(backend)), "semantics": "matched"}
    schedule = side.reading.schedule
    if schedule is not None and not isinstance(schedule, Constant):
        found["schedule"] = {"name": "listed", "rates": _rates(schedule, found)}
    return found


def epoch_steps(values: Mapping[str, Any]) -> int:
    """Return how many steps an epoch of a configuration has."""
    config = convert(DataConfig, values["data"], "data")
    outline = data.outline(config, kind=values["task"], seed=int(values["seed"]))
    return math.ceil(outline.samples["train"] / int(values["batch_size"]))


def _rates(schedule: Schedule, values: Mapping[str, Any]) -> list[float]:
    """Return the rates of a run's steps, by which schedules are compared whatever their names."""
    steps, epochs = epoch_steps(values), int(values["epochs"])
    return [
        float(rate)
        for epoch in range(epochs)
        for rate in schedule.per_step(epoch, steps, epochs, [0.0] * epoch)
    ]


def _common(layers: list[tuple[Layer, int]], shape: Shape) -> list[tuple[Layer, int]]:
    """Return layers without those that compute nothing, in one order where order is free."""
    kept: list[tuple[Layer, int]] = []
    for layer, position in layers:
        try:
            after = layer.output_shape(shape)
        except ConfigError:
            after = shape
        nothing = layer == spec.Activation("linear") or (
            (isinstance(layer, spec.Flatten) and after == shape)
            or (isinstance(layer, spec.Dropout) and not layer.rate)
        )
        if not nothing:
            kept.append((_plainly_padded(layer, shape), position))
        shape = after
    moved = True
    while moved:
        moved = False
        for i in range(len(kept) - 1):
            if _goes_first(kept[i][0], kept[i + 1][0]):
                kept[i], kept[i + 1] = kept[i + 1], kept[i]
                moved = True
    return kept


def _plainly_padded(layer: Layer, shape: Shape) -> Layer:
    """Return a layer with its padding as a word, where one says the same for inputs of `shape`."""
    if not isinstance(layer, spec.Conv2d):
        return layer
    for word in ("valid", "same"):
        plain = dataclasses.replace(layer, padding=word)
        if plain.pads(shape) == layer.pads(shape):
            return plain
    return layer


def _goes_first(before: Layer, after: Layer) -> bool:
    """Tell whether `after` computes the same in front of `before`, which is where it is put."""
    if isinstance(before, spec.MaxPool2d):
        return after == RELU
    by_value = after != spec.Activation("softmax") and isinstance(
        after, spec.Activation | spec.LeakyReLU
    )
    return isinstance(before, spec.Flatten) and by_value


def plain_rule(rule: Optimizer, constant: bool) -> Optimizer:
    """Return an optimizer with None for every form that makes no difference to its steps.

    `constant`: the learning rate is. AdamW is Adam with decoupled decay.
    """
    found: dict[str, Any] = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    found["formulas"] = None
    kind: type = type(rule)
    if isinstance(rule, AdamW):
        kind, found = Adam, found | {"decay": "decoupled"}
    del found["name"]
    if not rule.weight_decay:
        found |= {"weight_decay": 0.0, "decay": None, "decay_on": "all"}
    if not rule.clip_norm:
        found["clip_offset"] = None
    if "momentum" in found and not found["momentum"]:
        found |= {"rate": None} | ({"nesterov": False} if "nesterov" in found else {})
    if "rate" in found and constant:
        found["rate"] = None
    same_decay = isinstance(rule, SGD) and not rule.momentum
    if same_decay and not (rule.clip_norm or rule.clip_value):
        found["decay"] = None
    return kind(**found)
