"""A program of a user's own, read: its layers, loss, optimizer and rates in nnbench's words.

What is not understood is named with its place and never guessed: then the part concerned is
missing, and nothing is proved. Initial weights are kept apart (`nnbench.model.init.Params`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName, Layer
from nnbench.model.losses import Loss, TaskKind
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.optimizers import Adam, Optimizer
from nnbench.model.schedule import Schedule
from nnbench.schema import read, to_data
from nnbench.schema.deferred import dataclass

Framework = Literal["torch", "keras", "nnbench"]
Takes = Literal["flat", "channels_last", "channels_first", "no_channels", "tokens"]
Mistaken = Literal[
    "softmax_twice", "logits_as_probabilities", "broadcast_targets", "no_activation", "summed_loss",
    "coupled_decay", "dropout_ignores_evaluation", "not_in_optimizer", "unused_layers",
    "frozen_layers",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where something stands in the user's source: `text` is the construct, as written or named.

    `file` and `line` are None where there is no source, as of objects made in a notebook.
    """

    text: str
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.text}, line {self.line}" if self.line else self.text


@dataclass(frozen=True)
class Finding:
    """A classic mistake, by name, in a sentence; `layer` counts from 0 where it is about one."""

    key: Mistaken
    text: str
    place: Place | None = None
    layer: int | None = None


@dataclass(frozen=True)
class Unknown:
    """A construct that nnbench does not know; `part` is what cannot be said because of it."""

    text: str
    part: Literal["layers", "loss", "optimizer", "schedule", "input"]
    place: Place | None = None


@dataclass(frozen=True)
class Distribution:
    """What initial values look like they were drawn from; `values`: nothing that is known.

    `uniform` from `low` to `high`; `normal` and `truncated_normal` (cut at two deviations, wider
    for it) with `mean` and `deviation`; `constant` all `low`. `says` is the usual name of it for
    such a parameter, as `glorot uniform`.
    """

    name: Literal["uniform", "normal", "truncated_normal", "constant", "values"]
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    says: str | None = None


@dataclass(frozen=True)
class Reading:
    """What a program trains, as `Architecture`, `Loss`, `Optimizer` and `Schedule` describe it.

    `layers` is the whole list, the last one included, every constant and form written out;
    `places` has where each stands, `output_activation` what follows the last one. Loss, optimizer
    or schedule is None where it is not understood. `input_shape` is nnbench's (channels last);
    `takes` says how the program's own model takes its inputs, `data_shape` is that of
    the data as nnbench has it. `init` is by parameter, `0.kernel`;
    `frozen` are the parameters that do not learn although others of their layer do. `where` has
    places by part: `loss`, `optimizer`, `schedule`. `remarks` are facts that are no mistakes.
    """

    framework: Framework
    versions: dict[str, str]
    task: TaskKind
    input_shape: tuple[int, ...]
    takes: Takes
    layers: tuple[Layer, ...]
    places: tuple[Place | None, ...]
    output_activation: ActivationName
    loss: Loss | None
    optimizer: Optimizer | None
    schedule: Schedule | None
    init: dict[str, Distribution] = dataclasses.field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    where: dict[str, Place] = dataclasses.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    remarks: tuple[str, ...] = ()
    data_shape: tuple[int, ...] = ()

    @property
    def understood(self) -> bool:
        """Tell whether everything was read, so that it can be proved."""
        parts = (self.loss, self.optimizer, self.schedule)
        return not self.unknown and all(part is not None for part in parts)

    def architecture(self) -> Architecture:
        """Return the net. Raises ConfigError, later, where its layers do not fit together."""
        return Architecture(self.input_shape, self.layers, self.output_activation)

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        found: dict[str, Any] = to_data(self)
        for name in ("init", "where"):
            found[name] = {key: to_data(value) for key, value in getattr(self, name).items()}
        return found

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Reading:
        """Return the reading that `as_data` made plain. Raises ConfigError for anything else."""
        return read(cls, data)

    def settings(self) -> dict[str, Any]:
        """Return the groups of a run's configuration that this reading decides, as plain data."""
        layers = [to_data(layer) for layer in self.layers]
        return {
            "arch": {
                "name": "layers",
                "layers": layers,
                "whole": True,
                "input_shape": list(self.input_shape),
                "output_activation": self.output_activation,
                "formulas": None,
            },
            "loss": to_data(self.loss),
            "optimizer": to_data(self.optimizer),
            "schedule": to_data(self.schedule),
            "task": self.task,
        }


NOTHING_LEARNS = Unknown("no parameter learns", "layers")


def held_still(
    layers: Sequence[Layer], learnt: Iterable[ParamKey], still: Collection[ParamKey]
) -> tuple[tuple[Layer, ...], tuple[ParamKey, ...]]:
    """Return the layers, those told not to learn of whose parameters none does; the rest of them.

    `learnt` are the parameters of all layers, `still` those that a program leaves as they are.
    """
    roles: dict[int, set[ParamKey]] = {}
    for key in learnt:
        roles.setdefault(key.layer, set()).add(key)
    whole = {i for i, keys in roles.items() if keys <= set(still)}
    found = [
        dataclasses.replace(layer, trainable=False) if i in whole else layer  # type: ignore[arg-type]
        for i, layer in enumerate(layers)
    ]
    return tuple(found), tuple(key for key in still if key.layer not in whole)


def classic(reading: Reading) -> list[Finding]:
    """Return the classic mistakes that show in the settings themselves, of whatever framework."""
    loss, rule, where = reading.loss, reading.optimizer, reading.where
    found = [
        Finding("no_activation", _LINEAR, place, position)
        for position, place in _linear_pairs(reading)
    ]
    if loss is not None and loss.mistake is not None:
        found.append(Finding(loss.mistake, _MISTAKES[loss.mistake], where.get("loss")))
    if loss is not None and loss.over_batch == "sum":
        found.append(Finding("summed_loss", _SUMMED, where.get("loss")))
    if isinstance(rule, Adam) and rule.weight_decay and rule.decay == "coupled":
        found.append(Finding("coupled_decay", _COUPLED, where.get("optimizer")))
    return found


_LINEAR = "no activation between two dense layers: together they are one linear layer"
_SUMMED = "the loss is summed over the batch: the gradient grows with the batch size"
_COUPLED = (
    "weight decay is added to Adam's gradient (L2), which divides it by the gradient's size; "
    "AdamW decouples it"
)
_MISTAKES = {
    "softmax_twice": "softmax before a cross-entropy that takes logits: softmax is applied twice",
    "logits_as_probabilities": "linear outputs are taken for probabilities (from_logits is unset)",
    "broadcast_targets": (
        "outputs (n, 1) against targets (n,) broadcast to (n, n): every output is drawn to the "
        "mean of the batch's targets"
    ),
}
_PASSING = (spec.Dropout, spec.Flatten)


def _linear_pairs(reading: Reading) -> list[tuple[int, Place | None]]:
    """Return the position and place of every dense layer that follows one with nothing between."""
    found: list[tuple[int, Place | None]] = []
    before = any(unknown.part == "layers" for unknown in reading.unknown)
    if before:  # who knows what is between
        return found
    for i, layer in enumerate(reading.layers):
        if isinstance(layer, spec.Dense):
            if before:
                found.append((i, reading.places[i]))
            before = True
        elif not isinstance(layer, _PASSING) and layer != spec.Activation("linear"):
            before = False
    return found
