"""Programs in PyTorch are read, and the reading is proved step by step in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.backends.alternatives import alternatives
from nnbench.backends.program import About, sample_size
from nnbench.backends.proof import Material, Proof, agreeing, prove
from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.reading import Reading

pytest.importorskip("torch")

from nnbench.backends.torch import reading as room
from support.programs import loaded
from support.torch_chains import OUTPUTS, SHAPES, VOCABULARY, made
from support.torch_programs import (
    ADAM,
    DENSE,
    FORWARD,
    KNOWN,
    MLP,
    UNKNOWN,
    WRONG,
    net,
    sequential,
)


def material(shape: tuple[int, ...] = (8, 8), outputs: int = 10, samples: int = 160) -> Material:
    """Return images of noise, or what else is asked for, by the labels."""
    rng = np.random.default_rng(0)
    tokens = shape == SHAPES["tokens"] and outputs == OUTPUTS
    inputs = (
        rng.integers(VOCABULARY, size=(samples, *shape))
        if tokens
        else rng.random((samples, *shape))
    )
    labels = rng.integers(outputs, size=samples)
    spec_of = ArraySpec(shape, "int64" if tokens else "float64")
    return Material(Split(inputs, labels), spec_of, ArraySpec((), "int64"), 16, 3, seed=0)


def numbers(outputs: int) -> Material:
    """Return a regression of so many targets."""
    rng = np.random.default_rng(0)
    split = Split(rng.standard_normal((96, 6)), rng.standard_normal((96, outputs)))
    return Material(split, ArraySpec((6,), "float64"), ArraySpec((outputs,), "float64"), 16, 3, 0)


def about(given: Material, outputs: int = 10) -> About:
    """Return what a program is told of this material."""
    few = given.rows(np.arange(sample_size(outputs)), "float64")
    labels = given.targets.dtype == "int64"
    kind = "classification" if labels else "regression"
    return About(kind, given.inputs, few, outputs, given.epochs, given.epoch_steps)


def read(source: str, tmp_path: Path, given: Material | None = None, outputs: int = 10) -> Reading:
    """Return what is read of a program."""
    return room.read(loaded(room, source, tmp_path)(), about(given or material(), outputs))


def proved(
    source: str, tmp_path: Path, given: Material | None = None, outputs: int = 10
) -> tuple[Reading, Proof]:
    """Return what is read of a program, and its proof."""
    given = given or material()
    build = loaded(room, source, tmp_path)
    reading = room.read(build(), about(given, outputs))
    assert reading.understood, reading.unknown
    return reading, prove(build, room, reading, given)


@pytest.mark.parametrize("name", KNOWN)
def test_a_program_is_read_and_proved(name: str, tmp_path: Path) -> None:
    source, mistakes = KNOWN[name]
    reading, proof = proved(source, tmp_path)
    assert (proof.outcome, proof.dtype) == ("agrees", "float64"), proof
    assert proof.compared >= 21 or proof.steps == proof.compared
    assert {finding.key for finding in reading.findings} == mistakes
    assert all(place is not None and place.line for place in reading.places)


@pytest.mark.parametrize(
    ("name", "held", "dropping"),
    [
        *((name, {0}, set()) for name in ("held still", "before detach", "without gradients")),
        ("a rate of 0", {0}, set()),
        ("images held still", {0, 1}, set()),
        ("one layer in the optimizer", {0, 2}, set()),
        ("dropout", set(), {5}),
        ("dropout in every way", set(), {5, 6}),
    ],
)
def test_what_does_not_learn_or_goes_on_dropping_is_read_by_layer(
    name: str, held: set[int], dropping: set[int], tmp_path: Path
) -> None:
    reading = read(KNOWN[name][0], tmp_path)
    assert {i for i, layer in enumerate(reading.layers) if not layer.learns} == held
    assert not reading.frozen
    too = {i for i, layer in enumerate(reading.layers) if getattr(layer, "in_evaluation", False)}
    assert too == dropping


def test_dropout_that_train_never_leaves_drops_in_evaluation(tmp_path: Path) -> None:
    kept = net(
        DENSE + "\nself.drop = nn.Dropout(0.3)", "return self.c(self.drop(self.a(x.flatten(1))))"
    )
    method = "    def train(self, mode=True):\n        super().train(mode)\n"
    method += "        self.drop.train()\n        return self\n\n    def forward"
    reading, proof = proved(kept.replace("    def forward", method), tmp_path)
    assert reading.layers[1] == spec.Dropout(0.3, in_evaluation=True)
    assert proof.outcome == "agrees"


def test_a_parameter_held_by_itself_is_no_layer_held_still(tmp_path: Path) -> None:
    alone = net(
        DENSE + "\nself.a.bias.requires_grad_(False)", "return self.c(self.a(x.flatten(1)))"
    )
    reading, proof = proved(alone, tmp_path)
    assert reading.frozen == ("0.bias",)
    assert all(layer.learns for layer in reading.layers)
    assert proof.outcome == "agrees"


def test_outputs_of_one_column_against_targets_of_none_are_named(tmp_path: Path) -> None:
    mse = sequential("nn.Linear(6, 1)", loss="nn.MSELoss()")
    reading, proof = proved(mse, tmp_path, numbers(1), 1)
    assert reading.loss is not None
    assert reading.loss.mistake == "broadcast_targets"
    assert proof.outcome == "agrees"
    squeezed, proof = proved(
        sequential("nn.Linear(6, 1)", "nn.Flatten(0)", loss="nn.MSELoss()"), tmp_path, numbers(1), 1
    )
    assert squeezed.loss is not None
    assert squeezed.loss.mistake is None
    assert proof.outcome == "agrees"


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    source, construct, said = UNKNOWN[name]
    reading = read(source, tmp_path)
    assert not reading.understood
    named = [u for u in reading.unknown if said in u.text]
    assert named, reading.unknown
    place = named[0].place
    assert place is not None
    assert place.text.startswith(construct[:60])
    assert construct[:40] in source.splitlines()[(place.line or 0) - 1]


@pytest.mark.parametrize("said", WRONG)
def test_what_cannot_be_trained_is_one_line(said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(WRONG[said], tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reading_that_is_wrong_is_not_proved(tmp_path: Path) -> None:
    build = loaded(room, sequential(*MLP, optimizer=ADAM), tmp_path)
    given = material()
    reading = room.read(build(), about(given))
    assert reading.optimizer is not None
    wrong = Reading(
        **{**vars(reading), "optimizer": type(reading.optimizer)(
            **{**vars(reading.optimizer), "decay": "decoupled"})}
    )  # fmt: skip
    proof = prove(build, room, wrong, given)
    assert proof.outcome == "diverges"
    assert proof.step == 1
    assert "optimizer.decay=coupled" in proof.instead


FULL = net(
    "self.conv = nn.Conv2d(1, 4, 3)\nself.norm = nn.BatchNorm2d(4)\nself.fc = nn.Linear(144, 16)\n"
    "self.last = nn.LayerNorm(16)\nself.drop = nn.Dropout(0.3)\nself.out = nn.Linear(16, 10)",
    "x = F.leaky_relu(self.norm(self.conv(x)), 0.1).flatten(1)\n"
    "return self.out(self.drop(F.gelu(self.last(self.fc(x)))))",
    "torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.02)",
)
# What changes nothing here: no clipping is asked for that a gradient would meet.
IDLE = {"optimizer.clip_norm", "optimizer.clip_value", "loss.over_outputs"}


def test_no_setting_may_be_another(tmp_path: Path) -> None:
    """Each setting of a correct reading is changed: none may agree with the program's steps."""
    given = material()
    build = loaded(room, FULL, tmp_path)
    reading = room.read(build(), about(given))
    built = build()
    params = room.weights(built, reading)
    batches = given.batches(given.walks(reading, 4), reading, "float64")
    taken = list(room.steps(built, reading, batches, "float64"))
    assert "optimizer.epsilon=1e-07" in dict(alternatives(reading))
    assert "layer 2: variance=biased" in dict(alternatives(reading))
    found = {name.partition("=")[0] for name in agreeing(reading, given, params, taken)}
    assert found <= IDLE


