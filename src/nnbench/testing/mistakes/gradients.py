"""Mistakes in the loss's gradient, and in what becomes of the gradients of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import ACTIVATIONS, Array
from nnbench.backends.protocol import Params, Task
from nnbench.model.network import ParamKey
from nnbench.testing.mistakes.mistake import (
    Mistake,
    OtherGradients,
    OtherTask,
)

LOSSES = ("cross_entropy", "bce", "mse", "l1", "huber")


def _loss(*names: str, **changes: Any) -> type[NumpyTrainer]:
    """Return a trainer that has these losses otherwise."""

    class OtherLoss(OtherTask):
        def other_task(self, task: Task) -> Task:
            task = super().other_task(task)
            if task.loss.name not in names or (task.loss.mistake and "mistake" in changes):
                return task
            return replace(task, loss=replace(task.loss, **changes))

    return OtherLoss


class _BatchSize(OtherTask, OtherGradients):
    """Divides by the batch size, though the last batch is smaller."""

    averaged = False

    def other_task(self, task: Task) -> Task:
        self.averaged = task.loss.over_batch == "mean"
        return super().other_task(replace(task, loss=replace(task.loss, over_batch="sum")))

    def divisor(self) -> int:
        return self.task.batch_size

    def other_gradients(self, grads: Params, samples: int) -> Params:
        n = self.divisor() if self.averaged else 1
        return super().other_gradients({key: g / n for key, g in grads.items()}, samples)


class _StepSize(_BatchSize):
    def divisor(self) -> int:
        return self.task.step_samples


def _at_the_logits(
    change: Callable[[NumpyTrainer, Array, Array], Array], *names: str
) -> type[NumpyTrainer]:
    """Return a trainer that makes `change(trainer, dz, z)` of the gradient at the logits."""

    class OtherStart(NumpyTrainer):
        def __init__(self, task: Task, splits: Any) -> None:
            super().__init__(task, splits)
            right = self._logit_gradient
            if task.loss.name in names:
                self._logit_gradient = lambda z, t: change(self, right(z, t), z)

    return OtherStart


def _through_the_output(trainer: NumpyTrainer, dz: Array, z: Array) -> Array:
    name = "softmax" if trainer.task.loss.name == "cross_entropy" else "sigmoid"
    function, gradient = ACTIVATIONS[name]
    return gradient(z, function(z), dz)


def _elementwise(trainer: NumpyTrainer, dz: Array, z: Array) -> Array:
    name = "softmax" if trainer.task.loss.name == "cross_entropy" else "sigmoid"
    p = ACTIVATIONS[name][0](z)
    return dz * p * (1.0 - p)


def _halved(trainer: NumpyTrainer, dz: Array, z: Array) -> Array:
    return dz / 2.0


def _negated(trainer: NumpyTrainer, dz: Array, z: Array) -> Array:
    return -dz


class _Uphill(OtherGradients):
    def other_gradients(self, grads: Params, samples: int) -> Params:
        return super().other_gradients({key: -g for key, g in grads.items()}, samples)


class _Accumulates(OtherGradients):
    """The gradients of all steps so far; `load` begins anew."""

    total: Params | None = None

    def load(self, params: Params) -> None:
        self.total = None
        super().load(params)

    def other_gradients(self, grads: Params, samples: int) -> Params:
        before = self.total or {}
        self.total = {key: before.get(key, 0.0) + g for key, g in grads.items()}
        return super().other_gradients(self.total, samples)


class _AccumulatesInAnEpoch(_Accumulates):
    """Every call of `train` begins anew."""

    def train(self, walk: Any) -> Any:
        self.total = None
        return super().train(walk)


class _OneStepLate(OtherGradients):
    """The gradients of the step before; the first step takes its own."""

    before: Params | None = None

    def load(self, params: Params) -> None:
        self.before = None
        super().load(params)

    def other_gradients(self, grads: Params, samples: int) -> Params:
        used, self.before = self.before or self.first(grads), grads
        return super().other_gradients(used, samples)

    def first(self, grads: Params) -> Params:
        return grads


class _OneStepLateFromZero(_OneStepLate):
    def first(self, grads: Params) -> Params:
        return {key: np.zeros_like(g) for key, g in grads.items()}


class _OneBatchLate(NumpyTrainer):
    """The same of each batch, where a step takes several."""

    before: Params | None = None

    def load(self, params: Params) -> None:
        self.before = None
        super().load(params)

    def gradients(self, x: Array, t: Array, keys: Any) -> tuple[Array, Params]:
        logits, grads = super().gradients(x, t, keys)
        used, self.before = self.before or grads, grads
        return logits, used


class _UpdatesTooEarly(NumpyTrainer):
    """Updates a layer, then passes the gradient down through the new weights."""

    def _run_reference(self, order: Array, rates: Array, keys: Any) -> Array:
        size, per_step = self.task.step_samples, self.task.gradient_accumulation_steps
        x, t = self._gather("train", order), self._target_matrix[order]
        logits = np.empty_like(t)
        for step, lr in enumerate(rates.tolist()):
            rows = slice(step * size, (step + 1) * size)
            logits[rows] = self._step_down(x[rows], t[rows], keys[step * per_step], lr)
        return logits

    def _step_down(self, x: Array, t: Array, keys: Any, lr: float) -> Array:
        seen, rule = self.activations(x, keys), self._optimizer
        dy = self._logit_gradient(seen[-1], t)
        rule.steps += 1
        for i in range(len(self.layers) - 1, self._first - 1, -1):
            learns = self.task.architecture.layers[i].learns
            grads = self.layers[i].param_grads(seen[i], dy) if learns else {}
            for role, g in grads.items():
                key = ParamKey(i, role)
                if (bound := rule.rule.clip_value) is not None:
                    g = g.clip(-bound, bound)  # noqa: PLW2901
                buffers = (b.views[key] for b in rule.buffers.values())
                rule._change(rule.weights.views[key], g, lr, rule.decays[key], *buffers)
            if i > self._first:
                dy = self.layers[i].input_grad(seen[i], seen[i + 1], dy)
        return seen[-1]


GRADIENTS = (
    Mistake(
        "the gradient is not divided by the batch size",
        "x.T @ dy adds up the samples of the batch. Where the loss is a mean over the batch, its "
        "gradient is p - t over n: without it every step is n times as long.",
        tuple(_loss(*names, over_batch="sum") for names in (LOSSES, *((n,) for n in LOSSES))),
    ),
    Mistake(
        "the last, smaller batch is divided by the size of a full one",
        "Divide by the rows that the batch has, len(x), and not by batch_size: with 200 samples in "
        "batches of 32 the last batch has 8.",
        (_BatchSize, _StepSize),
    ),
    Mistake(
        "the gradient is not divided by the number of outputs",
        "Where the loss is a mean over the outputs of a sample, so is its gradient.",
        tuple(_loss(*names, over_outputs="sum") for names in (LOSSES, ("bce",), ("mse",), ("l1",))),
    ),
    Mistake(
        "the derivative of the square has lost its 2",
        "(p - t)^2 has the derivative 2 (p - t). Half the square is another loss, with half the "
        "gradient.",
        (_at_the_logits(_halved, "mse"),),
    ),
    Mistake(
        "softmax is applied twice",
        "A cross-entropy of logits has its own softmax: the net hands over the last layer's z, and "
        "not softmax(z).",
        (_loss("cross_entropy", mistake="softmax_twice"),),
    ),
    Mistake(
        "the derivative of the output activation is applied to p - t, which has it already",
        "In p - t the derivatives of loss and activation have cancelled: it is the gradient at z. "
        "Multiplied by p (1 - p) once more, it vanishes where the net is sure and wrong.",
        (
            _at_the_logits(_through_the_output, "cross_entropy", "bce"),
            _at_the_logits(_through_the_output, "cross_entropy"),
            _at_the_logits(_through_the_output, "bce"),
            _at_the_logits(_elementwise, "cross_entropy", "bce"),
            _at_the_logits(_elementwise, "cross_entropy"),
        ),
    ),
    Mistake(
        "the update goes up the gradient",
        "The gradient points to where the loss grows: w -= lr * g, or the error is t - p and the "
        "sign is in it already; one minus, not two and not none.",
        (_Uphill, *(_at_the_logits(_negated, name) for name in LOSSES)),
    ),
    Mistake(
        "gradients are not reset between batches",
        "What is added up in a buffer has to be set to 0 before every step (zero_grad): else each "
        "step repeats all steps before it.",
        (_Accumulates, _AccumulatesInAnEpoch),
    ),
    Mistake(
        "the update uses the gradients of the batch before",
        "Forward, backward, then the update with the gradients that were just computed.",
        (_OneStepLate, _OneStepLateFromZero, _OneBatchLate),
    ),
    Mistake(
        "a layer is updated before the gradient is passed down through it",
        "dx = dy W^T needs the W that was used on the way forward. Compute all gradients, then "
        "update.",
        (_UpdatesTooEarly,),
    ),
)
