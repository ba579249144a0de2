"""Faults in the update: formulas that are nearly right."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Params, Task
from nnbench.model import optimizers as spec


class Bent(NumpyTrainer):
    """Has `formula` where the optimizer is of a kind in `kinds`."""

    kinds: tuple[type, ...] = ()

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        if isinstance(task.optimizer, self.kinds):
            self._optimizer.update = self.formula

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        raise NotImplementedError


class RateInsideTheVelocity(Bent):
    """`v = mu v + lr g; w = w - v`, as Keras' own SGD."""

    kinds = (spec.SGD,)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        for v in buffers:
            v[...] = rule.momentum * v + lr * g
            w -= lr * g + rule.momentum * v if rule.nesterov else v
        if not buffers:
            w -= lr * g


class MomentumSign(Bent):
    kinds = (spec.SGD,)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        step = g
        for v in buffers:
            v[...] = g - rule.momentum * v
            step = v
        w -= lr * step


class DampensTheMomentum(Bent):
    """`v = mu v + (1 - mu) g`."""

    kinds = (spec.SGD,)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        step = g
        for v in buffers:
            v[...] = rule.momentum * v + (1 - rule.momentum) * g
            step = v
        w -= lr * step


class NesterovWithoutLookahead(Bent):
    kinds = (spec.SGD,)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        step = g
        for v in buffers:
            v[...] = rule.momentum * v + g
            step = v
        w -= lr * step


class _Adam(Bent):
    kinds = (spec.Adam, spec.AdamW)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        m, v = buffers
        m[...] = rule.beta1 * m + (1 - rule.beta1) * g
        v[...] = rule.beta2 * v + (1 - rule.beta2) * g * g
        w -= self.moved(rule, lr, t, m, v)

    def moved(self, rule: Any, lr: float, t: int, m: Any, v: Any) -> Any:
        raise NotImplementedError


class AdamEpsilonInside(_Adam):
    def moved(self, rule: Any, lr: float, t: int, m: Any, v: Any) -> Any:
        root = (v / (1 - rule.beta2**t) + rule.epsilon) ** 0.5
        return lr / (1 - rule.beta1**t) * m / root


class AdamEpsilonHat(_Adam):
    """Keras' place of epsilon: beside the root that is not corrected yet."""

    def moved(self, rule: Any, lr: float, t: int, m: Any, v: Any) -> Any:
        rate = lr * (1 - rule.beta2**t) ** 0.5 / (1 - rule.beta1**t)
        return rate * m / (v**0.5 + rule.epsilon)


class AdamUncorrected(_Adam):
    def moved(self, rule: Any, lr: float, t: int, m: Any, v: Any) -> Any:
        return lr * m / (v**0.5 + rule.epsilon)


class AdamCountsFromZero(_Adam):
    def moved(self, rule: Any, lr: float, t: int, m: Any, v: Any) -> Any:
        root = (v / (1 - rule.beta2 ** (t + 1))) ** 0.5
        return lr / (1 - rule.beta1 ** (t + 1)) * m / (root + rule.epsilon)


class RmspropEpsilonInside(Bent):
    kinds = (spec.RMSprop,)

    def formula(self, rule: Any, w: Any, g: Any, lr: float, t: int, *buffers: Any) -> None:
        v, b = buffers
        v[...] = rule.rho * v + (1.0 - rule.rho) * g * g
        b[...] = rule.momentum * b + g / (v + rule.epsilon) ** 0.5
        w -= lr * b


class AdagradStartsAtZero(NumpyTrainer):
    def load(self, params: Params) -> None:
        super().load(params)
        if "sum" in self._optimizer.buffers:
            self._optimizer.buffers["sum"].vector[...] = 0.0


