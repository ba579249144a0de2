"""The trainer under test, for checks that need one of any kind."""

from __future__ import annotations

from functools import cached_property

from nnbench.backends.drift import trained
from nnbench.backends.protocol import DType, Trainer, TrainerFactory, Walk
from nnbench.errors import UnsupportedSpec
from nnbench.model.init import Params
from nnbench.model.layers import Activation, ActivationName, Dense
from nnbench.model.losses import Loss
from nnbench.testing.cases import case

LOSSES = (Loss("bce", "sum"), Loss("cross_entropy"))


class Subject:
    """A trainer under test: a sigmoid net on flat images of bytes, summed binary cross-entropy.

    Where the backend has no such loss, cross-entropy.
    """

    def __init__(self, make: TrainerFactory, execution: str, dtype: DType = "float64") -> None:
        layers = Dense(16), Activation("sigmoid")
        self.floats = case(*layers, inputs="flat").of(dtype)
        self.make, self.dtype = make, dtype
        for loss in LOSSES:
            self.case = case(*layers, inputs="pixels", loss=loss).of(dtype)
            self.task, self.splits = self.case.on(execution), self.case.splits
            try:
                make(self.task, self.splits)
            except UnsupportedSpec:
                continue
            except Exception:  # what else is wrong with it the checks find
                break
            break
        self.params = self.case.params

    @property
    def output(self) -> ActivationName:
        """The activation after the logits."""
        return self.task.architecture.output_activation

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
        return self.case.walks()[epoch]

    def after(self, *walks: Walk) -> Params:
        """The weights after training along `walks`, from the initial ones."""
        return trained(self._built, self.params, walks)
