"""Every optimizer: against its formula, across backends, and through the conformance kit."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy import optimizers as numpy_rules
from nnbench.compose import compose
from nnbench.errors import ConfigError
from nnbench.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.testing import CHECKS, Subject
from test_parity import BACKENDS, factory

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(),
    "nesterov": SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": Adam(),
    "adam-decay": Adam(beta1=0.8, beta2=0.99, epsilon=1e-6, weight_decay=0.02),
    "adamw": AdamW(weight_decay=0.05),
    "rmsprop": RMSprop(),
    "rmsprop-decay": RMSprop(rho=0.9, epsilon=1e-3, weight_decay=0.02),
    "adagrad": Adagrad(),
    "adagrad-initial": Adagrad(initial=0.1, epsilon=1e-7, weight_decay=0.02),
}
KIT = (
    "zero_rate_is_identity",
    "slice_law",
    "warm_up_changes_nothing",
    "load_resets_the_optimizer",
    "state_and_restore_continue",
    "one_step_equals_the_reference",
    "twenty_one_steps_equal_the_reference",
)


@cache
def subject(backend: str, execution: str, name: str) -> Subject:
    return Subject(factory(backend), execution, OPTIMIZERS[name])


@pytest.mark.parametrize("check", KIT)
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("backend", "execution"), [("numpy", "reference"), *BACKENDS[:2]], ids=str)
def test_the_kit_holds_for_every_optimizer(
    backend: str, execution: str, name: str, check: str
) -> None:
    CHECKS[check](subject(backend, execution, name))


@pytest.mark.parametrize("name", ["adam", "adagrad-initial", "nesterov"])
def test_fit_agrees_too(name: str) -> None:
    CHECKS["twenty_one_steps_equal_the_reference"](subject("keras", "fit", name))


W, GRADS, RATES = 0.5, [0.3, -0.2, 0.001], [0.1, 0.05, 0.2]


def after(rule: Optimizer) -> float:
    w = np.array([W])
    optimizer = numpy_rules.build_optimizer(rule, [w])
    for g, lr in zip(GRADS, RATES, strict=True):
        optimizer.step([np.array([g])], lr)
    return float(w[0])


def test_adam_follows_the_paper() -> None:
    w, m, v = W, 0.0, 0.0
    for t, (g, lr) in enumerate(zip(GRADS, RATES, strict=True), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert after(Adam()) == pytest.approx(w, rel=1e-14)


def test_the_first_steps_are_those_of_the_published_table() -> None:
    """A gradient of 0.01: RMSprop's first step is lr/sqrt(1 - rho), Adagrad's and Adam's lr."""
    for rule, expected in ((RMSprop(), 10.0), (RMSprop(rho=0.9), 10**0.5), (Adagrad(), 1.0)):
        w = np.array([0.0])
        numpy_rules.build_optimizer(rule, [w]).step([np.array([0.01])], 1.0)
        assert -float(w[0]) == pytest.approx(expected, rel=1e-5)


def test_nesterov_looks_ahead() -> None:
    w, v = W, 0.0
    for g, lr in zip(GRADS, RATES, strict=True):
        v = 0.9 * v + g
        w -= lr * (g + 0.9 * v)
    assert after(SGD(momentum=0.9, nesterov=True)) == pytest.approx(w, rel=1e-15)


def test_decoupled_decay_is_not_l2() -> None:
    assert abs(after(AdamW(weight_decay=0.1)) - after(Adam(weight_decay=0.1))) > 1e-3
    assert after(AdamW(weight_decay=0.0)) == after(Adam())


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("adam", {"epsilon": 1e-7}),
        ("adam", {"beta2": 0.9990001}),
        ("adamw", {"weight_decay": 0.0500001}),
        ("rmsprop", {"rho": 0.9900001}),
        ("adagrad", {"initial": 1e-9}),
    ],
)
def test_a_wrong_constant_is_caught(name: str, fault: dict[str, Any]) -> None:
    def wrong(task: Any, splits: Any) -> NumpyTrainer:
        rule = dataclasses.replace(task.optimizer, **fault)
        return NumpyTrainer(dataclasses.replace(task, optimizer=rule), splits)

    with pytest.raises(AssertionError, match="weights differ by"):
        CHECKS["twenty_one_steps_equal_the_reference"](
            Subject(wrong, "reference", OPTIMIZERS[name])
        )


def test_epsilon_inside_the_root_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Inside(numpy_rules.RMSprop):
        def update(self, w: Any, g: Any, lr: float, *buffers: Any) -> None:
            (v,) = buffers
            v *= self.rule.rho
            v += (1.0 - self.rule.rho) * g * g
            w -= lr * g / (v + self.rule.epsilon) ** 0.5

    def wrong(task: Any, splits: Any) -> NumpyTrainer:
        with monkeypatch.context() as patch:
            patch.setitem(numpy_rules.RULES, RMSprop, Inside)
            trainer = NumpyTrainer(task, splits)
        optimizer = Inside(task.optimizer, trainer._optimizer.parameters)
        load = trainer.load

        def loading(params: Any) -> None:
            load(params)
            trainer._optimizer = type(optimizer)(task.optimizer, trainer._optimizer.parameters)

        trainer.load = loading  # type: ignore[method-assign]
        return trainer

    with pytest.raises(AssertionError, match="weights differ by"):
        CHECKS["twenty_one_steps_equal_the_reference"](Subject(wrong, "reference", RMSprop()))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.beta1=1.0", "at least 0 and less than 1"),
        ("optimizer.epsilon=0", "must be greater than 0"),
        ("optimizer.weight_decay=-1", "must be at least 0"),
        ("optimizer.momentum=0.9", "optimizer=sgd has"),
    ],
)
def test_values_are_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["optimizer=adam", override])
    assert message in str(caught.value)
