"""Mistakes with what a layer remembers from forward to backward: ReLU's mask and dropout's."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import Activation, Array, Layer
from nnbench.backends.numpy.randomness import Dropout
from nnbench.backends.protocol import Task, TrainStats, Walk
from nnbench.testing.mistakes.mistake import Mistake, OtherLayers, in_layers


class _Masked(Activation):
    """A ReLU that keeps its mask; `mask` is what `kept` makes of the present one."""

    last: Array | None = None
    mask: Array

    def forward(self, x: Array) -> Array:
        self.mask = self.kept(x > 0.0)
        return x.clip(min=0.0)

    def kept(self, present: Array) -> Array:
        return present

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return dy * self.mask


class _BatchBefore(_Masked):
    """The mask of the batch before, its own where that had another size."""

    def kept(self, present: Array) -> Array:
        before, self.last = self.last, present
        return before if before is not None and before.shape == present.shape else present


class _FirstRowsBefore(_Masked):
    """The same, of a larger batch before its first rows."""

    def kept(self, present: Array) -> Array:
        before, self.last = self.last, present
        fits = before is not None and len(before) >= len(present)
        return before[: len(present)] if fits and before is not None else present


class _FirstOfItsSize(_Masked):
    """A mask that is made anew where the size of the batch changes, and then alone."""

    def kept(self, present: Array) -> Array:
        if self.last is None or self.last.shape != present.shape:
            self.last = present
        return self.last


def _both_ways(kind: type[_Masked]) -> type[_Masked]:
    """Return the layer that uses its mask forward, too."""

    class BothWays(kind):  # type: ignore[misc, valid-type]
        def forward(self, x: Array) -> Array:
            super().forward(x)
            return x * self.mask

    return BothWays


def _relu(kind: type[Layer]) -> type[NumpyTrainer]:
    class InRelu(OtherLayers):
        others = {Activation: kind}  # noqa: RUF012

        def concerns(self, layer: Layer) -> bool:
            return bool(layer.spec.name == "relu")

    return InRelu


STALE = (_BatchBefore, _FirstRowsBefore, _FirstOfItsSize)


class _LastFactor(Dropout):
    """Passes the gradient back through the mask of the batch before."""

    before: Array | None = None

    def forward_training(self, x: Array, key: Any) -> Array:
        last = getattr(self, "factor", None)
        y = super().forward_training(x, key)
        self.before = last if last is not None and last.shape == x.shape else self.factor
        return y

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return dy * self.before


class _NoFactorBack(Dropout):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return dy


class _Unscaled(Dropout):
    def forward_training(self, x: Array, key: Any) -> Array:
        super().forward_training(x, key)
        self.factor = (self.factor > 0).astype(x.dtype)
        return x * self.factor


class _UnscaledBack(Dropout):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return dy * (self.factor > 0)


class _ScaledInEvaluation(_Unscaled):
    def forward_evaluation(self, x: Array, key: Any, row: int) -> Array:
        if self.spec.in_evaluation:
            return super().forward_evaluation(x, key, row)
        return x * (1.0 - self.spec.rate)


class _KeepsTheOthers(Dropout):
    """Takes the rate for that of what is kept; the scale with it, or not."""

    scaled = True

    def forward_training(self, x: Array, key: Any) -> Array:
        super().forward_training(x, key)
        scale = 1.0 / self.spec.rate if self.scaled else 1.0 / (1.0 - self.spec.rate)
        self.factor = (self.factor == 0) * x.dtype.type(scale)
        return x * self.factor


class _KeepsTheOthersUnscaled(_KeepsTheOthers):
    scaled = False


class _ByTheGradient(Activation):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return dy * (dy > 0.0)


class _OneMask(NumpyTrainer):
    def keys(self, first: int, batches: int) -> Any:
        return super().keys(0, 1) * batches


class _OneMaskPerWalk(NumpyTrainer):
    def keys(self, first: int, batches: int) -> Any:
        return super().keys(first, 1) * batches


class _NextMask(NumpyTrainer):
    def keys(self, first: int, batches: int) -> Any:
        return super().keys(first + 1, batches)


class _DropsInEvaluation(NumpyTrainer):
    """Evaluates as it trains, with the mask of the run's first step."""

    def __init__(self, task: Task, splits: Any) -> None:
        self.next = 0
        super().__init__(task, splits)

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        self.next = self.task.batches(walk.first_step, walk.samples).stop
        return stats

    def number(self) -> int:
        return 0

    def evaluate(self, split: str) -> Array:
        x = self._gather(split, slice(0, len(self._inputs[split])))
        keys = self.keys(self.number(), 1)[0]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for i, layer in enumerate(self.layers):
                drops = isinstance(layer, Dropout)
                x = layer.forward_training(x, keys[i]) if drops else layer.forward(x)
        return x


class _DropsAsLast(_DropsInEvaluation):
    def number(self) -> int:
        return max(0, self.next - 1)


class _DropsAsNext(_DropsInEvaluation):
    def number(self) -> int:
        return self.next


MASKS = (
    Mistake(
        "the mask of a ReLU is that of the batch before",
        "The slope is 1 where this batch's x is above 0: the mask is made on the way forward, in "
        "every step.",
        tuple(_relu(kind) for each in STALE for kind in (each, _both_ways(each))),
    ),
    Mistake(
        "dropout passes the gradient through the mask of the batch before",
        "What was dropped on the way forward gets no gradient on the way back: the same mask, "
        "made once in every step.",
        (in_layers({Dropout: _LastFactor}),),
    ),
    Mistake(
        "dropout passes the gradient back without its mask",
        "y = x * factor has the derivative factor: what was dropped gets no gradient.",
        (in_layers({Dropout: _NoFactorBack}), in_layers({Dropout: _UnscaledBack})),
    ),
    Mistake(
        "dropout does not scale what it keeps",
        "What is kept is divided by 1 - rate, so that the sum stays the same on average and "
        "evaluation can leave dropout out.",
        (in_layers({Dropout: _Unscaled}),),
    ),
    Mistake(
        "dropout scales in evaluation, and not in training",
        "Both forms of dropout exist. This one divides by 1 - rate in training, so that evaluation "
        "is the plain net.",
        (in_layers({Dropout: _ScaledInEvaluation}),),
    ),
    Mistake(
        "dropout drops what it should keep",
        "rate is the share that is dropped, not the share that is kept.",
        (in_layers({Dropout: _KeepsTheOthers}), in_layers({Dropout: _KeepsTheOthersUnscaled})),
    ),
    Mistake(
        "a ReLU looks at the gradient and not at its input",
        "The slope is 1 where x > 0, whatever the sign of dy.",
        (_relu(_ByTheGradient),),
    ),
    Mistake(
        "dropout drops the same values in every step",
        "Each step has a mask of its own, drawn from the number of the step.",
        (_OneMask, _OneMaskPerWalk, _NextMask),
    ),
    Mistake(
        "evaluation drops values",
        "Dropout is for training alone: in evaluation it passes x on.",
        (_DropsInEvaluation, _DropsAsLast, _DropsAsNext),
    ),
)
