"""What frameworks do where nothing is set: their constants, and the forms of their formulas.

`nnbench` is what matched semantics document. `torch` and `keras` are the defaults of the classes
of that name; docs/native.md lists where they differ, and its test reads them from the installed
frameworks.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeVar

from nnbench.model import layers, optimizers
from nnbench.model.network import Architecture

Family = Literal["torch", "keras"]
Values = dict[type, dict[str, Any]]
T = TypeVar("T")

NO_DECAY = {"weight_decay": 0.0}
_TORCH: Values = {
    optimizers.SGD: NO_DECAY,
    optimizers.Adam: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8} | NO_DECAY,
    optimizers.AdamW: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01},
    optimizers.RMSprop: {"rho": 0.99, "epsilon": 1e-8} | NO_DECAY,
    optimizers.Adagrad: {"initial": 0.0, "epsilon": 1e-10} | NO_DECAY,
    layers.BatchNorm: {"momentum": 0.1, "epsilon": 1e-5},
    layers.LayerNorm: {"epsilon": 1e-5},
}
_KERAS: Values = {
    optimizers.SGD: NO_DECAY,
    optimizers.Adam: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7} | NO_DECAY,
    optimizers.AdamW: {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "weight_decay": 0.004},
    optimizers.RMSprop: {"rho": 0.9, "epsilon": 1e-7} | NO_DECAY,
    optimizers.Adagrad: {"initial": 0.1, "epsilon": 1e-7} | NO_DECAY,
    layers.BatchNorm: {"momentum": 0.01, "epsilon": 1e-3},
    layers.LayerNorm: {"epsilon": 1e-3},
}
FAMILIES: dict[str, Values] = {"nnbench": _TORCH, "torch": _TORCH, "keras": _KERAS}


def documented(part: T, family: str = "nnbench") -> T:
    """Return an optimizer or a layer with the family's value wherever it has none."""
    values = FAMILIES[family].get(type(part), {})
    unset = {key: value for key, value in values.items() if getattr(part, key) is None}
    return dataclasses.replace(part, **unset) if unset else part  # type: ignore[type-var]


def documented_net(architecture: Architecture, family: str = "nnbench") -> Architecture:
    """Return the net with the family's value wherever a layer has none."""
    filled = tuple(documented(layer, family) for layer in architecture.layers)
    return dataclasses.replace(architecture, layers=filled)


def given(part: Any) -> dict[str, Any]:
    """Return those of a part's constants and forms that are set."""
    values = {key: getattr(part, key) for key in FAMILIES["nnbench"].get(type(part), {})}
    return {key: value for key, value in values.items() if value is not None}
