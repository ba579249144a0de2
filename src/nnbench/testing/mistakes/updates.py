"""Mistakes in the update: momentum, weight decay, Adam's corrections and its epsilon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import Array
from nnbench.backends.protocol import Params, Task
from nnbench.model import optimizers as spec
from nnbench.testing.mistakes.mistake import Mistake, OtherRule

Changes = Callable[[Any], dict[str, Any]]


def _rule(changes: Changes, *kinds: type) -> type[NumpyTrainer]:
    """Return a trainer whose optimizers of these kinds (all) have `changes(rule)`."""

    class Other(OtherRule):
        def changed(self, rule: Any) -> dict[str, Any]:
            return changes(rule) if not kinds or isinstance(rule, kinds) else {}

    return Other


def _swapped(name: str, one: str, other: str) -> Changes:
    return lambda rule: {name: other if getattr(rule, name) == one else one}


def _always(*kinds: type, **values: Any) -> type[NumpyTrainer]:
    """Return a trainer that has these values whatever is asked for."""
    return _rule(lambda rule: values, *kinds)


def _formula(formula: Callable[..., None], *kinds: type) -> type[NumpyTrainer]:
    """Return a trainer that updates by `formula(rule, w, g, lr, t, *buffers)`."""

    class Other(NumpyTrainer):
        def __init__(self, task: Task, splits: Any) -> None:
            super().__init__(task, splits)
            if isinstance(self._optimizer.rule, kinds):
                right = self._optimizer.update
                self._optimizer.update = lambda *values: (
                    formula(*values) if len(values) > 5 else right(*values)
                )

    return Other


def _velocity(keep: Callable[[Any, Array, Array], Array]) -> type[NumpyTrainer]:
    """Return SGD whose velocity becomes `keep(rule, v, g)`; the rest is right."""

    def formula(rule: Any, w: Array, g: Array, lr: float, t: int, v: Array) -> None:
        inside = rule.rate == "inside"
        g = lr * g if inside else g
        v[...] = keep(rule, v, g)
        step = g + rule.momentum * v if rule.nesterov else v
        w -= step if inside else lr * step

    return _formula(formula, spec.SGD)


def _adam(root_and_rate: Callable[..., tuple[Array, float]]) -> type[NumpyTrainer]:
    """Return Adam that divides by another root, or at another rate."""

    def formula(rule: Any, w: Array, g: Array, lr: float, t: int, *buffers: Array) -> None:
        m, v, *largest = buffers
        m[...] = rule.beta1 * m + (1.0 - rule.beta1) * g
        v[...] = rule.beta2 * v + (1.0 - rule.beta2) * g * g
        for seen in largest:
            v = np.maximum(seen, v, out=seen)
        root, rate = root_and_rate(rule, v, lr, t)
        w -= rate * m / root

    return _formula(formula, spec.Adam, spec.AdamW)


def _uncorrected(rule: Any, v: Array, lr: float, t: int) -> tuple[Array, float]:
    return v**0.5 + rule.epsilon, lr


def _from_zero(rule: Any, v: Array, lr: float, t: int) -> tuple[Array, float]:
    root = (v / (1.0 - rule.beta2 ** (t + 1))) ** 0.5 + rule.epsilon
    return root, lr / (1.0 - rule.beta1 ** (t + 1))


def _without_square(rule: Any, v: Array, lr: float, t: int) -> tuple[Array, float]:
    return v / (1.0 - rule.beta2**t) + rule.epsilon, lr / (1.0 - rule.beta1**t)


class _Apart(NumpyTrainer):
    """Clips the norm of each parameter's gradient, and not that of all together."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        rule, right = self._optimizer, self._optimizer.step
        limit, offset = rule.rule.clip_norm, rule.rule.clip_offset
        if limit is None:
            return
        rule.rule = replace(rule.rule, clip_norm=None)

        def step(grads: Params, lr: float) -> None:
            norms = {key: float(np.linalg.norm(g)) + offset for key, g in grads.items()}
            right({key: g * limit / max(limit, norms[key]) for key, g in grads.items()}, lr)

        rule.step = step  # type: ignore[method-assign]


class _Grows(NumpyTrainer):
    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self._optimizer.decays = {key: -d for key, d in self._optimizer.decays.items()}


class _DecaysWithoutRate(NumpyTrainer):
    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        rule, right, decays = self._optimizer, self._optimizer.step, self._optimizer.decays
        if rule.rule.decay != "decoupled":
            return

        def step(grads: Params, lr: float) -> None:
            rule.decays = {key: d / lr if lr else d for key, d in decays.items()}
            right(grads, lr)

        rule.step = step  # type: ignore[method-assign]


