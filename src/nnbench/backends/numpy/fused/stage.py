"""What plans are made of: calls, stages (one for a layer or a few in a row), and their material."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from functools import partial
from typing import Protocol

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas, Call, Step
from nnbench.backends.numpy.layers import Array, Layer
from nnbench.backends.numpy.stopwatch import Stopwatch
from nnbench.backends.protocol import Task
from nnbench.model.counter import Words
from nnbench.schema.deferred import dataclass


@dataclass
class Material:
    """The task, data as they are stored, the layers of `reference` and the weights.

    `training` tells what the layers do with them; `keys` are those of the batch that is about to
    be computed, `batch_keys` those of every batch of a step that takes several. In evaluation
    `evaluation_keys` are, and `first_row` is the number of the first sample in its split.
    """

    task: Task
    inputs: Array
    targets: Array
    layers: list[Layer]
    weights: Flat
    evaluation_keys: dict[int, Words] = field(default_factory=dict)
    training: bool = True
    first_row: int = 0
    keys: dict[int, Words] = field(default_factory=dict)
    batch_keys: list[dict[int, Words]] = field(default_factory=list)


class Program:
    """Calls to be made one after the other; `steps` has each with what it is part of."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.calls: list[Call] = []

    def add(self, place: str, calls: Iterable[Call]) -> None:
        """Append calls that are part of `place`: `batch`, `1 forward`, `loss`, ..."""
        self.extend((place, call) for call in calls)

    def extend(self, steps: Iterable[Step]) -> None:
        """Append steps."""
        steps = list(steps)
        self.steps += steps
        self.calls += [call for _, call in steps]

    def watch(self, stopwatch: Stopwatch) -> None:
        """Put the stopwatch around every call."""
        self.calls = [partial(stopwatch.time, place, call) for place, call in self.steps]


@dataclass(frozen=True)
class Sink:
    """Where gradients go: `target = beta target + alpha gradient`, parameter by parameter."""

    target: Flat
    alpha: float
    beta: float

    def adding(self) -> Sink:
        """Return the same target for gradients of further samples of the same step."""
        return replace(self, beta=1.0)


class Stage(Protocol):
    """A layer at work on a fixed number of samples, its arrays allocated.

    Built from the last to the first, each with the array `out` that its output goes to, in
    canonical layout whatever the memory behind it; `input` is where it wants its own.
    """

    layer: int
    input: Array
    out: Array

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls that compute `out` from `input`."""

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls that turn dy, which they may overwrite, into the gradients.

        Those of the parameters go to the sink. The array returned is where, if `wanted`, the
        gradient with respect to the input will be.
        """
