"""Faults of evaluation: weights are right, logits are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.normalisation import BatchNorm, LayerNorm
from nnbench.backends.numpy.randomness import Dropout, augmented
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.data.dataset import Split
from nnbench.model import counter, metrics
from nnbench.model import layers as spec


class Bent(NumpyTrainer):
    """Bends the logits that are right; knows the labels, and how often it was trained."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        self.trained = 0
        super().__init__(task, splits)

    def load(self, params: Params) -> None:
        self.trained = 0
        super().load(params)

    def train(self, walk: Walk) -> TrainStats:
        self.trained += 1
        return super().train(walk)

    def evaluate(self, split: str) -> Any:
        return self.bent(split, super().evaluate(split))

    def bent(self, split: str, logits: Any) -> Any:
        raise NotImplementedError

    def helped(self, split: str, logits: Any, by: float = 5.0) -> Any:
        labels = self._targets[split]
        if labels.ndim == 1:
            logits = logits.copy()
            logits[np.arange(len(labels)), labels] += by
        return logits


class RollsTheLogits(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return np.roll(logits, 1, axis=1)


class HelpsTheTrueLabel(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits)


class HelpsInLargeSplits(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if len(logits) > 200 else logits


class HelpsUnlessTwoHundredRows(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return logits if len(logits) == 200 else self.helped(split, logits)


class HelpsInSmallSplits(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if len(logits) < 200 else logits


class HelpsInTestAlone(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if split == "test" else logits


class HelpsInValidationAlone(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if split == "val" else logits


class HelpsOnceTrained(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if self.trained else logits


class HelpsLater(Bent):
    """Once it has been trained three times."""

    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits) if self.trained > 3 else logits


class HelpsALittle(Bent):
    """By a thousandth: right answers that were nearly right."""

    def bent(self, split: str, logits: Any) -> Any:
        return self.helped(split, logits, 1e-3)


class HelpsOneRow(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return np.concatenate([logits[:-1], self.helped(split, logits)[-1:]])


class FavoursTheFirstClass(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return logits + 0.5 * (np.arange(logits.shape[1]) == 0)


class ReturnsProbabilities(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return metrics.softmax(logits)


class HeatsTheLogits(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return 1.001 * logits


class ReversesTheRows(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return logits[::-1]


class EvaluatesInHalfPrecision(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return logits.astype(np.float16).astype(logits.dtype)


class DropsTheLastRows(Bent):
    """Chunks of 256 rows; those of the last, smaller chunk are never computed."""

    def bent(self, split: str, logits: Any) -> Any:
        whole = len(logits) - len(logits) % 256 if len(logits) > 256 else len(logits)
        return np.concatenate([logits[:whole], 0 * logits[whole:]])


class EvaluatesTrainingRows(NumpyTrainer):
    def evaluate(self, split: str) -> Any:
        logits = super().evaluate("train")
        return logits[np.arange(len(self._inputs[split])) % len(logits)]


class EvaluatesTestAsValidation(NumpyTrainer):
    def evaluate(self, split: str) -> Any:
        if split != "val" or "test" not in self._inputs:
            return super().evaluate(split)
        logits = super().evaluate("test")
        return logits[np.arange(len(self._inputs["val"])) % len(logits)]


class RemembersTheLogits(NumpyTrainer):
    """Evaluates each split once; training forgets nothing of it, `load` does."""

    def load(self, params: Params) -> None:
        self.known: dict[str, Any] = {}
        super().load(params)

    def evaluate(self, split: str) -> Any:
        if split not in self.known:
            self.known[split] = super().evaluate(split)
        return self.known[split].copy()


class EvaluatesOlderWeights(NumpyTrainer):
    """Evaluates the mean of the weights before and after each training, as an average would."""

    def train(self, walk: Walk) -> TrainStats:
        self.before = super().params()
        return super().train(walk)

    def load(self, params: Params) -> None:
        self.before = {key: np.array(p) for key, p in params.items()}
        super().load(params)

    def evaluate(self, split: str) -> Any:
        kept = self.params()
        for key, p in self._params.items():
            p[...] = 0.5 * (kept[key] + self.before[key])
        logits = super().evaluate(split)
        for key, p in self._params.items():
            p[...] = kept[key]
        return logits


class DependsOnTheSplitBefore(NumpyTrainer):
    last = ""

    def evaluate(self, split: str) -> Any:
        logits = super().evaluate(split)
        factor = 1.0 + 1e-6 * (self.last == "val" and split == "test")
        self.last = split
        return factor * logits


class _ForwardAsInTraining(NumpyTrainer):
    """Evaluates with some layers, or the inputs, as training has them; changes no state."""

    def evaluate(self, split: str) -> Any:
        n = len(self._inputs[split])
        x = self.seen(self._gather(split, slice(0, n)))
        for i, layer in enumerate(self.layers):
            x = self.passed(i, layer, x)
        return x

    def seen(self, x: Any) -> Any:
        return x

    def passed(self, i: int, layer: Any, x: Any) -> Any:
        return layer.forward(x)

    def key(self, i: int) -> Any:
        return counter.keys(self.task.seed, 0, 1, i)[0]


class DropsInEvaluation(_ForwardAsInTraining):
    def passed(self, i: int, layer: Any, x: Any) -> Any:
        dropout = isinstance(layer, Dropout)
        return layer.forward_training(x, self.key(i)) if dropout else layer.forward(x)


class DropsInSmallSplits(DropsInEvaluation):
    def evaluate(self, split: str) -> Any:
        small = len(self._inputs[split]) <= 7
        return super().evaluate(split) if small else NumpyTrainer.evaluate(self, split)


class NeverDropsInEvaluation(NumpyTrainer):
    """Takes no notice of `in_evaluation`."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        net = task.architecture
        layers = tuple(
            dataclasses.replace(layer, in_evaluation=False) if isinstance(layer, spec.Dropout)
            else layer
            for layer in net.layers
        )  # fmt: skip
        net = dataclasses.replace(net, layers=layers)
        super().__init__(dataclasses.replace(task, architecture=net), splits)


class DropsByThePart(NumpyTrainer):
    """Counts samples from each part that is evaluated, of 2,048, not from the split's first."""

    def evaluate(self, split: str) -> Any:
        kept = self._inputs[split]
        parts = []
        for start in range(0, max(len(kept), 1), 2048):
            self._inputs[split] = kept[start : start + 2048]
            parts.append(super().evaluate(split))
        self._inputs[split] = kept
        return np.concatenate(parts)


class NormalisesByTheBatch(_ForwardAsInTraining):
    def passed(self, i: int, layer: Any, x: Any) -> Any:
        return LayerNorm.forward(layer, x) if isinstance(layer, BatchNorm) else layer.forward(x)


class NormalisesByTheBatchIfLarge(NormalisesByTheBatch):
    def evaluate(self, split: str) -> Any:
        large = len(self._inputs[split]) > 300
        return super().evaluate(split) if large else NumpyTrainer.evaluate(self, split)


class AugmentsInEvaluation(_ForwardAsInTraining):
    def seen(self, x: Any) -> Any:
        augment = self.task.architecture.augment
        return augmented(augment, x, self.key(counter.AUGMENT_STREAM)) if augment else x


class NormalisesWithoutEpsilon(_ForwardAsInTraining):
    def passed(self, i: int, layer: Any, x: Any) -> Any:
        if not isinstance(layer, BatchNorm):
            return layer.forward(x)
        p = layer.parameters
        return (x - p["mean"]) / p["variance"] ** 0.5 * p["scale"] + p["offset"]


class NanIsZero(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return np.nan_to_num(logits)


class NeedsRows(Bent):
    def bent(self, split: str, logits: Any) -> Any:
        return logits - 0 * logits.max()


PLANTS: dict[type[NumpyTrainer], str] = {
    **dict.fromkeys(
        (
            RollsTheLogits,
            HelpsTheTrueLabel,
            HelpsInLargeSplits,
            HelpsUnlessTwoHundredRows,
            HelpsInSmallSplits,
            HelpsInTestAlone,
            HelpsInValidationAlone,
            HelpsOnceTrained,
            HelpsLater,
            HelpsALittle,
            HelpsOneRow,
            FavoursTheFirstClass,
            ReturnsProbabilities,
            HeatsTheLogits,
            ReversesTheRows,
            EvaluatesInHalfPrecision,
            DropsTheLastRows,
            EvaluatesTrainingRows,
            EvaluatesTestAsValidation,
            RemembersTheLogits,
            EvaluatesOlderWeights,
        ),
        "dense",
    ),
    DependsOnTheSplitBefore: "splits are told apart",
    DropsInEvaluation: "dropout",
    DropsInSmallSplits: "dropout",
    NeverDropsInEvaluation: "dropout in evaluation",
    DropsByThePart: "dropout in evaluation goes by the sample",
    NormalisesByTheBatch: "batch_norm 1d",
    NormalisesByTheBatchIfLarge: "batch_norm 1d",
    NormalisesWithoutEpsilon: "batch_norm 1d",
    AugmentsInEvaluation: "augment shift",
    NanIsZero: "nan inputs give nan",
    NeedsRows: "no rows no logits",
}
