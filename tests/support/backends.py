"""The backends under test, and a small sigmoid net that many tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Task, Trainer, Walk
from nnbench.data.dataset import Split
from nnbench.model.formulas import FAMILIES
from nnbench.model.layers import Activation, Dense
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD
from nnbench.testing.cases import Case, case

BACKENDS = [("numpy", "fused"), ("torch", "eager"), ("keras", "xla"), ("keras", "fit")]
ALL = [("numpy", "reference"), *BACKENDS]
# Keras' whole epochs as one program: compiled they take three times as long to begin.
ALL_IN_SHORT: list[Any] = [
    *ALL[:3],
    ("keras", "graph"),
    ("keras", "fit"),
    pytest.param("keras", "xla", marks=pytest.mark.slow),
]


def factory(backend: str) -> Callable[..., Trainer]:
    if backend == "torch":
        pytest.importorskip("torch")
        from nnbench.backends.torch import TorchTrainer

        return TorchTrainer
    if backend == "keras":
        pytest.importorskip("keras")
        from nnbench.backends.keras import KerasTrainer

        return KerasTrainer
    return NumpyTrainer


SMALL: Case = case(
    Dense(16),
    Activation("sigmoid"),
    inputs="flat",
    loss=Loss("bce", "sum"),
    optimizer=SGD(momentum=0.9, weight_decay=0.01),
)


def small_task(execution: str = "reference", **changes: object) -> Task:
    return dataclasses.replace(SMALL.on(execution), **changes)  # type: ignore[arg-type]


def natively(task: Task, **changes: object) -> Task:
    """Return a matched task in native semantics, its constants and forms left to the framework."""

    def left_open(part: Any) -> Any:
        return dataclasses.replace(part, **dict.fromkeys(FAMILIES["nnbench"].get(type(part), ())))

    net = task.architecture
    net = dataclasses.replace(net, layers=tuple(map(left_open, net.layers)))
    task = dataclasses.replace(task, semantics="native")
    given = {"optimizer": left_open(task.optimizer), "architecture": net} | changes
    return dataclasses.replace(task, **given)  # type: ignore[arg-type]


def small_splits() -> dict[str, Split]:
    return dict(SMALL.splits)


def small_walks() -> list[Walk]:
    return SMALL.walks()
