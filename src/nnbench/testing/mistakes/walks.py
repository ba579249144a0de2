"""Mistakes in how an epoch is walked: its order, its batches, its learning rates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.testing.mistakes.mistake import Mistake, OtherTask, OtherWalk


class _DropsTheRest(OtherWalk):
    def other_walk(self, walk: Walk) -> Walk:
        full = walk.samples // self.size()
        walk = replace(walk, order=_order(walk)[: full * self.size()], samples=full * self.size())
        return super().other_walk(replace(walk, lr=walk.lr[: self.task.steps(walk.samples)]))

    def size(self) -> int:
        return self.task.batch_size


class _DropsTheShortStep(_DropsTheRest):
    def size(self) -> int:
        return self.task.step_samples


class _Fills(OtherWalk):
    """Fills the last batch with the first samples of the walk."""

    def other_walk(self, walk: Walk) -> Walk:
        missing = len(walk.lr) * self.task.step_samples - walk.samples
        order = np.concatenate([_order(walk), np.resize(_order(walk), missing)])
        return super().other_walk(replace(walk, order=order, samples=len(order)))


class _Sorted(OtherWalk):
    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, order=np.sort(_order(walk))))


class _FromTheStart(OtherWalk):
    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, order=np.arange(len(_order(walk)))))


class _ShufflesAgain(OtherWalk):
    """Shuffles by a generator of its own, seeded with the run's seed."""

    def __init__(self, task: Task, splits: Any) -> None:
        self.own = np.random.default_rng(task.seed)
        super().__init__(task, splits)

    def other_walk(self, walk: Walk) -> Walk:
        order = _order(walk)[self.own.permutation(walk.samples)]
        return super().other_walk(replace(walk, order=order))


class _ShufflesByItself(_ShufflesAgain):
    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, order=np.arange(walk.samples)))


class _ShufflesAgainEachEpoch(_ShufflesAgain):
    """Seeds its generator anew in every epoch."""

    def other_walk(self, walk: Walk) -> Walk:
        self.own = np.random.default_rng(self.task.seed)
        return super().other_walk(walk)


class _LateRate(OtherWalk):
    """The rate of the step before, within a walk; its first step has its own."""

    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, lr=np.concatenate([walk.lr[:1], walk.lr[:-1]])))


class _LateRateFromWalkToWalk(OtherWalk):
    last: float | None = None

    def load(self, params: Params) -> None:
        self.last = None
        super().load(params)

    def other_walk(self, walk: Walk) -> Walk:
        first = walk.lr[:1] if self.last is None else np.array([self.last])
        if len(walk.lr):
            self.last = float(walk.lr[-1])
        return super().other_walk(replace(walk, lr=np.concatenate([first, walk.lr[:-1]])))


class _EarlyRate(OtherWalk):
    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, lr=np.concatenate([walk.lr[1:], walk.lr[-1:]])))


class _OneRate(OtherWalk):
    def other_walk(self, walk: Walk) -> Walk:
        return super().other_walk(replace(walk, lr=np.full_like(walk.lr, walk.lr[:1].sum())))


class _FirstRateForever(OtherWalk):
    first: float | None = None

    def load(self, params: Params) -> None:
        self.first = None
        super().load(params)

    def other_walk(self, walk: Walk) -> Walk:
        if self.first is None:
            self.first = float(walk.lr[:1].sum())
        return super().other_walk(replace(walk, lr=np.full_like(walk.lr, self.first)))


class _LastTwice(OtherWalk):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        if len(walk.lr) > 1:
            super().train(walk.part(len(walk.lr) - 1, len(walk.lr), self.task.step_samples))
        return stats


class _Unscaled(OtherTask):
    """Leaves bytes from 0 to 255."""

    def other_task(self, task: Task) -> Task:
        return super().other_task(replace(task, inputs=replace(task.inputs, scale=1.0)))


def _order(walk: Walk) -> Any:
    assert walk.order is not None
    return walk.order


WALKS = (
    Mistake(
        "pixels are not scaled",
        "Bytes from 0 to 255 are inputs from 0 to 1 after times task.inputs.scale; "
        "nnbench.extend.input_array does it.",
        (_Unscaled,),
    ),
    Mistake(
        "the last, smaller batch is left out",
        "n // batch_size counts the full batches. ceil(n / batch_size) counts all: x[start:stop] "
        "is shorter at the end by itself.",
        (_DropsTheRest, _DropsTheShortStep),
    ),
    Mistake(
        "the last, smaller batch is filled up with samples from the start",
        "These samples count twice in an epoch. A batch may be smaller than the others.",
        (_Fills,),
    ),
    Mistake(
        "the last batch is trained on twice",
        "One time too often round the loop, or the rest handled once more behind it.",
        (_LastTwice,),
    ),
    Mistake(
        "the samples are not taken in the shuffled order",
        "The rows of a step are walk.order[start:stop], not start:stop: samples sorted by class "
        "make batches of one class.",
        (_Sorted, _FromTheStart),
    ),
    Mistake(
        "the samples are shuffled once more",
        "walk.order is shuffled already. Another order of the same samples is another run: results "
        "differ, and no framework is the reason.",
        (_ShufflesAgain, _ShufflesByItself, _ShufflesAgainEachEpoch),
    ),
    Mistake(
        "the learning rate is one step late",
        "Step i takes walk.lr[i]: read the rate before the update, and move the schedule on behind "
        "it.",
        (_LateRate, _LateRateFromWalkToWalk),
    ),
    Mistake(
        "the learning rate is one step early",
        "Step i takes walk.lr[i]: the schedule moves on behind the update.",
        (_EarlyRate,),
    ),
    Mistake(
        "the learning rate is that of the first step",
        "A schedule may change the rate within an epoch: every step has its own, walk.lr[i].",
        (_OneRate, _FirstRateForever),
    ),
)
