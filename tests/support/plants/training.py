"""Faults in how a walk is taken: its order, rates, batches, epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.data.dataset import Split
from nnbench.model.network import ParamKey


class Bent(NumpyTrainer):
    """Takes another walk than it is told to, or changes the gradients."""

    def train(self, walk: Walk) -> TrainStats:
        return super().train(self.other(walk))

    def other(self, walk: Walk) -> Walk:
        return walk

    def gradients(self, x: Any, t: Any, keys: Any) -> tuple[Any, Params]:
        logits, grads = super().gradients(x, t, keys)
        return logits, self.changed(grads, x)

    def changed(self, grads: Params, x: Any) -> Params:
        return grads


class DropsTheRaggedBatch(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        full = walk.samples // self.task.batch_size
        return super().train(walk.part(0, full, self.task.batch_size))


class LateSchedule(Bent):
    """Uses the learning rate of the step before."""

    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=np.concatenate([walk.lr[:1], walk.lr[:-1]]))


class OneRatePerEpoch(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=np.full_like(walk.lr, walk.lr[0]))


class RateInFloat32(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=walk.lr.astype(np.float32).astype(np.float64))


class IgnoresTheOrder(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, order=np.sort(walk.order))


class ShufflesInBatches(Bent):
    """The right samples in each batch, but the batches the other way round."""

    def other(self, walk: Walk) -> Walk:
        size, order = self.task.batch_size, np.array(walk.order)
        full = len(order) - len(order) % size
        order[:full] = order[:full].reshape(-1, size)[::-1].reshape(-1)
        return dataclasses.replace(walk, order=order)


class TakesTheLastBatchTwice(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        if len(walk.lr) > 1:
            super().train(walk.part(len(walk.lr) - 1, len(walk.lr), self.task.batch_size))
        return stats


class FillsTheRaggedBatch(Bent):
    """Fills it up with the first samples of the walk, as some pipelines do."""

    def other(self, walk: Walk) -> Walk:
        missing = len(walk.lr) * self.task.batch_size - walk.samples
        order = np.concatenate([walk.order, np.resize(walk.order, missing)])
        return dataclasses.replace(walk, order=order, samples=len(order))

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        return TrainStats(stats.loss_sum * walk.samples / stats.samples, walk.samples)


class FasterFromTheSecondEpoch(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=walk.lr * (1.01 if walk.epoch else 1.0))


class FasterLate(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=walk.lr * (1.01 if walk.epoch > 100 else 1.0))


class FasterInTheThirdEpoch(Bent):
    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, lr=walk.lr * (1.01 if walk.epoch == 2 else 1.0))


class WrongPastManySamples(Bent):
    """Samples beyond the 1,024th are counted from the start again."""

    def other(self, walk: Walk) -> Walk:
        return dataclasses.replace(walk, order=walk.order % 1024)


class WrongInFloat32(NumpyTrainer):
    """Keeps its weights in half precision, in float32 alone."""

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        if self.task.dtype == "float32":
            for p in self._params.values():
                p[...] = p.astype(np.float16)
        return stats


class ComputesInFloat32(NumpyTrainer):
    def gradients(self, x: Any, t: Any, keys: Any) -> tuple[Any, Params]:
        logits, grads = super().gradients(x.astype(np.float32).astype(x.dtype), t, keys)
        return logits, grads


class ForgetsTheMean(Bent):
    def changed(self, grads: Params, x: Any) -> Params:
        return {key: g * len(x) for key, g in grads.items()}


class MeanOverFullBatches(Bent):
    """Divides by the batch size where the batch is smaller."""

    def changed(self, grads: Params, x: Any) -> Params:
        return {key: g * len(x) / self.task.batch_size for key, g in grads.items()}


class NoBiasGradient(Bent):
    def changed(self, grads: Params, x: Any) -> Params:
        return {key: g * (key.role != "bias") for key, g in grads.items()}


class OutputBiasFixed(Bent):
    def changed(self, grads: Params, x: Any) -> Params:
        last = ParamKey(len(self.layers) - 1, "bias")
        return {key: g * (key != last) for key, g in grads.items()}


class OneBiasFixed(Bent):
    """The bias of the last class alone."""

    def changed(self, grads: Params, x: Any) -> Params:
        last = ParamKey(len(self.layers) - 1, "bias")
        return grads | {last: grads[last] * (np.arange(grads[last].size) < grads[last].size - 1)}


class GradientOfTheStepBefore(Bent):
    before: Params | None = None

    def load(self, params: Params) -> None:
        self.before = None
        super().load(params)

    def changed(self, grads: Params, x: Any) -> Params:
        used, self.before = self.before or grads, grads
        return used


class RoundsSmallGradients(Bent):
    def changed(self, grads: Params, x: Any) -> Params:
        return {key: g * (abs(g) > 1e-6) for key, g in grads.items()}


class HalvesBatchesOfOne(Bent):
    def changed(self, grads: Params, x: Any) -> Params:
        return {key: g * (0.5 if len(x) == 1 else 1.0) for key, g in grads.items()}


class _OtherLabels(NumpyTrainer):
    """Trains on other labels than it is given."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        train = splits["train"]
        if train.targets.ndim == 1:
            outputs = task.architecture.output_shape()[0]
            changed = Split(train.inputs, self.relabelled(train.targets, outputs))
            splits = {**splits, "train": changed}
        super().__init__(task, splits)

    def relabelled(self, labels: Any, outputs: int) -> Any:
        raise NotImplementedError


