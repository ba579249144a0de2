"""Readings that differ in one setting: what a program might mean where its reading is not proved.

The settings are those that frameworks disagree on, with the values that they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nnbench.model.reading import Reading
from nnbench.model.schedule import Constant

OPTIMIZER: dict[str, tuple[Any, ...]] = {
    "rate": ("inside", "outside"),
    "decay": ("coupled", "decoupled"),
    "weight_decay": (0.0, 0.004, 0.01),
    "decay_on": ("all", "kernels"),
    "epsilon": (1e-10, 1e-8, 1e-7, 1e-6, 1e-3),
    "epsilon_root": ("inside", "outside"),
    "epsilon_correction": ("before", "after"),
    "amsgrad": (True, False),
    "momentum": (0.0, 0.9),
    "nesterov": (True, False),
    "rho": (0.9, 0.99),
    "initial": (0.0, 0.1),
    "clip_norm": (None, 1.0),
    "clip_value": (None, 0.5, 1.0),
}
LOSS: dict[str, tuple[Any, ...]] = {
    "over_batch": ("mean", "sum"),
    "over_outputs": ("mean", "sum"),
    "label_smoothing": (0.0, 0.1),
    "mistake": (None, "softmax_twice", "logits_as_probabilities", "broadcast_targets"),
}
LAYER: dict[str, tuple[Any, ...]] = {
    "momentum": (0.1, 0.01, 0.9, 0.99),
    "epsilon": (1e-3, 1e-5, 1e-6),
    "variance": ("biased", "unbiased"),
    "slope": (0.01, 0.2, 0.3),
    "padding": ("valid", "same", 1, 2),
    "rate": (0.0,),
}
ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "softmax")


def alternatives(reading: Reading) -> Iterator[tuple[str, Reading]]:
    """Yield what is set otherwise, in nnbench's words, and the reading with it."""
    for part, table in (("optimizer", OPTIMIZER), ("loss", LOSS)):
        yield from (
            (f"{part}.{key}={_word(value)}", replace(reading, **{part: changed}))
            for key, value, changed in _changed(getattr(reading, part), table)
        )
    for i, layer in enumerate(reading.layers):
        named = {"name": ACTIVATIONS} if layer.name in ACTIVATIONS else {}
        for key, value, changed in _changed(layer, LAYER | named):
            other = (*reading.layers[:i], changed, *reading.layers[i + 1 :])
            yield f"layer {i + 1}: {key}={_word(value)}", replace(reading, layers=other)
    if isinstance(reading.schedule, Constant):
        for factor in (0.1, 0.5, 2.0, 10.0):
            rate = reading.schedule.lr * factor
            yield f"schedule.lr={rate:g}", replace(reading, schedule=Constant(rate))


def _changed(part: Any, table: dict[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any, Any]]:
    for key, values in table.items():
        if hasattr(part, key):
            for value in values:
                if value != getattr(part, key):
                    yield key, value, replace(part, **{key: value})


def _word(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
