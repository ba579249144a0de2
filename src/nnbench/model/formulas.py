"""What frameworks do where nothing is set: their constants, and the forms of their formulas.

`nnbench` is what matched semantics document. `torch` and `keras` are the defaults of the classes
of that name; docs/native.md lists where they differ, and its test reads them from the installed
frameworks.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from nnbench.errors import UnsupportedSpec
from nnbench.model import layers, optimizers
from nnbench.model.network import Architecture

Values = dict[type, dict[str, Any]]
T = TypeVar("T")

_COUPLED = {"weight_decay": 0.0, "decay": "coupled", "clip_offset": 1e-6}
_DECOUPLED = {"weight_decay": 0.0, "decay": "decoupled", "clip_offset": 0.0}
_BETAS = {"beta1": 0.9, "beta2": 0.999}
_OUTSIDE = {"epsilon_root": "outside"}
_INSIDE = {"epsilon_root": "inside"}
_AFTER = _BETAS | {"epsilon": 1e-8} | _OUTSIDE | {"epsilon_correction": "after"}
_BEFORE = _BETAS | {"epsilon": 1e-7} | _OUTSIDE | {"epsilon_correction": "before"}
_TORCH: Values = {
    optimizers.SGD: {"rate": "outside"} | _COUPLED,
    optimizers.Adam: _AFTER | _COUPLED,
    optimizers.AdamW: _AFTER | _COUPLED | {"weight_decay": 0.01, "decay": "decoupled"},
    optimizers.RMSprop: {"rho": 0.99, "epsilon": 1e-8, "rate": "outside"} | _OUTSIDE | _COUPLED,
    optimizers.Adagrad: {"initial": 0.0, "epsilon": 1e-10} | _OUTSIDE | _COUPLED,
    layers.BatchNorm: {"momentum": 0.1, "epsilon": 1e-5, "variance": "unbiased"},
    layers.LayerNorm: {"epsilon": 1e-5},
    layers.LeakyReLU: {"slope": 0.01},
}
_KERAS: Values = {
    optimizers.SGD: {"rate": "inside"} | _DECOUPLED,
    optimizers.Adam: _BEFORE | _DECOUPLED,
    optimizers.AdamW: _BEFORE | _DECOUPLED | {"weight_decay": 0.004},
    optimizers.RMSprop: {"rho": 0.9, "epsilon": 1e-7, "rate": "inside"} | _INSIDE | _DECOUPLED,
    optimizers.Adagrad: {"initial": 0.1, "epsilon": 1e-7} | _INSIDE | _DECOUPLED,
    layers.BatchNorm: {"momentum": 0.01, "epsilon": 1e-3, "variance": "biased"},
    layers.LayerNorm: {"epsilon": 1e-3},
    layers.LeakyReLU: {"slope": 0.3},
}
FAMILIES: dict[str, Values] = {"nnbench": _TORCH, "torch": _TORCH, "keras": _KERAS}
# What no argument of a framework's class can change.
FORMS = ("rate", "decay", "epsilon_root", "epsilon_correction", "clip_offset", "variance")


def documented(part: T, family: str | None = None) -> T:
    """Return an optimizer or a layer with the family's value wherever it has none.

    None: the family that an optimizer names in `formulas`, else nnbench's own.
    """
    family = family or getattr(part, "formulas", None) or "nnbench"
    values = FAMILIES[family].get(type(part), {})
    unset = {key: value for key, value in values.items() if getattr(part, key) is None}
    return dataclasses.replace(part, **unset) if unset else part  # type: ignore[type-var]


def with_numbers(rule: T) -> T:
    """Return an optimizer with its documented constants, its forms as they are."""
    found = given(documented(rule))
    numbers = {key: value for key, value in found.items() if key not in FORMS}
    return dataclasses.replace(rule, **numbers)  # type: ignore[type-var]


def documented_net(architecture: Architecture, family: str = "nnbench") -> Architecture:
    """Return the net with the family's value wherever a layer has none."""
    filled = tuple(documented(layer, family) for layer in architecture.layers)
    return dataclasses.replace(architecture, layers=filled)


def given(part: Any) -> dict[str, Any]:
    """Return those of a part's constants and forms that are set."""
    values = {key: getattr(part, key) for key in FAMILIES["nnbench"].get(type(part), {})}
    return {key: value for key, value in values.items() if value is not None}


def forms(part: Any, family: str = "nnbench") -> dict[str, Any]:
    """Return the forms of the formulas that a family has for such a part."""
    return {k: v for k, v in FAMILIES[family].get(type(part), {}).items() if k in FORMS}


def check_own(part: Any, family: str, own: str, where: str = "optimizer") -> None:
    """Raise UnsupportedSpec where a form is set that the framework's class `own` does not have."""
    remedy = f"use semantics=matched, or leave {where}"
    if getattr(part, "in_evaluation", False):
        raise UnsupportedSpec(
            f"Received {where}.in_evaluation=true with semantics=native; what {own} drops there "
            f"cannot be drawn again: {remedy}.in_evaluation out."
        )
    named = getattr(part, "formulas", None)
    if named not in (None, family):
        raise UnsupportedSpec(
            f"Received {where}.formulas={named} with semantics=native; {own} has {family}'s own "
            f"formulas: {remedy}.formulas out."
        )
    for key, has in forms(part, family).items():
        value = getattr(part, key)
        if value is not None and value != has:
            raise UnsupportedSpec(
                f"Received {where}.{key}={value} with semantics=native; {own} has {has}: "
                f"{remedy}.{key} out."
            )
