"""W1 to W6 and larger nets, built without the command line: made-up images, the same each time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from nnbench.backends.protocol import Task, Walk
from nnbench.data.dataset import ArraySpec, Split
from nnbench.model.init import Glorot, Params, initial_params
from nnbench.model.layers import (
    Activation,
    ActivationName,
    Conv2d,
    Dense,
    Flatten,
    Layer,
    MaxPool2d,
)
from nnbench.model.losses import Loss
from nnbench.model.network import Architecture
from nnbench.model.optimizers import SGD, Optimizer

RATE = 0.005
IMAGES = (28, 28, 1)


@dataclass(frozen=True)
class Workload:
    """A net trained with batches of `batch`; an epoch takes `steps` steps."""

    name: str
    what: str
    layers: tuple[Layer, ...]
    batch: int
    steps: int
    optimizer: Optimizer = SGD(momentum=0.9)  # noqa: RUF009 - frozen
    sigmoid: bool = False
    on_cpu: bool = True

    @property
    def architecture(self) -> Architecture:
        """Return the net: `layers`, then ten outputs."""
        images = any(isinstance(layer, Conv2d) for layer in self.layers)
        output: ActivationName = "sigmoid" if self.sigmoid else "softmax"
        return Architecture(IMAGES if images else (784,), (*self.layers, Dense(10)), output)

    def task(self, device: str, execution: str) -> Task:
        """Return the task in float32."""
        return Task(
            kind="classification",
            architecture=self.architecture,
            loss=Loss("mse" if self.sigmoid else "cross_entropy"),
            optimizer=self.optimizer,
            batch_size=self.batch,
            dtype="float32",
            inputs=ArraySpec((784,), "uint8", 1 / 255),
            targets=ArraySpec((), "int64"),
            device=device,
            semantics="matched",
            execution=execution,
            threads=1,
            seed=0,
        )

    def splits(self) -> dict[str, Split]:
        """Return the samples of an epoch, and a few to evaluate."""
        train = images(self.batch * self.steps)
        return {"train": train, "train_eval": train.first(100), "test": train.first(1000)}

    def params(self) -> Params:
        """Return initial weights."""
        return initial_params(Glorot(), self.architecture, 0, "float32")

    def walk(self) -> Walk:
        """Return an epoch in order."""
        samples = self.batch * self.steps
        return Walk(np.arange(samples), np.full(self.steps, RATE), samples, 0, 0, 0)

    def shorter(self, steps: int) -> Workload:
        """Return the same with at most `steps` steps an epoch."""
        return replace(self, steps=min(steps, self.steps))


@cache
def images(samples: int) -> Split:
    """Return made-up images of 784 pixels with labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (samples, 784), dtype=np.uint8)
    return Split(pixels, rng.integers(0, 10, samples))


def _dense(*widths: int, activation: str = "relu") -> tuple[Layer, ...]:
    return tuple(layer for n in widths for layer in (Dense(n), Activation(activation)))  # type: ignore[arg-type]


SIGMOID = _dense(128, activation="sigmoid")
CNN = (
    *(Conv2d(8), MaxPool2d(), Activation("relu"), Conv2d(16), MaxPool2d(), Activation("relu")),
    Flatten(),
)
SIZES = {
    "109 thousand": (128, 64),
    "0.7 million": (632, 316),
    "2.8 million": (1704, 852),
    "11 million": (4032, 2016),
    "45 million": (8744, 4372),
    "100 million": (9600, 9600),
}
WORKLOADS = (
    Workload("W3", "784-128-64-10 ReLU, momentum, batch 32", _dense(128, 64), 32, 1000),
    Workload("W1", "784-128-10 sigmoid, SGD, batch 1", SIGMOID, 1, 1000, SGD(), sigmoid=True),
    Workload("W2", "784-128-10 sigmoid, SGD, batch 32", SIGMOID, 32, 400, SGD(), sigmoid=True),
    Workload("W4", "784-10-10, batches of 9,000", _dense(10), 9000, 8, SGD()),
    Workload("W6", "two convolutions, batch 64", CNN, 64, 100, SGD()),
    *(
        Workload(
            f"W5, {name}",
            "two hidden layers, momentum, batch 32",
            _dense(*widths),
            32,
            100,
            on_cpu=widths[0] < 4000,
        )
        for name, widths in SIZES.items()
    ),
)
