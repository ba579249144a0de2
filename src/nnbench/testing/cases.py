"""Small training problems: a net, data and a way to train it, for comparing backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import DType, Task, Walk
from nnbench.data.dataset import ArraySpec, Split
from nnbench.model.init import Params, Uniform, initial_params
from nnbench.model.layers import Augment, Dense, Layer
from nnbench.model.losses import Loss, TaskKind, output_activation_for
from nnbench.model.network import Architecture
from nnbench.model.optimizers import SGD, Optimizer
from nnbench.schema.deferred import dataclass

SAMPLES, BATCH = 200, 32  # six full batches and a ragged one of 8
STEPS, EPOCHS = 7, 3
OUTPUTS, VOCABULARY = 4, 11
InputKind = Literal["image", "ties", "flat", "pixels", "tokens"]
SHAPES: dict[InputKind, tuple[int, ...]] = {
    "image": (8, 7, 2),
    "ties": (8, 7, 2),  # images of few values
    "flat": (12,),
    "pixels": (112,),
    "tokens": (9,),
}
SIZES = (200, 7, 1000, 1)  # rows of the splits that are evaluated
Rates = Callable[[int], NDArray[np.float64]]
Draw = Callable[[int, int], Split]  # (rows, seed)


def falling(epoch: int) -> NDArray[np.float64]:
    """Return learning rates that change within an epoch and between epochs, at most 1."""
    return np.asarray(0.7**epoch * 0.9 ** np.arange(STEPS), np.float64)


@dataclass(frozen=True)
class Case:
    """A task with the data, the initial weights and the walks to train it along.

    `draw(rows, seed)` makes more data of the same kind. `biased`: False lets biases start at 0, as
    most initializers do.
    """

    task: Task
    splits: Mapping[str, Split]
    rate: float
    draw: Draw
    rates: Rates = falling
    biased: bool = True

    @property
    def params(self) -> Params:
        """Return initial weights, different from 0 but for biases not `biased`; variances > 0."""
        params = initial_params(Uniform(-0.3, 0.3), self.task.architecture, 2, self.task.dtype)
        if not self.biased:
            params |= {k: np.zeros_like(p) for k, p in params.items() if k.role == "bias"}
        return {k: p if k.role != "variance" else np.abs(p) + 0.5 for k, p in params.items()}

    def walks(self) -> list[Walk]:
        """Return three shuffled epochs of at most seven steps; of 32, the last batch is ragged."""
        size = self.task.visited(min(SAMPLES, STEPS * self.task.step_samples))
        steps = self.task.steps(size)
        return [
            Walk(
                np.random.default_rng(epoch).permutation(SAMPLES)[:size],
                self.rate * self.rates(epoch)[:steps],
                size,
                epoch,
                steps * epoch,
                self.task.seed,
            )
            for epoch in range(EPOCHS)
        ]

    def sized(self, turn: int) -> dict[str, Split]:
        """Return splits of unlike rows and sizes; in four turns each name has each of `SIZES`.

        In turn 0 the training split is the case's own.
        """
        train, val, test, part = (SIZES[(turn + i) % len(SIZES)] for i in range(len(SIZES)))
        first = self.splits["train"] if turn == 0 else self.draw(train, 10)
        others = {"val": self.draw(val, 11), "test": self.draw(test, 12)}
        return {"train": first, "train_eval": first.first(part), **others}

    def steps(self) -> list[Walk]:
        """Return the same way step by step."""
        size = self.task.step_samples
        return [walk.part(i, i + 1, size) for walk in self.walks() for i in range(len(walk.lr))]

    def of(self, dtype: DType) -> Case:
        """Return the case in `dtype`."""
        return replace(self, task=replace(self.task, dtype=dtype))

    def in_batches(self, size: int) -> Case:
        """Return the case in batches of `size`."""
        return replace(self, task=replace(self.task, batch_size=size))

    def accumulating(self, batches: int) -> Case:
        """Return the case with steps of so many batches each."""
        return replace(self, task=replace(self.task, gradient_accumulation_steps=batches))

    def dropping_last(self) -> Case:
        """Return the case without the ragged last batch of each epoch."""
        return replace(self, task=replace(self.task, drop_last=True))

    def at(self, rates: Rates) -> Case:
        """Return the case with the learning rates of `rates`, times its own `rate`."""
        return replace(self, rates=rates)

    def where(self, change: Callable[[Split], Split]) -> Case:
        """Return the case with all of its data changed."""
        splits = {name: change(split) for name, split in self.splits.items()}
        return replace(self, splits=splits, draw=lambda n, seed: change(self.draw(n, seed)))

    def on(self, execution: str) -> Task:
        """Return the task for `execution`."""
        return replace(self.task, execution=execution)


def case(
    *layers: Layer,
    inputs: InputKind = "image",
    loss: Loss = Loss("cross_entropy"),  # noqa: B008 - frozen
    output: str | None = None,
    optimizer: Optimizer = SGD(momentum=0.9, weight_decay=0.01),  # noqa: B008 - frozen
    kind: TaskKind = "classification",
    augment: Augment | None = None,
    rate: float = 0.03,
    outputs: int = OUTPUTS,
) -> Case:
    """Return a case of `layers` with an output layer behind them."""
    architecture = Architecture(
        SHAPES[inputs],
        (*layers, Dense(outputs)),
        output or output_activation_for(loss, kind),  # type: ignore[arg-type]
        augment,
    )
    draw = partial(drawn, inputs, kind, outputs)
    split = draw(SAMPLES, 3)
    data = {"train": split, "train_eval": split.first(50), "test": split}
    spec = ArraySpec(
        SHAPES[inputs], str(data["train"].inputs.dtype), 1.0 if inputs == "ties" else 1 / 255
    )
    targets = ArraySpec(data["train"].targets.shape[1:], str(data["train"].targets.dtype))
    task = Task(
        kind=kind,
        architecture=architecture,
        loss=loss,
        optimizer=optimizer,
        batch_size=BATCH,
        dtype="float64",
        inputs=spec,
        targets=targets,
        device="cpu",
        semantics="matched",
        execution="reference",
        threads=1,
        seed=5,
    )
    return Case(task, data, rate / BATCH if loss.over_batch == "sum" else rate, draw)


def drawn(inputs: InputKind, kind: TaskKind, outputs: int, rows: int, seed: int) -> Split:
    """Return random inputs with labels or, in regression, numbers; the same for each seed."""
    rng = np.random.default_rng(seed)
    shape = (rows, *SHAPES[inputs])
    limit = {"ties": 3, "tokens": VOCABULARY}.get(inputs, 256)
    x: NDArray[Any]
    x = rng.standard_normal(shape) if inputs == "flat" else rng.integers(0, limit, shape)
    if inputs not in ("flat", "tokens"):
        x = x.astype(np.uint8)
    labels = kind == "classification"
    y = rng.integers(0, outputs, rows) if labels else rng.standard_normal((rows, outputs))
    return Split(x, np.asarray(y))
