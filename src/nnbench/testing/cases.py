"""Small training problems: a net, data and a way to train it, for comparing backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
Rates = Callable[[int], NDArray[np.float64]]


def falling(epoch: int) -> NDArray[np.float64]:
    """Return learning rates that change within an epoch and between epochs, at most 1."""
    return np.asarray(0.7**epoch * 0.9 ** np.arange(STEPS), np.float64)


@dataclass(frozen=True)
class Case:
    """A task with the data, the initial weights and the walks to train it along.

    `biased`: False lets biases start at 0, as most initializers do.
    """

    task: Task
    splits: Mapping[str, Split]
    rate: float
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
        """Return three shuffled epochs; the last batch of each is ragged."""
        return [
            Walk(
                np.random.default_rng(epoch).permutation(SAMPLES),
                self.rate * self.rates(epoch),
                SAMPLES,
                epoch,
                STEPS * epoch,
                self.task.seed,
            )
            for epoch in range(EPOCHS)
        ]

    def steps(self) -> list[Walk]:
        """Return the same way step by step."""
        return [walk.part(i, i + 1, BATCH) for walk in self.walks() for i in range(STEPS)]

    def of(self, dtype: DType) -> Case:
        """Return the case in `dtype`."""
        return replace(self, task=replace(self.task, dtype=dtype))

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
    rates: Rates = falling,
) -> Case:
    """Return a case of `layers` with an output layer behind them."""
    architecture = Architecture(
        SHAPES[inputs],
        (*layers, Dense(OUTPUTS)),
        output or output_activation_for(loss, kind),  # type: ignore[arg-type]
        augment,
    )
    data = splits(inputs, kind)
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
    return Case(task, data, rate / BATCH if loss.over_batch == "sum" else rate, rates)


def splits(inputs: InputKind, kind: TaskKind) -> dict[str, Split]:
    """Return random inputs with labels or, in regression, numbers; the same each time."""
    rng = np.random.default_rng(3)
    shape = (SAMPLES, *SHAPES[inputs])
    limit = {"ties": 3, "tokens": VOCABULARY}.get(inputs, 256)
    x: NDArray[Any]
    x = rng.standard_normal(shape) if inputs == "flat" else rng.integers(0, limit, shape)
    if inputs not in ("flat", "tokens"):
        x = x.astype(np.uint8)
    labels = kind == "classification"
    y = rng.integers(0, OUTPUTS, SAMPLES) if labels else rng.standard_normal((SAMPLES, OUTPUTS))
    split = Split(x, np.asarray(y))
    return {"train": split, "train_eval": split.first(50), "test": split}
