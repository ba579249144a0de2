"""A classic mistake: what it is called, why it is one, and trainers that make it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import Array, Layer
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.schema.deferred import dataclass

PAGE = "docs/mistakes.md"


@dataclass(frozen=True)
class Mistake:
    """`text` ends the sentence "behaves like: ..."; `why` is the line that explains it.

    `forms`: NumPy reference trainers that make it, each in one of the ways in which it is made.
    They call `super()`, so that two of them can be mixed into one.
    """

    text: str
    why: str
    forms: tuple[type[NumpyTrainer], ...]

    @property
    def anchor(self) -> str:
        """Return the fragment of its heading in PAGE."""
        return re.sub(r"[^\w\- ]", "", self.text.lower()).replace(" ", "-")


class OtherTask(NumpyTrainer):
    """Trains another task than the one it is given."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(self.other_task(task.documented()), splits)

    def other_task(self, task: Task) -> Task:
        """Return the task that it takes `task` for."""
        return task


class OtherRule(OtherTask):
    """Has another optimizer than the task's; without effect where the optimizer cannot be so."""

    def other_task(self, task: Task) -> Task:
        """Return the task with the other optimizer."""
        return replace(task, optimizer=replace(task.optimizer, **self.changed(task.optimizer)))

    def changed(self, rule: Any) -> dict[str, Any]:
        """Return the fields of `rule` that differ."""
        return {}


class OtherWalk(NumpyTrainer):
    """Takes another walk than the one it is told to take."""

    def train(self, walk: Walk) -> TrainStats:
        """Train along the other walk."""
        return super().train(self.other_walk(walk))

    def other_walk(self, walk: Walk) -> Walk:
        """Return what it makes of `walk`."""
        return walk


class OtherGradients(NumpyTrainer):
    """Hands other gradients to the optimizer than it has computed."""

    def _accumulated(self, x: Array, t: Array, keys: Any) -> tuple[Array, Params]:
        logits, grads = super()._accumulated(x, t, keys)
        return logits, self.other_gradients(grads, len(x))

    def other_gradients(self, grads: Params, samples: int) -> Params:
        """Return what it makes of the gradients of a step of so many samples."""
        return grads


class OtherLayers(NumpyTrainer):
    """Has other layers than the reference: `others` by the class that they stand in for."""

    others: dict[type[Layer], type[Layer]] = {}  # noqa: RUF012 - never changed

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self.layers = [self._other(layer) for layer in self.layers]

    def _other(self, layer: Layer) -> Layer:
        kind = self.others.get(type(layer))
        if kind is None or not self.concerns(layer):
            return layer
        return kind(layer.parameters, layer.spec)

    def concerns(self, layer: Layer) -> bool:
        """Tell whether the mistake is made in this layer of its class."""
        return True


def in_layers(
    others: dict[type[Layer], type[Layer]], base: type[OtherLayers] = OtherLayers
) -> type[OtherLayers]:
    """Return a trainer that has these layers in place of the reference's."""
    return type("InLayers", (base,), {"others": others})
