"""A trainer under test, with the task, splits and walks that the checks share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from nnbench.backends.protocol import DType, Task, Trainer, TrainerFactory, Walk
from nnbench.data.dataset import ArraySpec, Split
from nnbench.model.architectures import MLP
from nnbench.model.init import Params, Uniform, initial_params
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Optimizer

SAMPLES = 200
BATCH = 32  # 200 samples: six full batches and a ragged one of 8
STEPS = 7


class Subject:
    """A trainer under test, with the task, splits and walks that the checks share."""

    def __init__(
        self,
        make: TrainerFactory,
        execution: str,
        optimizer: Optimizer = SGD(momentum=0.9, weight_decay=0.01),  # noqa: B008 - frozen
        dtype: DType = "float64",
    ) -> None:
        self.make, self.execution, self.optimizer = make, execution, optimizer
        self.dtype: DType = dtype

    @cached_property
    def task(self) -> Task:
        """784-16-10 sigmoid, summed binary cross-entropy, batch 32."""
        architecture = MLP(hidden=(16,), activation="sigmoid", output_activation="sigmoid")
        return Task(
            kind="classification",
            architecture=architecture.build((784,), 10),
            loss=Loss("bce", "sum"),
            optimizer=self.optimizer,
            batch_size=BATCH,
            dtype=self.dtype,
            inputs=ArraySpec((784,), "uint8", 1 / 255),
            targets=ArraySpec((), "int64"),
            device="cpu",
            semantics="matched",
            execution=self.execution,
            threads=1,
            seed=0,
        )

    @cached_property
    def splits(self) -> Mapping[str, Split]:
        """Random images with labels, the same each time."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (SAMPLES, 784)).astype(np.uint8)
        split = Split(images, rng.integers(0, 10, SAMPLES))
        return {"train": split, "train_eval": split.first(50), "test": split}

    @cached_property
    def params(self) -> Params:
        """Initial weights, biases too."""
        return initial_params(Uniform(-0.05, 0.05), self.task.architecture, 0, self.dtype)

    @cached_property
    def _built(self) -> Trainer:
        return self.make(self.task, self.splits)

    @property
    def trainer(self) -> Trainer:
        """The trainer, freshly loaded; built once, since compiling may take seconds."""
        self._built.load(self.params)
        return self._built

    def walk(self, epoch: int = 0) -> Walk:
        """A shuffled epoch whose learning rate falls within it."""
        order = np.random.default_rng(100 + epoch).permutation(SAMPLES)
        return Walk(order, np.geomspace(0.05, 0.01, STEPS), SAMPLES, epoch, STEPS * epoch, 0)
