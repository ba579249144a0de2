"""The protocol between nnbench and a backend: a Task in, a Trainer that consumes walks.

A Trainer takes an epoch's index vector with its learning rates, not a step, so that each
framework keeps its best loop and nnbench's glue is not what is timed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import UnsupportedSpec
from nnbench.model.formulas import documented, documented_net
from nnbench.model.init import Params
from nnbench.model.losses import Loss, TaskKind
from nnbench.model.network import Architecture
from nnbench.model.optimizers import Optimizer
from nnbench.schema.deferred import dataclass

__all__ = [
    "ArraySpec",
    "Params",
    "ProfileRow",
    "Split",
    "State",
    "StepTrace",
    "Task",
    "TrainStats",
    "Trainer",
    "TrainerFactory",
    "UnsupportedSpec",
    "Walk",
]

State = dict[str, NDArray[Any]]
Semantics = Literal["matched", "native"]
DType = Literal["float32", "float64"]
InputKind = Literal["resident", "native", "per_sample"]


@dataclass(frozen=True)
class Task:
    """Everything that a backend needs to know about a training run; the same for each of them.

    In matched semantics every constant has a value, in native semantics None leaves it to the
    framework.
    `input`: batches come from arrays that stay on the device, from the framework's own loader, or
    from that loader reading images one by one.
    `drop_last`: an epoch leaves out what is left for a last batch smaller than `batch_size`.
    `gradient_accumulation_steps`: a step takes the gradients of so many batches, one after the
    other at the same weights, and updates once with their mean over all samples of these batches
    (their sum where the loss is summed over the batch). The last step of an epoch takes the
    batches that are left. What a layer does with a batch, as normalising, it does with each.
    """

    kind: TaskKind
    architecture: Architecture
    loss: Loss
    optimizer: Optimizer
    batch_size: int
    dtype: DType
    inputs: ArraySpec
    targets: ArraySpec
    device: str
    semantics: Semantics
    execution: str
    threads: int
    seed: int
    input: InputKind = "resident"
    drop_last: bool = False
    gradient_accumulation_steps: int = 1

    def __post_init__(self) -> None:
        if self.semantics == "matched":
            for name, value in self._documented().items():
                object.__setattr__(self, name, value)

    def documented(self) -> Task:
        """Return the task with nnbench's own constants where native semantics leave them open."""
        return replace(self, **self._documented())

    def _documented(self) -> dict[str, Any]:
        architecture = documented_net(self.architecture)
        return {"optimizer": documented(self.optimizer), "architecture": architecture}

    @property
    def step_samples(self) -> int:
        """Return how many samples a step takes, the last one of an epoch aside."""
        return self.batch_size * self.gradient_accumulation_steps

    def steps(self, n: int) -> int:
        """Return the number of steps of an epoch over `n` samples; a ragged last one counts."""
        return math.ceil(self.visited(n) / self.step_samples)

    def batches(self, first_step: int, n: int) -> range:
        """Return the numbers of the batches of `n` samples from a step on.

        They key what is random in each, and count from the start of the run as if each step had
        all of its batches.
        """
        first = first_step * self.gradient_accumulation_steps
        return range(first, first + math.ceil(n / self.batch_size))

    def visited(self, n: int) -> int:
        """Return how many of `n` samples an epoch visits: all, unless the last batch is dropped."""
        return n - n % self.batch_size if self.drop_last else n


@dataclass(frozen=True)
class Walk:
    """A path over the training samples, or a part of it.

    `order` int64 `(n,)`, the samples in the order of their visit, or None where the framework
    shuffles (native semantics; `samples` then says how many, of which `task.visited` are trained
    on). `lr` float64 `(steps,)`, one per step. `first_step` counts from the start of the run.
    `(seed, epoch)` key the random streams.
    """

    order: NDArray[np.int64] | None
    lr: NDArray[np.float64]
    samples: int
    epoch: int
    first_step: int
    seed: int

    def part(self, start: int, stop: int, step_samples: int) -> Walk:
        """Return the steps from `start` up to `stop`, counted within this walk."""
        if self.order is None:
            raise ValueError("An epoch that the framework shuffles cannot be split.")
        order = self.order[start * step_samples : stop * step_samples]
        return replace(
            self,
            order=order,
            lr=self.lr[start:stop],
            samples=len(order),
            first_step=self.first_step + start,
        )