def test_steps_that_go_nowhere_prove_nothing(tmp_path: Path) -> None:
    small = "torch.optim.SGD(model.parameters(), lr=1e-15)"
    _, proof = proved(sequential(*MLP, optimizer=small), tmp_path)
    assert proof.outcome == "not proven"
    assert not proof.understood
    assert "hardly move" in proof.notes[-1]


def test_a_step_that_fails_is_one_line(tmp_path: Path) -> None:
    alone = material(samples=49)  # a last batch of one
    norm = net("self.a = nn.Linear(64, 10)\nself.n = nn.BatchNorm1d(10)",
               "return self.n(self.a(x.flatten(1)))")  # fmt: skip
    with pytest.raises(ConfigError, match=r"its own training step 4 fails: ValueError: Expected"):
        proved(norm, tmp_path, alone)


def test_the_program_itself_stays_as_it_is(tmp_path: Path) -> None:
    built = loaded(room, net(DENSE, FORWARD), tmp_path)()
    before = {name: value.clone() for name, value in built[0].state_dict().items()}
    copied = room.copied(built)
    reading = room.read(copied, about(material()))
    list(room.steps(copied, reading, _two_batches(), "float64"))
    assert all(before[name].equal(value) for name, value in built[0].state_dict().items())
    assert not copied[0].state_dict()["a.weight"].equal(before["a.weight"].double())


def _two_batches() -> Any:
    given = material()
    reading_free = Reading(
        "torch", {}, "classification", (64,), "flat", (), (), "softmax", None, None, None
    )
    from nnbench.model.schedule import Constant

    walks = given.walks(Reading(**{**vars(reading_free), "schedule": Constant(0.1)}), 2)
    return given.batches(walks, reading_free, "float64")


def chain_is_read_back(number: int) -> None:
    """Hold what is read of random program `number` against its description, and prove it."""
    kind, expected, build = made(number)
    given = material(SHAPES[kind], OUTPUTS)
    reading = room.read(build(), about(given, OUTPUTS))
    assert reading.understood, (number, reading.unknown)
    for name, value in expected.items():
        assert getattr(reading, name) == value, (number, name, getattr(reading, name), value)
    proof = prove(build, room, reading, given)
    assert proof.dtype == "float64"
    assert proof.outcome == "agrees" or (proof.outcome == "chaotic" and proof.compared >= 3), (
        number, proof
    )  # fmt: skip


@pytest.mark.parametrize("number", range(5))
def test_random_chains_are_read_back(number: int) -> None:
    chain_is_read_back(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5, 40))
def test_more_random_chains_are_read_back(number: int) -> None:
    chain_is_read_back(number)


def test_dense_layers_with_dropout_between_are_linear_together(tmp_path: Path) -> None:
    reading = read(
        sequential("nn.Flatten()", "nn.Linear(64, 16)", "nn.Dropout(0.1)", "nn.Linear(16, 10)"),
        tmp_path,
    )
    assert [x.key for x in reading.findings] == ["no_activation"]
    assert isinstance(reading.layers[1], spec.Dropout)