class MissesTheLastClass(_OtherLabels):
    def relabelled(self, labels: Any, outputs: int) -> Any:
        return np.minimum(labels, outputs - 2)


class MissesTheLastClassAlone(_OtherLabels):
    """Only where there is no other label."""

    def relabelled(self, labels: Any, outputs: int) -> Any:
        return labels - 1 if labels.min() == outputs - 1 else labels


class SwapsTwoClasses(_OtherLabels):
    def relabelled(self, labels: Any, outputs: int) -> Any:
        return 1 - labels if outputs == 2 else labels


class TrainsOnTest(NumpyTrainer):
    """A step on the test split after each walk."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        super().__init__(task, splits)
        self.task_of_test = NumpyTrainer(task, {**splits, "train": splits["test"]})

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        self.task_of_test.load(self.params())
        size = min(self.task.batch_size, len(self._inputs["test"]))
        self.task_of_test.train(Walk(np.arange(size), 0.1 * walk.lr[:1], size, 0, 0, 0))
        for key, p in self.task_of_test.params().items():
            self._params[key][...] = p
        return stats


class AnotherMaskPerStep(NumpyTrainer):
    def keys(self, first_step: int, steps: int) -> Any:
        return super().keys(first_step + 1, steps)


class OneMaskPerEpoch(NumpyTrainer):
    def keys(self, first_step: int, steps: int) -> Any:
        return super().keys(first_step - first_step % 7, 1) * steps


class StepsWrapAround(NumpyTrainer):
    """Counts steps in 16 bits."""

    def keys(self, first_step: int, steps: int) -> Any:
        return super().keys(first_step % 2**16, steps)


PLANTS: dict[type[NumpyTrainer], str] = {
    DropsTheRaggedBatch: "ragged batch counts",
    LateSchedule: "rate is per step",
    OneRatePerEpoch: "rate is per step",
    **dict.fromkeys(
        (
            RateInFloat32,
            IgnoresTheOrder,
            TakesTheLastBatchTwice,
            ShufflesInBatches,
            FillsTheRaggedBatch,
            FasterFromTheSecondEpoch,
            FasterInTheThirdEpoch,
            ComputesInFloat32,
            ForgetsTheMean,
            MeanOverFullBatches,
            NoBiasGradient,
            OutputBiasFixed,
            OneBiasFixed,
            GradientOfTheStepBefore,
            MissesTheLastClass,
            TrainsOnTest,
        ),
        "dense",
    ),
    FasterLate: "large and late epochs",
    WrongPastManySamples: "large and late epochs",
    StepsWrapAround: "large and late epochs",
    WrongInFloat32: "float32: dense",
    RoundsSmallGradients: "sigmoid",
    HalvesBatchesOfOne: "batches of 1",
    MissesTheLastClassAlone: "all samples of the last class",
    SwapsTwoClasses: "two classes",
    AnotherMaskPerStep: "dropout",
    OneMaskPerEpoch: "dropout",
}