class _Steps(NumpyTrainer):
    """Takes over the whole step of the optimizer."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self.right = self._optimizer.step
        self._optimizer.step = self.step  # type: ignore[method-assign]

    def step(self, grads: Params, lr: float) -> None:
        raise NotImplementedError


class ClipsEachParameter(_Steps):
    def step(self, grads: Params, lr: float) -> None:
        if limit := self._optimizer.rule.clip_norm:
            norms = {key: np.linalg.norm(g) + 1e-6 for key, g in grads.items()}
            grads = {key: g * min(1.0, limit / norms[key]) for key, g in grads.items()}
        self.right(grads, lr)


class NeverClips(_Steps):
    def step(self, grads: Params, lr: float) -> None:
        rule = self._optimizer.rule
        self._optimizer.rule = dataclasses.replace(rule, clip_norm=None)
        self.right(grads, lr)


class NoDecayOfBiases(_Steps):
    def step(self, grads: Params, lr: float) -> None:
        decay = self._optimizer.rule.weight_decay
        if not isinstance(self._optimizer.rule, spec.AdamW):
            views = self._optimizer.weights.views
            grads = {key: g - decay * views[key] * (key.role == "bias") for key, g in grads.items()}
        self.right(grads, lr)


class DecayBesideTheMomentum(_Steps):
    """SGD's decay as AdamW has it: not through the velocity."""

    def step(self, grads: Params, lr: float) -> None:
        rule, views = self._optimizer.rule, self._optimizer.weights.views
        if isinstance(rule, spec.SGD):
            decay = rule.weight_decay
            grads = {key: g - decay * views[key] for key, g in grads.items()}
            self._optimizer.weights.vector[...] *= 1.0 - lr * decay
        self.right(grads, lr)


class DecayThroughAdamW(_Steps):
    """AdamW's decay through the gradient, as Adam has it."""

    def step(self, grads: Params, lr: float) -> None:
        rule, views = self._optimizer.rule, self._optimizer.weights.views
        if isinstance(rule, spec.AdamW):
            self._optimizer.weights.vector[...] /= 1.0 - lr * rule.weight_decay
            grads = {key: g + rule.weight_decay * views[key] for key, g in grads.items()}
        self.right(grads, lr)


class DecayWithoutTheRate(_Steps):
    """AdamW's decay not times the learning rate, as in the paper's other form."""

    def step(self, grads: Params, lr: float) -> None:
        rule = self._optimizer.rule
        if isinstance(rule, spec.AdamW):
            factor = (1.0 - 0.001 * rule.weight_decay) / (1.0 - lr * rule.weight_decay)
            self._optimizer.weights.vector[...] *= factor
        self.right(grads, lr)


class ForgetsTheStepCount(NumpyTrainer):
    """A checkpoint has Adam's moments, and not how many steps they are of."""

    def restore(self, state: Any) -> None:
        super().restore(state)
        self._optimizer.steps = 0


class KeepsTheStepCount(NumpyTrainer):
    """`load` puts the moments back, and not the count of steps."""

    def load(self, params: Params) -> None:
        steps = self._optimizer.steps
        super().load(params)
        self._optimizer.steps = steps


PLANTS: dict[type[NumpyTrainer], str] = {
    RateInsideTheVelocity: "sgd momentum",
    MomentumSign: "sgd momentum",
    DampensTheMomentum: "sgd momentum",
    NesterovWithoutLookahead: "sgd nesterov",
    AdamEpsilonInside: "adam",
    AdamEpsilonHat: "adam",
    AdamUncorrected: "adam",
    AdamCountsFromZero: "adam",
    ForgetsTheStepCount: "adam",
    KeepsTheStepCount: "adam",
    RmspropEpsilonInside: "rmsprop",
    AdagradStartsAtZero: "adagrad initial",
    ClipsEachParameter: "sgd clip_norm",
    NeverClips: "adam clip_norm",
    NoDecayOfBiases: "dense",
    DecayBesideTheMomentum: "sgd nesterov",
    DecayThroughAdamW: "adamw",
    DecayWithoutTheRate: "adamw",
}
