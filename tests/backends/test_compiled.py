"""The compiled walk: the reference's steps on every dense net, zeros left out or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.compiled import elementary, execution
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.model.layers import Activation, Conv2d, Dense, Dropout, Flatten, Layer, LeakyReLU
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.testing import check_trainer, equals_the_reference
from nnbench.testing.cases import Case, case
from support.commands import Nnbench

ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "linear", "softmax")
OPTIMIZERS: tuple[Optimizer, ...] = (
    SGD(),
    SGD(weight_decay=0.01, decay="decoupled", decay_on="kernels"),
    SGD(clip_value=0.01),
    SGD(clip_norm=0.1),
    SGD(momentum=0.9, nesterov=True, rate="inside"),
    SGD(momentum=0.9, weight_decay=0.01, clip_norm=0.1),
    Adam(amsgrad=True, clip_value=0.05),
    Adam(formulas="keras"),
    AdamW(epsilon_root="inside"),
    RMSprop(momentum=0.5, formulas="keras"),
    Adagrad(clip_norm=1.0, clip_offset=0.0),
)
LOSSES = (
    Loss("cross_entropy"),
    Loss("cross_entropy", label_smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 0.0)),
    Loss("cross_entropy", over_batch="sum"),
    Loss("bce", over_outputs="sum"),
    Loss("mse"),
    Loss("l1"),
    Loss("huber", delta=0.3),
)


def dark(split: Split) -> Split:
    """Return images of which four fifths of the pixels are zero, a whole one and a column too."""
    keep = np.random.default_rng(0).random(split.inputs.shape) < 0.2
    keep[:1], keep[:, 3] = False, False
    return Split(np.where(keep, split.inputs, 0).astype(split.inputs.dtype), split.targets)


def random_dense(number: int) -> Case:
    """Return a dense net, its data and how it is trained, number `number` of a fixed series."""
    rng = np.random.default_rng(number)

    def pick(options: tuple) -> object:  # type: ignore[type-arg]
        return options[int(rng.integers(len(options)))]

    layers: list[Layer] = []
    for _ in range(int(rng.integers(4))):
        units = int(pick((1, 3, 8, 33)))
        layers.append(Dense(units, bias=bool(pick((True, True, False)))))
        name = pick((*ACTIVATIONS, "leaky"))
        if units == 1 and name == "softmax":  # it is 1 whatever the weights: rounding learns
            name = "tanh"
        layers.append(LeakyReLU(0.1) if name == "leaky" else Activation(name))
    inputs = pick(("flat", "pixels", "image"))
    loss, rule = pick(LOSSES), pick(OPTIMIZERS)
    kind = (
        pick(("classification", "regression")) if loss.name in ("mse", "l1") else "classification"
    )
    layers[:0] = [Flatten()] if inputs == "image" else []
    rate = 0.003 if isinstance(rule, Adam | AdamW | RMSprop | Adagrad) else 0.03
    found = case(*layers, inputs=inputs, loss=loss, optimizer=rule, kind=kind, rate=rate)
    if inputs != "flat" and pick((True, True, False)):
        found = found.where(dark)
    return found.in_batches(pick((1, 5, 32, 200)))


@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), SGD(clip_norm=0.1)])
def test_a_first_layer_of_few_units_takes_four_samples_at_a_time(optimizer: Optimizer) -> None:
    """18 a batch: two of them are left, of the last batch there are 2."""
    few = case(Dense(16), Activation("tanh"), inputs="pixels", optimizer=optimizer)
    equals_the_reference(NumpyTrainer, "compiled", few.where(dark).in_batches(18).of("float64"))


def takes_bytes(number: int) -> bool:
    """Tell whether the data of a net are stored as bytes: loops compile anew for other data."""
    return random_dense(number).splits["train"].inputs.dtype == np.uint8


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=[pytest.mark.slow] * (not takes_bytes(n))) for n in range(24)],
)
def test_a_dense_net_is_the_reference_s(number: int) -> None:
    equals_the_reference(NumpyTrainer, "compiled", random_dense(number).of("float64"))


@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), SGD(clip_norm=0.1)])
def test_a_kernel_of_several_blocks_is_updated_whole(
    optimizer: Optimizer, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its zeros are left out or multiplied; of 112 rows 50 at a time, and 12."""
    for name, value in (("SPARSE_VALUES", 50 * 20), ("DENSE_VALUES", 1), ("DENSE_ROWS", 50)):
        monkeypatch.setattr(execution, name, value)
    bright = case(Dense(20), Activation("relu"), inputs="pixels", optimizer=optimizer)
    for wide in (bright, bright.where(dark)):
        equals_the_reference(NumpyTrainer, "compiled", wide.in_batches(size).of("float64"))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("part", range(10))
def test_many_dense_nets_are_the_reference_s(part: int, dtype: str) -> None:
    for number in range(100 + 30 * part, 130 + 30 * part):
        equals_the_reference(NumpyTrainer, "compiled", random_dense(number).of(dtype))


