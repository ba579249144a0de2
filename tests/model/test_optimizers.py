"""Every optimizer: against its formula, across backends, and through the conformance kit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnbench.backends.drift import trained
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.optimizers import Rule
from nnbench.backends.parity import relative_difference
from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.model.formulas import forms
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.testing import equals_the_reference
from nnbench.testing.blocks import OPTIMIZERS

W, GRADS, RATES = 0.5, [0.3, -0.2, 0.001], [0.1, 0.05, 0.2]


KEY = ParamKey(0, "kernel")


def after(rule: Optimizer, start: float = W, grads: list[float] = GRADS) -> float:
    weights = Flat({KEY: (1,)}, np, "float64")
    weights.views[KEY][...] = start
    optimizer = Rule(rule, weights)
    for g, lr in zip(grads, RATES, strict=False):
        optimizer.step({KEY: np.array([g])}, lr)
    return float(weights.views[KEY][0])


def test_adam_follows_the_paper() -> None:
    w, m, v = W, 0.0, 0.0
    for t, (g, lr) in enumerate(zip(GRADS, RATES, strict=True), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert after(Adam()) == pytest.approx(w, rel=1e-14)


def test_the_first_steps_are_those_of_the_published_table() -> None:
    """A gradient of 0.01: RMSprop's first step is lr/sqrt(1 - rho), Adagrad's and Adam's lr."""
    for rule, expected in ((RMSprop(), 10.0), (RMSprop(rho=0.9), 10**0.5), (Adagrad(), 1.0)):
        assert -after(rule, 0.0, [0.01]) / RATES[0] == pytest.approx(expected, rel=1e-5)


def test_momentum_keeps_the_rate_outside_and_decay_is_l2() -> None:
    w, v = W, 0.0
    for g, lr in zip(GRADS, RATES, strict=True):
        v = 0.9 * v + g + 0.1 * w
        w -= lr * v
    assert after(SGD(momentum=0.9, weight_decay=0.1)) == pytest.approx(w, rel=1e-15)


def test_the_momentum_of_rmsprop_keeps_the_rate_outside() -> None:
    w, v, b = W, 0.0, 0.0
    for g, lr in zip(GRADS, RATES, strict=True):
        v = 0.99 * v + 0.01 * g * g
        b = 0.5 * b + g / (np.sqrt(v) + 1e-8)
        w -= lr * b
    assert after(RMSprop(momentum=0.5)) == pytest.approx(w, rel=1e-14)


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
        ("sgd momentum", {"momentum": 0.9000001}),
        ("sgd weight_decay", {"weight_decay": 0.100000001}),
        ("sgd clip_norm", {"clip_norm": 0.2000001}),
        ("adam", {"epsilon": 1e-7}),
        ("adam", {"beta2": 0.9990001}),
        ("adamw", {"weight_decay": 0.0500001}),
        ("rmsprop", {"rho": 0.9900001}),
        ("rmsprop momentum", {"momentum": 0.9000001}),
        ("adagrad", {"initial": 1e-9}),
    ],
)
def test_a_wrong_constant_is_caught(name: str, fault: dict[str, Any]) -> None:
    def wrong(task: Any, splits: Any) -> NumpyTrainer:
        rule = dataclasses.replace(task.optimizer, **fault)
        return NumpyTrainer(dataclasses.replace(task, optimizer=rule), splits)

    with pytest.raises(AssertionError, match="weights differ by"):
        equals_the_reference(wrong, "reference", OPTIMIZERS[name])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.beta1=1.0", "at least 0 and less than 1"),
        ("optimizer.epsilon=0", "must be greater than 0"),
        ("optimizer.weight_decay=-1", "must be at least 0"),
        ("optimizer.momentum=0.9", "optimizer=rmsprop and sgd have"),
    ],
)
def test_values_are_checked(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["optimizer=adam", override])
    assert message in str(caught.value)


FORMS = [
    name for name in OPTIMIZERS if any(w in name for w in ("keras", "inside", "amsgrad", "offset"))
]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_changes_the_steps(name: str) -> None:
    """What no backend obeyed, all would agree on."""
    given = OPTIMIZERS[name]
    plain: Any = dataclasses.replace(
        given.task.optimizer,
        **dict.fromkeys((*forms(given.task.optimizer), "formulas"), None),
        **({"amsgrad": False} if "amsgrad" in name else {}),
    )
    task = dataclasses.replace(given.task, optimizer=plain)
    walks = given.walks()
    first, second = (
        trained(NumpyTrainer(t, given.splits), given.params, walks) for t in (given.task, task)
    )
    assert relative_difference(first, second) > 1e-4


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_rate_inside_the_velocity_matters_once_it_changes(momentum: float) -> None:
    w, v = W, 0.0
    for g, lr in zip(GRADS, RATES, strict=True):
        v = momentum * v + lr * g
        w -= v
    assert after(SGD(momentum=momentum, rate="inside")) == pytest.approx(w, rel=1e-15)
    constant = [after(SGD(momentum=momentum, rate=r), W, GRADS[:1]) for r in ("inside", "outside")]
    assert constant[0] == pytest.approx(constant[1], rel=1e-15)


def test_kerass_adam_adds_epsilon_to_the_uncorrected_root() -> None:
    """The first step for a gradient of 1e-6 is 0.24 times PyTorch's."""
    steps = [after(Adam(formulas=f), 0.0, [1e-6]) for f in ("keras", "torch")]
    assert steps[0] / steps[1] == pytest.approx(0.24, abs=0.005)


def test_kerass_adagrad_starts_from_a_tenth() -> None:
    step = after(Adagrad(formulas="keras"), 0.0, [0.01])
    assert -step / RATES[0] == pytest.approx(0.01 / np.sqrt(0.1 + 1e-4 + 1e-7), rel=1e-14)


def test_kernels_alone_can_decay() -> None:
    """A bias without a gradient stays; a kernel shrinks."""
    keys = ParamKey(0, "kernel"), ParamKey(0, "bias")
    weights = Flat(dict.fromkeys(keys, (1,)), np, "float64")
    weights.vector[...] = 1.0
    rule = Rule(SGD(weight_decay=0.5, decay_on="kernels"), weights)
    rule.step({key: np.zeros(1) for key in keys}, 0.1)
    rule.step_vector(np.zeros(2), 0.1)
    assert weights.views[keys[0]] == pytest.approx(0.95**2)
    assert weights.views[keys[1]] == 1.0