UPDATES = (
    Mistake(
        "momentum has the wrong sign",
        "v = momentum * v + g adds the new gradient to what is left of the old ones; with g - "
        "momentum * v every step brakes the one before.",
        (_velocity(lambda rule, v, g: g - rule.momentum * v),),
    ),
    Mistake(
        "there is no momentum",
        "The velocity has to outlive the step: one made anew in every step, or every batch, is the "
        "plain gradient.",
        (
            _velocity(lambda rule, v, g: g),
            _rule(lambda rule: {"momentum": 0.0, "nesterov": False}, spec.SGD),
        ),
    ),
    Mistake(
        "the learning rate is on the wrong side of the momentum",
        "v = momentum * v + g; w -= lr * v (PyTorch) and v = momentum * v + lr * g; w -= v (Keras) "
        "are the same at a constant rate alone. optimizer.rate says which is meant.",
        (
            _rule(_swapped("rate", "inside", "outside"), spec.SGD),
            _always(spec.SGD, rate="inside"),
            _always(spec.SGD, rate="outside"),
        ),
    ),
    Mistake(
        "the gradient enters the velocity times 1 - momentum",
        "v = momentum * v + (1 - momentum) * g is a running mean, 1 / (1 - momentum) times "
        "smaller: ten times at 0.9. It needs a learning rate as many times larger.",
        (_velocity(lambda rule, v, g: rule.momentum * v + (1.0 - rule.momentum) * g),),
    ),
    Mistake(
        "Nesterov's momentum does not look ahead",
        "w -= lr * (g + momentum * v), with the new v. Without the term in front it is plain "
        "momentum.",
        (_rule(lambda rule: {"nesterov": False}, spec.SGD),),
    ),
    Mistake(
        "weight decay is left out",
        "g + weight_decay * w is the gradient of the loss plus weight_decay / 2 * w^2.",
        (_rule(lambda rule: {"weight_decay": 0.0}),),
    ),
    Mistake(
        "weight decay has the wrong sign",
        "Weights have to shrink: g + weight_decay * w, and then w -= lr * g. With a minus they "
        "grow by as much.",
        (_Grows,),
    ),
    Mistake(
        "weight decay counts twice",
        "weight_decay * w is the gradient of half the square. With 2 * weight_decay * w it is "
        "twice as strong.",
        (_rule(lambda rule: {"weight_decay": 2.0 * rule.weight_decay}),),
    ),
    Mistake(
        "weight decay is on the wrong side of the gradient",
        "In the gradient (coupled: SGD, Adam) it passes through momentum and Adam's root; at the "
        "weights (decoupled: AdamW) it does not. optimizer.decay says which is meant.",
        (
            _rule(_swapped("decay", "coupled", "decoupled")),
            _rule(_swapped("decay", "coupled", "decoupled"), spec.SGD),
            _rule(_swapped("decay", "coupled", "decoupled"), spec.AdamW),
        ),
    ),
    Mistake(
        "weight decay spares the wrong parameters",
        "optimizer.decay_on says which parameters shrink: all, or kernels alone.",
        (_rule(_swapped("decay_on", "all", "kernels")),),
    ),
    Mistake(
        "decoupled weight decay is not multiplied by the learning rate",
        "w -= lr * weight_decay * w: where the rate falls, the decay falls with it.",
        (_DecaysWithoutRate,),
    ),
    Mistake(
        "epsilon is on the wrong side of the root",
        "sqrt(v) + epsilon and sqrt(v + epsilon) differ most where gradients are small. "
        "optimizer.epsilon_root says which is meant.",
        (
            _always(spec.Adam, spec.AdamW, epsilon_root="inside"),
            _always(spec.Adam, spec.AdamW, epsilon_root="inside", epsilon_correction="after"),
            _always(spec.RMSprop, epsilon_root="inside"),
            _always(spec.Adagrad, epsilon_root="inside"),
            _rule(_swapped("epsilon_root", "inside", "outside"), spec.Adam, spec.AdamW,
                  spec.RMSprop, spec.Adagrad),
            _rule(_swapped("epsilon_root", "inside", "outside"), spec.Adam, spec.AdamW),
            _rule(_swapped("epsilon_root", "inside", "outside"), spec.RMSprop),
            _rule(_swapped("epsilon_root", "inside", "outside"), spec.Adagrad),
        ),
    ),
    Mistake(
        "epsilon is on the wrong side of Adam's correction",
        "sqrt(v / (1 - beta2^t)) + epsilon (PyTorch) and (sqrt(v) + epsilon) / sqrt(1 - beta2^t) "
        "(Keras) differ in the first steps. optimizer.epsilon_correction says which is meant.",
        (_rule(_swapped("epsilon_correction", "before", "after"), spec.Adam, spec.AdamW),),
    ),
    Mistake(
        "Adam's moments are not corrected for their start at 0",
        "m / (1 - beta1^t) and v / (1 - beta2^t): without them the first steps are several times "
        "too long.",
        (_adam(_uncorrected),),
    ),
    Mistake(
        "Adam's two betas are swapped",
        "beta1, 0.9, is for the mean of the gradients, beta2, 0.999, for that of their squares.",
        (
            _rule(lambda rule: {"beta1": rule.beta2, "beta2": rule.beta1}, spec.Adam, spec.AdamW),
        ),
    ),
    Mistake(
        "a running mean has its weights the wrong way round",
        "m = beta * m + (1 - beta) * g: what is left of the old one is beta, nearly all.",
        (
            _rule(lambda rule: {"beta1": 1 - rule.beta1, "beta2": 1 - rule.beta2}, spec.Adam,
                  spec.AdamW),
            _rule(lambda rule: {"rho": 1 - rule.rho}, spec.RMSprop),
        ),
    ),
    Mistake(
        "Adam counts its steps wrongly by one",
        "The first step has t = 1: count before the update.",
        (_adam(_from_zero),),
    ),
    Mistake(
        "Adam divides by the square and not by its root",
        "The step is m / (sqrt(v) + epsilon): v is a square, and has the wrong unit.",
        (_adam(_without_square),),
    ),
    Mistake(
        "the gradient's norm is clipped for each parameter by itself",
        "clip_norm bounds the norm of all gradients together, so that their direction stays.",
        (_Apart,),
    ),
    Mistake(
        "gradients are not clipped",
        "Clipping comes between the backward pass and the update.",
        (
            _rule(lambda rule: {"clip_norm": None, "clip_value": None}),
            _rule(lambda rule: {"clip_norm": None}),
            _rule(lambda rule: {"clip_value": None}),
        ),
    ),
)  # fmt: skip
