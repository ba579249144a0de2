"""The table of known effects: each of its numbers is measured, and docs/native.md has the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nnbench.backends.numpy.build import build_layer
from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.optimizers import Rule
from nnbench.model.formulas import FAMILIES, documented
from nnbench.model.init import KerasDefault, TorchDefault, initial_params
from nnbench.model.layers import BatchNorm, Dense, LayerNorm, LeakyReLU
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from nnbench.reporting.explain.effects import KNOWN, RULES, Known
from nnbench.reporting.explain.layers import kinds
from support import ROOT

KEY = ParamKey(0, "kernel")
PAGE = ROOT / "docs" / "native.md"
BEGIN, END = "<!-- written by a test: effects -->", "<!-- end of effects -->"
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-\d+)?(?!\w)")
TINY = 1e-12  # a gradient that is small beside every epsilon
Measured = dict[int, float]  # by the figure's position in the text


def steps(rule: Any, gradients: Sequence[float], rates: Sequence[float]) -> list[float]:
    """Return how far each step of `rule` moves a weight that starts at 0 (at 1 if it decays)."""
    weights = Flat({KEY: (1,)}, np, "float64")
    weights.views[KEY][...] = float(bool(documented(rule).weight_decay))
    taken, moved = Rule(rule, weights), []
    for g, lr in zip(gradients, rates, strict=True):
        before = float(weights.views[KEY][0])
        taken.step({KEY: np.array([g])}, lr)
        moved.append(before - float(weights.views[KEY][0]))
    return moved


def first(rule: Any, gradient: float, lr: float = 1.0) -> float:
    return steps(rule, [gradient], [lr])[0]


def scaled(layer: Any, variance: float) -> float:
    """Return what samples of two channels, of that variance either way, are multiplied by."""
    side = np.sqrt(variance)
    x = np.array([[side, -side], [-side, side]])
    one, zero = np.ones(2), np.zeros(2)
    weights = {"scale": one, "offset": zero, "mean": zero.copy(), "variance": one.copy()}
    y = build_layer(documented(layer), weights).forward_training(x, None)
    return float(y[0, 0] / x[0, 0])


def gathered(layer: BatchNorm, x: Any, count: int = 1) -> float:
    """Return the running variance after `count` batches `x`; it starts at 1."""
    weights = {"scale": np.ones(1), "offset": np.zeros(1)}
    weights |= {"mean": np.zeros(1), "variance": np.ones(1)}
    built = build_layer(documented(layer), weights)
    for _ in range(count):
        built.forward_training(x, None)
    return float(weights["variance"][0])


def rate(momentum: float, _: float) -> Measured:
    rates = [0.1] * 400 + [0.01]
    inside, outside = (
        steps(SGD(momentum=momentum, rate=form), [1.0] * 401, rates)
        for form in ("inside", "outside")
    )
    assert inside[:400] == pytest.approx(outside[:400])
    return {1: inside[-1] / outside[-1]}


def epsilon_root(_: float, epsilon: float) -> Measured:
    found = {}
    for kind in (RMSprop, Adagrad):
        start: dict[str, Any] = {"initial": 0.0} if kind is Adagrad else {}
        inside, outside = (
            first(kind(epsilon=epsilon, epsilon_root=form, **start), TINY)
            for form in ("inside", "outside")
        )
        found[kind] = inside / outside
    assert found[RMSprop] == pytest.approx(found[Adagrad])
    return {0: found[RMSprop]}


def epsilon_correction(_: float, one: float, __: float, many: float) -> Measured:
    # Beside epsilon the root is nothing: steps are as many times shorter as epsilon counts more.
    before, after = (
        steps(Adam(epsilon=1.0, epsilon_correction=form), [TINY] * 1000, [1.0] * 1000)
        for form in ("before", "after")
    )
    return {0: after[int(one) - 1] / before[int(one) - 1],
            2: after[int(many) - 1] / before[int(many) - 1]}  # fmt: skip


def adam_epsilon(g: float, _: float, a: float, __: float, b: float) -> Measured:
    return {1: first(Adam(epsilon=a), g), 3: first(Adam(epsilon=b), g)}


def decay(weight_decay: float, _: float) -> Measured:
    plain = [steps(SGD(weight_decay=0.01, decay=form), [0.3] * 5, [0.1] * 5)
             for form in ("coupled", "decoupled")]  # fmt: skip
    assert plain[0] == pytest.approx(plain[1])
    coupled, decoupled = (
        first(Adam(weight_decay=weight_decay, decay=form), 0.0, 0.001)
        for form in ("coupled", "decoupled")
    )
    return {1: coupled / decoupled}


def adamw_decay(*figures: float) -> Measured:
    count, lr = int(figures[0]), figures[1]
    left = {}
    for at in (2, 4):
        moved = steps(AdamW(weight_decay=figures[at + 1]), [0.0] * count, [lr] * count)
        left[at] = 100 * (1.0 - sum(moved))
    return left


def rho(*figures: float) -> Measured:
    return {at: first(RMSprop(rho=figures[at + 1]), 1.0) for at in (0, 2)}


def initial(g: float, zero: float, _: float, start: float) -> Measured:
    assert first(Adagrad(initial=zero), g) == pytest.approx(1.0)
    return {2: first(Adagrad(initial=start, epsilon_root="inside"), g)}


def adagrad_epsilon(g: float, _: float, a: float, __: float, b: float) -> Measured:
    return {1: first(Adagrad(epsilon=a), g), 3: first(Adagrad(epsilon=b), g)}


def clip_offset(norm: float, _: float) -> Measured:
    with_it, without = (first(SGD(clip_norm=0.5, clip_offset=c), norm) for c in (1e-6, 0.0))
    return {1: (without - with_it) / without}


def momentum(count: float, *figures: float) -> Measured:
    zeros = np.zeros((4, 1))
    return {
        at + 1: 100 * gathered(BatchNorm(momentum=figures[at + 1]), zeros, int(count))
        for at in (0, 2)
    }


def norm_epsilon(kind: type) -> Callable[..., Measured]:
    def measure(variance: float, _: float, a: float, __: float, b: float) -> Measured:
        return {1: scaled(kind(epsilon=a), variance), 3: scaled(kind(epsilon=b), variance)}

    return measure


def variance(values: float, _: float) -> Measured:
    x = np.random.default_rng(0).normal(size=(int(values), 1))
    unbiased, biased = (
        gathered(BatchNorm(momentum=1.0, variance=form), x) for form in ("unbiased", "biased")
    )
    return {1: 100 * (unbiased / biased - 1.0)}


def slope(zero: float, _: float, a: float, b: float) -> Measured:
    x = np.array([[zero - 2.0]])
    passed = [build_layer(LeakyReLU(slope=s), {}).forward(x)[0, 0] for s in (a, b)]
    return {1: float(passed[0] / passed[1])}


def init(inputs: float, units: float, *_: float) -> Measured:
    net = Architecture((int(inputs),), (Dense(int(units)),), "linear")
    drawn = [initial_params(i, net, 0, "float64") for i in (KerasDefault(), TorchDefault())]
    spread = [float(params[KEY].std()) for params in drawn]
    return {2: spread[0] / spread[1], 3: float(np.abs(drawn[0][ParamKey(0, "bias")]).max())}


MEASURED: dict[tuple[str, str], Callable[..., Measured]] = {
    ("sgd", "rate"): rate,
    ("rmsprop", "epsilon_root"): epsilon_root,
    ("adam", "epsilon_correction"): epsilon_correction,
    ("adam", "epsilon"): adam_epsilon,
    ("sgd", "decay"): decay,
    ("adamw", "weight_decay"): adamw_decay,
    ("rmsprop", "rho"): rho,
    ("adagrad", "initial"): initial,
    ("adagrad", "epsilon"): adagrad_epsilon,
    ("sgd", "clip_offset"): clip_offset,
    ("batch_norm", "momentum"): momentum,
    ("batch_norm", "epsilon"): norm_epsilon(BatchNorm),
    ("batch_norm", "variance"): variance,
    ("layer_norm", "epsilon"): norm_epsilon(LayerNorm),
    ("leaky_relu", "slope"): slope,
    ("keras_default and torch_default", "init"): init,
}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.of[0]}.{known.key}")
def test_every_number_is_measured(known: Known) -> None:
    assert tuple(map(float, NUMBER.findall(known.effect))) == known.figures
    found = MEASURED[known.of[0], known.key](*known.figures)
    assert found
    for at, value in found.items():
        assert float(f"{value:.2g}") == known.figures[at], (known.effect, value)


def test_each_formula_and_constant_that_differs_is_known() -> None:
    """The forms and constants in which the families differ are those of the table."""
    named = {(of, known.key) for known in KNOWN for of in known.of}
    kind_of = {**RULES, **kinds()}
    for name, kind in kind_of.items():
        torch, keras = (FAMILIES[family].get(kind, {}) for family in ("torch", "keras"))
        differing = {key for key in torch if torch[key] != keras[key]}
        # RMSprop's epsilon matters as its place does.
        missing = {key for key in differing if (name, key) not in named} - {"epsilon"}
        assert not missing, (name, missing)


def table() -> str:
    lines = ["| of | setting | known effect | sources |", "|---|---|---|---|"]
    for each in KNOWN:
        links = ", ".join(f"[{i}]({url})" for i, url in enumerate(each.sources, start=1))
        lines.append(f"| {', '.join(each.of)} | `{each.key}` | {each.effect} | {links} |")
    return "\n".join(lines)


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    found, _, after = rest.partition(END)
    if found.strip() != table():
        PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")
    assert found.strip() == table(), "the table has changed: docs/native.md was written again"