def test_zeros_are_left_out_where_there_are_many_of_them() -> None:
    bright = case(Dense(33), Activation("relu"), inputs="pixels")
    few = case(Dense(8), Activation("relu"), inputs="pixels").where(dark)
    for given, said in (
        *((bright, "multiplied"), (bright.where(dark), "skipped")),
        *((few, "multiplied"), (few.in_batches(1), "skipped")),
    ):
        made = NumpyTrainer(given.on("compiled"), given.splits)
        assert made.choices["zeros"] == said


@pytest.mark.slow
def test_the_kit_finds_no_failure() -> None:
    results = list(check_trainer(NumpyTrainer, "compiled"))
    assert not [r for r in results if r.outcome == "failed"]
    passed = {r.name for r in results if r.outcome == "passed"}
    assert {"sgd", "adam", "gelu", "batches of 1", "float32: dense", "slice law"} <= passed
    assert len(passed) >= 110


def test_elementary_functions_are_exact_to_an_ulp() -> None:
    @compiled
    def apply(x, e, s, t):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            e[i], s[i], t[i] = elementary.exp(x[i]), elementary.sigmoid(x[i]), elementary.tanh(x[i])

    for dtype, ends in ((np.float32, 80), (np.float64, 700)):
        x = np.concatenate([np.linspace(-ends, ends, 4001), np.linspace(-1, 1, 4001)]).astype(dtype)
        found = [np.empty_like(x) for _ in range(3)]
        apply(x, *found)
        exact = x.astype(np.longdouble)
        expected = np.exp(exact), 1 / (1 + np.exp(-exact)), np.tanh(exact)
        for one, true, ulps in zip(found, expected, (1, 2, 16), strict=True):
            assert np.max(np.abs(one - true) / np.maximum(np.abs(true), 1e-300)) < (
                ulps * np.finfo(dtype).eps
            )
        odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0], dtype)
        out = [np.empty_like(odd) for _ in range(3)]
        apply(odd, *out)
        assert np.isnan([each[0] for each in out]).all()
        assert [list(each[1:4]) for each in out] == [[np.inf, 0, 1], [1, 0, 0.5], [1, -1, 0]]


@pytest.mark.parametrize(
    ("planted", "said"),
    [("entries", "before training the logits of the train split"), ("loss", "diverges at step 1")],
)
def test_a_fault_would_be_found(planted: str, said: str) -> None:
    given = case(Dense(33), Activation("sigmoid"), inputs="pixels").of("float64").where(dark)

    def make(task, splits):  # type: ignore[no-untyped-def]
        made = NumpyTrainer(task, splits)
        if task.execution == "compiled" and planted == "entries":
            made._fused._sources["train"][1][2][::3] += 1  # every third pixel a grey level off
        elif task.execution == "compiled":
            made._fused._loss_constants[0] *= 1.0001
        return made

    with pytest.raises(AssertionError, match=said):
        equals_the_reference(make, "compiled", given)


HELD = Dense(4, trainable=False)
LACKS: list[tuple[list[Layer], Loss, Optimizer, str]] = [
    ([Conv2d(2), Flatten()], Loss("cross_entropy"), SGD(), "no layer conv2d"),
    ([Dense(4), Dropout(0.1)], Loss("cross_entropy"), SGD(), "no layer dropout"),
    ([Dense(4), HELD], Loss("cross_entropy"), SGD(), "no layers that do not learn"),
    ([Activation("tanh"), Dense(4)], Loss("mse"), SGD(), "no two activations in a row, or one"),
    ([Dense(4)], Loss("cross_entropy", mistake="softmax_twice"), SGD(), "no loss.mistake=softmax"),
]


@pytest.mark.parametrize(("layers", "loss", "optimizer", "message"), LACKS)
def test_what_it_lacks_is_said(
    layers: list[Layer], loss: Loss, optimizer: Optimizer, message: str
) -> None:
    inputs = "image" if isinstance(layers[0], Conv2d) else "flat"
    given = case(*layers, inputs=inputs, loss=loss, optimizer=optimizer).of("float64")
    with pytest.raises(UnsupportedSpec, match=f"backend=numpy_compiled has {message}"):
        NumpyTrainer(given.on("compiled"), given.splits)


def test_a_diverging_net_is_seen_diverging() -> None:
    given = case(Dense(8), Activation("tanh"), inputs="pixels", loss=Loss("mse"), kind="regression")
    made = NumpyTrainer(given.of("float64").on("compiled"), given.splits)
    walk = given.walks()[0]
    stats = made.train(dataclasses.replace(walk, lr=np.full_like(walk.lr, 1e200)))
    assert not np.isfinite(stats.loss_sum)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_compiled_code_is_kept_where_it_can_be(
    nnbench: Nnbench, tmp_path: Path, kept: bool
) -> None:
    """In a folder of one's own; a file in its place means that it is compiled anew."""
    place = tmp_path / "cache"
    if not kept:
        place.write_text("")
    asked = ["backend=numpy_compiled", "data=digits", "epochs=2", "tracking=local"]
    for _ in range(2):
        done = nnbench(*asked, env={"NNBENCH_CACHE": str(place)})
        assert done.returncode == 0, done.stderr
    found = {path.parent.parent.name for path in place.rglob("*.nbi")}
    assert len(found) == int(kept)  # one state of the sources
