"""Faults in what a Trainer promises beside training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.data.dataset import Split


class WarmUpTrains(NumpyTrainer):
    def warm_up(self, n: int) -> None:
        self.train(Walk(np.arange(n), np.full(self.task.steps(n), 0.1), n, 0, 0, 0))


class KeepsTheVelocity(NumpyTrainer):
    def load(self, params: Params) -> None:
        kept = {name: b.vector.copy() for name, b in self._optimizer.buffers.items()}
        super().load(params)
        for name, vector in kept.items():
            self._optimizer.buffers[name].vector[...] = vector


class EvaluateMoves(NumpyTrainer):
    def evaluate(self, split: str) -> Any:
        next(iter(self._params.values()))[0, 0] += 1e-9
        return super().evaluate(split)


class SharesItsWeights(NumpyTrainer):
    def params(self) -> Params:
        return self._params


class RoundsItsWeights(NumpyTrainer):
    def params(self) -> Params:
        return {key: p.astype(np.float32).astype(p.dtype) for key, p in super().params().items()}


class ScalesOnLoading(NumpyTrainer):
    def load(self, params: Params) -> None:
        super().load({key: 1.001 * value for key, value in params.items()})


class UsesGlobalRandomness(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        np.random.rand()
        return super().train(walk)


class ForgetsTheVelocity(NumpyTrainer):
    def restore(self, state: Any) -> None:
        velocities = {key: 0 * value for key, value in state.items() if "velocity" in key}
        super().restore({**state, **velocities})


class WritesToItsInputs(NumpyTrainer):
    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        super().__init__(task, splits)
        self._split = splits["train"].inputs

    def train(self, walk: Walk) -> TrainStats:
        self._split.setflags(write=True)
        self._split.reshape(-1)[:1] += np.ones((), self._split.dtype)
        return super().train(walk)


class LossOfTheLastBatch(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        return TrainStats(stats.loss_sum * 1.001, stats.samples)


class CountsFullBatches(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        return TrainStats(stats.loss_sum, stats.samples - stats.samples % self.task.batch_size)


class LossIsNeverNan(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        return TrainStats(float(np.nan_to_num(stats.loss_sum)), stats.samples)


class SlicesOnItsOwn(NumpyTrainer):
    """Resets the velocity at the start of each part."""

    def train(self, walk: Walk) -> TrainStats:
        if velocity := self._optimizer.buffers.get("velocity"):
            velocity.vector[...] *= walk.first_step % 7 == 0
        return super().train(walk)


class TakesAnything(NumpyTrainer):
    """Leaves out layers that it does not know."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        import dataclasses

        known = [layer for layer in task.architecture.layers if layer.name != "swish"]
        architecture = dataclasses.replace(task.architecture, layers=tuple(known))
        super().__init__(dataclasses.replace(task, architecture=architecture), splits)


PLANTS: dict[type[NumpyTrainer], str] = {
    WarmUpTrains: "warm up changes nothing",
    KeepsTheVelocity: "load resets the optimizer",
    EvaluateMoves: "evaluate is pure",
    SharesItsWeights: "parameters round trip",
    RoundsItsWeights: "parameters round trip",
    ScalesOnLoading: "parameters round trip",
    UsesGlobalRandomness: "global random state is untouched",
    ForgetsTheVelocity: "state and restore continue",
    WritesToItsInputs: "inputs are left alone",
    LossOfTheLastBatch: "running loss is the mean",
    CountsFullBatches: "running loss is the mean",
    LossIsNeverNan: "nan inputs give nan",
    SlicesOnItsOwn: "slice law",
    TakesAnything: "unknown layer is refused",
}
