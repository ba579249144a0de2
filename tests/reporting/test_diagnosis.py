"""Two programs held against each other: what differs, what does not, what mends it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.config.composition import compose
from nnbench.model import layers as spec
from nnbench.model.formulas import documented, documented_net
from nnbench.model.init import KerasDefault, initial_params
from nnbench.model.layers import Layer
from nnbench.model.losses import Loss
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from nnbench.model.reading import Distribution, Framework, Reading
from nnbench.model.schedule import Constant, Listed, Schedule
from nnbench.records.weights import load_weights, save_weights
from nnbench.reporting.diagnosis.difference import Difference
from nnbench.reporting.diagnosis.differences import differences
from nnbench.reporting.diagnosis.drawn import initial_weights
from nnbench.reporting.diagnosis.explained import plan
from nnbench.reporting.diagnosis.mending import Mended, mended, program
from nnbench.reporting.diagnosis.sides import Side, values_of
from nnbench.reporting.diagnosis.starts import Starts

RELU, TANH, FLATTEN = spec.Activation("relu"), spec.Activation("tanh"), spec.Flatten()
ENTROPY = Loss("cross_entropy")
CONV = (spec.Conv2d(8), RELU, spec.MaxPool2d(), FLATTEN, spec.Dense(10))
MLP = (spec.Dense(64), RELU, spec.Dense(10))
PLAIN, RATE = SGD(), Constant(0.1)
HELD = spec.Dense(64, trainable=False)
Values = dict[str, Any]


def side(
    framework: Framework,
    layers: tuple[Layer, ...] = MLP,
    rule: Optimizer = PLAIN,
    schedule: Schedule = RATE,
    loss: Loss = ENTROPY,
    output: Any = "softmax",
    init: dict[str, Distribution] | None = None,
    shape: tuple[int, ...] | None = None,
) -> Side:
    """Return a side that was read like this, constants as its framework has them."""
    given = shape or ((28, 28, 1) if isinstance(layers[0], spec.Conv2d) else (784,))
    net = documented_net(Architecture(given, layers, output), framework)
    reading = Reading(
        framework, {framework: "1"}, "classification", given, "flat", net.layers,
        (None,) * len(layers), output, loss, documented(rule, framework), schedule, init or {},
    )  # fmt: skip
    return Side(f"{framework}_side.py", reading)


@pytest.fixture(scope="module")
def base() -> Values:
    """Return the configuration of the usual course."""
    return compose(
        ["data=mnist_5k", "batch_size=32", "shuffle=true", "epochs=3", "backend=numpy",
         "loss=cross_entropy", "schedule=constant", "parity=false", "tracking=local"]
    ).values  # fmt: skip


def both(a: Side, b: Side, base: Values) -> tuple[list[Difference], Values, Values]:
    """Return where two sides differ, and their configurations."""
    va, vb = (values_of(each, base, base["backend"]) for each in (a, b))
    return differences(a, b, va, vb), va, vb


def names(a: Side, b: Side, base: Values) -> list[str]:
    return [each.name for each in both(a, b, base)[0]]


def mends(a: Side, b: Side, base: Values) -> Mended:
    found, va, vb = both(a, b, base)
    return mended(found, a, b, va, vb)


NORMED = (spec.Dense(64), spec.BatchNorm(), RELU, spec.Dense(10))
TWICE = Loss("cross_entropy", mistake="softmax_twice")
LINEAR = Loss("cross_entropy", mistake="logits_as_probabilities")
# The questions that are asked, by the two readings: what is named, and no more.
ASKED: dict[str, tuple[Side, Side, list[str]]] = {
    "batch norm": (
        side("torch", NORMED), side("keras", NORMED),
        ["batch_norm.momentum", "batch_norm.epsilon", "batch_norm running variance"]),
    "coupled decay": (
        side("torch", rule=Adam(weight_decay=0.01)), side("keras", rule=Adam(weight_decay=0.01)),
        ["adam epsilon and its place", "weight decay coupled against decoupled"]),
    "flatten order": (
        side("torch", CONV, SGD(momentum=0.9)), side("keras", CONV, SGD(momentum=0.9)), []),
    "nothing": (side("torch"), side("keras"), []),
    "probabilities": (
        side("torch"), side("keras", loss=LINEAR, output="linear"),
        ["linear outputs taken for probabilities"]),
    "rmsprop": (
        side("torch", rule=RMSprop(), schedule=Constant(0.01)),
        side("keras", rule=RMSprop(), schedule=Constant(0.001)),
        ["rmsprop epsilon and its place", "rho", "learning rate"]),
    "softmax twice": (
        side("torch", loss=TWICE), side("keras"), ["softmax before a cross-entropy on logits"]),
    "summed": (
        side("torch", loss=Loss("cross_entropy", over_batch="sum")), side("keras"),
        ["loss over_batch"]),
    "momentum while the rate falls": (
        side("torch", rule=SGD(momentum=0.9), schedule=Listed((0.1, 0.01))),
        side("keras", rule=SGD(momentum=0.9), schedule=Listed((0.1, 0.01))), ["sgd rate"]),
    "no activation": (
        side("torch", (spec.Dense(64), spec.Dense(10))), side("keras"), ["relu, which A lacks"]),
    "leaky": (
        side("torch", (spec.Dense(64), spec.LeakyReLU(), spec.Dense(10))),
        side("keras", (spec.Dense(64), spec.LeakyReLU(), spec.Dense(10))), ["leaky_relu.slope"]),
    "two norms, one setting": (
        side("torch", (spec.LayerNorm(), *MLP, spec.LayerNorm())),
        side("keras", (spec.LayerNorm(), *MLP, spec.LayerNorm())), ["layer_norm.epsilon"]),
    "decay on one side": (
        side("torch", rule=AdamW()), side("keras", rule=Adam()),
        ["adam epsilon and its place", "weight decay"]),
    "another optimizer": (side("torch"), side("keras", rule=Adam()), ["optimizer"]),
    "smoothed": (
        side("torch", loss=Loss("cross_entropy", label_smoothing=0.1)), side("keras"),
        ["loss label_smoothing"]),
    "paddings": (
        side("torch", (spec.Conv2d(8), spec.Conv2d(8, 5, padding=1), FLATTEN, spec.Dense(10)),
             shape=(28, 28, 1)),
        side("keras", (spec.Conv2d(8, padding="same"), spec.Conv2d(8, 5, padding="same"), FLATTEN,
                       spec.Dense(10)), shape=(28, 28, 1)),
        ["conv2d.padding (layer 1)", "conv2d.padding (layer 2)"]),
    "held still": (
        side("torch", (HELD, RELU, spec.Dense(32, trainable=False), RELU, spec.Dense(10))),
        side("keras", (spec.Dense(64), RELU, spec.Dense(32), RELU, spec.Dense(10))),
        ["dense 1 does not learn", "dense 3 does not learn"]),
    "norm held still": (
        side("torch", (spec.Dense(64), spec.BatchNorm(0.1, 1e-3, "biased", False), *MLP[1:])),
        side("keras", (spec.Dense(64), spec.BatchNorm(0.1, 1e-3, "biased"), *MLP[1:])),
        ["batch_norm 2 does not learn"]),
    "dropout in evaluation": (
        side("torch", (*MLP[:2], spec.Dropout(0.5, True), MLP[-1])),
        side("keras", (*MLP[:2], spec.Dropout(0.5), MLP[-1])), ["dropout in evaluation"]),
    "widths": (
        side("torch", (spec.Dense(32), RELU, spec.Dense(10))), side("keras"), ["dense.units"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_differs_is_named_and_nothing_else(name: str, base: Values) -> None:
    a, b, expected = ASKED[name]
    assert names(a, b, base) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (CONV, (spec.Conv2d(8), spec.MaxPool2d(), RELU, FLATTEN, spec.Dense(10))),
        (CONV, (spec.Conv2d(8), spec.MaxPool2d(), FLATTEN, RELU, spec.Dense(10))),
        (MLP, (spec.Dense(64), RELU, spec.Dropout(0.0), spec.Activation("linear"), MLP[-1])),
        (CONV, (spec.Conv2d(8, padding=0), *CONV[1:])),
        (MLP, (spec.Dense(64), spec.Dropout(0.0, in_evaluation=True), *MLP[1:])),
        (
            (spec.Conv2d(8, padding=1), *CONV[1:]),
            (spec.Conv2d(8, padding="same"), *CONV[1:]),
        ),
    ],
)
def test_what_computes_the_same_is_no_difference(
    a: tuple[Layer, ...], b: tuple[Layer, ...], base: Values
) -> None:
    assert names(side("torch", a), side("torch", b), base) == []


def test_what_does_not_commute_is_a_difference(base: Values) -> None:
    early = (spec.Conv2d(8), RELU, spec.AvgPool2d(), FLATTEN, spec.Dense(10))
    late = (spec.Conv2d(8), spec.AvgPool2d(), RELU, FLATTEN, spec.Dense(10))
    assert names(side("torch", early), side("torch", late), base)


def test_adamw_is_adam_with_decoupled_decay(base: Values) -> None:
    a, b = (side("torch", rule=rule) for rule in (
        AdamW(weight_decay=0.1), Adam(weight_decay=0.1, decay="decoupled")))  # fmt: skip
    assert names(a, b, base) == []
    assert names(a, side("torch", rule=Adam(weight_decay=0.1)), base) == [
        "weight decay coupled against decoupled"
    ]


def test_initial_weights_are_told_apart_from_settings(base: Values) -> None:
    glorot = Distribution("uniform", -0.08, 0.08, says="glorot uniform")
    wide = dataclasses.replace(glorot, says=None, low=-0.5, high=0.5)
    a, b, c = (side("torch", init={"0.kernel": of}) for of in (glorot, glorot, wide))
    _, va, vb = both(a, b, base)
    assert str(initial_weights(a, b, va, vb)) == "the same distributions, other draws"
    told = initial_weights(a, c, va, vb)
    assert told.rows == (("dense 1 kernel", "glorot uniform", "U(-0.5, 0.5)"),)


def test_mending_says_what_keras_cannot(base: Values) -> None:
    found = mends(*ASKED["batch norm"][:2], base)
    assert [(m.line, m.cannot) for m in found.mends] == [
        ("keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-05)", ()),
        (None, ("batch_norm running variance: Keras' running variance is the biased one",)),
    ]
    found = mends(*ASKED["rmsprop"][:2], base)
    assert found.mends[0].line == "keras.optimizers.RMSprop(0.01, rho=0.99, epsilon=1e-08)"
    assert "epsilon stands inside the root" in found.remaining[0]
    found = mends(*ASKED["coupled decay"][:2], base)
    assert any("keras.regularizers.L2(0.005)" in str(m.line) for m in found.mends)


def test_each_layer_gets_its_own_padding(base: Values) -> None:
    a, b, _ = ASKED["paddings"]
    assert [m.line for m in mends(a, b, base).mends] == [
        "layers.Conv2D(8, 3)",
        "layers.ZeroPadding2D(1), layers.Conv2D(8, 5)",
    ]
    assert [m.line for m in mends(b, a, base).mends] == [
        'nn.Conv2d(1, 8, 3, padding="same")',
        'nn.Conv2d(8, 8, 5, padding="same")',
    ]
    strided = (spec.Conv2d(8, stride=2, padding="same"), FLATTEN, spec.Dense(10))
    of_keras = side("keras", strided, shape=(28, 28, 1))
    found = mends(of_keras, side("torch", CONV, shape=(28, 28, 1)), base)
    lines = [str(m.line) for m in found.mends]
    assert any("nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 8, 3, stride=2)" in x for x in lines)


def test_mending_says_what_torch_cannot(base: Values) -> None:
    a, b = (ASKED["batch norm"][i] for i in (1, 0))
    assert isinstance(a, Side)
    assert isinstance(b, Side)
    found = mends(a, b, base)
    assert found.mends[0].line == "nn.BatchNorm1d(64, momentum=0.01, eps=0.001)"
    assert "PyTorch's running variance is the unbiased one" in found.remaining


def test_a_mistake_is_mended_where_it_is_made(base: Values) -> None:
    found = mends(*ASKED["softmax twice"][:2], base)
    assert [m.side for m in found.mends] == ["A"]
    assert set(found.targets) == {"A", "B"}
    assert all(not target["loss"]["mistake"] for target in found.targets.values())
    found = mends(*ASKED["probabilities"][:2], base)
    assert [(m.side, m.line) for m in found.mends] == [
        ("B", "keras.losses.SparseCategoricalCrossentropy(from_logits=True)")
    ]


def test_a_layer_that_learns_on_one_side_is_mended_on_the_other(base: Values) -> None:
    a, b, _ = ASKED["held still"]
    assert [(m.side, m.line) for m in mends(a, b, base).mends] == [
        ("B", "layers.Dense(64, trainable=False)"),
        ("B", "layers.Dense(32, trainable=False)"),
    ]
    (learning,) = mends(b, a, base).mends
    assert str(learning.line).startswith(
        "requires_grad_(True), and all parameters to the optimizer"
    )
    held = mends(side("keras", (HELD, *MLP[1:])), side("torch"), base)
    assert held.mends[0].line == "nn.Linear(784, 64).requires_grad_(False)"
    assert held.mends[0].line in program(held.targets["B"], side("torch"), "torch")
    (norm,) = mends(*ASKED["norm held still"][:2], base).mends
    assert norm.line is None
    assert "Keras' batch norm trains with its running averages" in norm.cannot[0]


def test_dropout_in_evaluation_is_mended_where_it_is_made(base: Values) -> None:
    a, b, _ = ASKED["dropout in evaluation"]
    found = mends(a, b, base)
    stopped = "F.dropout(x, 0.5, training=self.training)"
    assert [(m.side, m.line) for m in found.mends] == [("A", stopped)]
    assert set(found.targets) == {"A", "B"}
    assert "in_evaluation': True" not in str(found.targets)
    assert [(m.side, m.line) for m in mends(b, a, base).mends] == [("B", stopped)]
    other = mends(side("torch", b.reading.layers), side("keras", a.reading.layers), base)
    assert [m.line for m in other.mends] == ["layers.Dropout(0.5)(x), without training=True"]


@pytest.mark.parametrize("name", [n for n in ASKED if n != "two norms, one setting"])
def test_corrected_programs_are_programs(name: str, base: Values) -> None:
    a, b, _ = ASKED[name]
    found = mends(a, b, base)
    for which, target in found.targets.items():
        framework = (a if which == "A" else b).reading.framework
        source = program(target, a, framework)
        compile(source, name, "exec")
        assert "build()" in source


def test_runs_between_start_from_one_sides_weights_whatever_the_net(
    base: Values, tmp_path: Path
) -> None:
    a = side("torch", (spec.Dense(64), spec.Dense(10)))
    b = side("keras")
    found, va, vb = both(a, b, base)
    files, nets = [], (a, b)
    for i, each in enumerate(nets):
        net = each.reading.architecture()
        files.append(tmp_path / f"{i}.safetensors")
        save_weights(files[-1], initial_params(KerasDefault(), net, i + 1, "float32"), "")
    starts = Starts.of((a, b), (va, vb), ({0: files[0]}, {0: files[1]}), tmp_path / "starts")
    planned = plan(va, vb, base["backend"], found)
    own = [load_weights(file) for file in files]
    first = load_weights(Path(starts.placed(planned.first, 0)["init"]["run"]))
    second = load_weights(Path(starts.placed(planned.second, 0)["init"]["run"]))
    last = load_weights(Path(starts.placed(planned.last, 0)["init"]["run"]))
    assert np.array_equal(first[ParamKey(1, "kernel")], own[0][ParamKey(1, "kernel")])
    assert np.array_equal(second[ParamKey(1, "kernel")], own[1][ParamKey(2, "kernel")])
    assert np.array_equal(last[ParamKey(2, "kernel")], own[1][ParamKey(2, "kernel")])


def test_the_way_leads_from_a_to_b_one_difference_at_a_time(base: Values) -> None:
    a, b, _ = ASKED["rmsprop"]
    found, va, vb = both(a, b, base)
    va["backend"] = compose(["backend=torch"]).values["backend"]
    planned = plan(va, vb, base["backend"], found)
    there, back = planned.ways()
    assert [name for name, _ in there] == ["", "backend", *(d.name for d in found), "backend"]
    assert [name for name, _ in back][2:-1] == [d.name for d in found][::-1]
    assert there[-1][1] is planned.last
    assert there[-2][1]["optimizer"] == vb["optimizer"]
    assert {v["init"]["run"] for _, v in there} == {"B"}