@dataclass(frozen=True)
class TrainStats:
    """`loss_sum` of the per-sample losses as they were met, over `samples` samples.

    `correct` of them were classified rightly as they were met (`metrics.count_correct`), None
    where a backend does not count, and in regression.
    """

    loss_sum: float
    samples: int
    correct: int | None = None

    @property
    def accuracy(self) -> float | None:
        """Return the fraction that was classified rightly."""
        return None if self.correct is None else self.correct / self.samples

    def __add__(self, other: TrainStats) -> TrainStats:
        counts = (self.correct, other.correct)
        correct = None if None in counts else sum(filter(None, counts))
        return TrainStats(self.loss_sum + other.loss_sum, self.samples + other.samples, correct)


NO_STATS = TrainStats(0.0, 0, 0)


@dataclass(frozen=True)
class StepTrace:
    """One training step, taken apart; arrays in canonical layout.

    `activations[i]` is what goes into layer i, the last one the logits; `gradients[i]` is the
    gradient of the loss that is minimised with respect to the output of layer i, None below the
    first layer that learns. `parameter_gradients` are without weight decay and clipping;
    `updates` are what the optimizer added to the weights.
    """

    activations: list[NDArray[Any]]
    gradients: list[NDArray[Any] | None]
    parameter_gradients: Params
    updates: Params


@dataclass(frozen=True)
class ProfileRow:
    """What one operation takes per training step: `seconds` in `calls` calls.

    `place` is the layer, counted from 1, or what else the operation is part of; empty where a
    framework's profile does not tell.
    """

    place: str
    operation: str
    seconds: float
    calls: float


def with_between(rows: list[ProfileRow], passed: float) -> list[ProfileRow]:
    """Add what a step took outside of its operations: `passed` seconds less those of `rows`.

    That is the Python of the framework, mostly. Operations of several threads can take more than
    the time that passed; there is no such row then.
    """
    between = passed - sum(row.seconds for row in rows)
    return [*rows, ProfileRow("", "between operations", between, 1.0)] if between > 0 else rows


class Trainer(Protocol):
    """One training run in one framework, on one device.

    The slice law: consecutive parts of a walk equal the whole walk, bit for bit when cut at
    multiples of `slice_multiple` steps, within rounding elsewhere.
    """

    slice_multiple: int

    def load(self, params: Params) -> None:
        """Take weights in canonical layout; reset the optimizer's state."""

    def warm_up(self, n: int) -> None:
        """Compile and allocate for every shape that a walk of `n` samples needs.

        The ragged last batch too. Leaves parameters and optimizer state bit-unchanged.
        """

    def train(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`; return once the device is idle."""

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split: evaluation mode, no output activation."""

    def params(self) -> Params:
        """Return host copies of everything that inference needs, canonical layout."""

    def state(self) -> State:
        """Return host copies of everything that a checkpoint needs."""

    def restore(self, state: State) -> None:
        """Continue from what `state` returned, bit for bit."""


class TrainerFactory(Protocol):
    """What a backend's `_target_` names: builds a Trainer with the framework's own weights.

    The splits are given once and stay on the device. Raises UnsupportedSpec with a reason.
    """

    def __call__(self, task: Task, splits: Mapping[str, Split]) -> Trainer:
        """Build the trainer; splits: `train`, `train_eval`, `test` and perhaps `val`."""


@runtime_checkable
class Tracer(Protocol):
    """A Trainer that can show a step; what `nnbench trace` asks for."""

    def trace(self, walk: Walk) -> StepTrace:
        """Take the one step of `walk`, as `train` does, and return what went on in it."""


@runtime_checkable
class Chooser(Protocol):
    """A Trainer that chooses something by itself, as sizes of blocks; written into the record.

    `part_threads`, where it is one of them, are threads of its own; they count as threads in use.
    """

    choices: dict[str, int | str | None]


@runtime_checkable
class Effective(Protocol):
    """A Trainer that reads back from its framework's objects what they compute with.

    `effective` has constants and formulas by dotted key, in nnbench's words: `optimizer.epsilon`,
    `layers.1.momentum` (layers counted from 0). It is written into the record.
    """

    effective: dict[str, Any]


@runtime_checkable
class Profiler(Protocol):
    """A Trainer that can tell where its time goes; what `nnbench profile` asks for."""

    def profile(self, walk: Walk) -> list[ProfileRow]:
        """Take the steps of `walk`; return what each operation took of them."""
