"""Programs in Keras are read, and the reading is proved step by step in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.program import About, sample_size
from nnbench.backends.proof import Material, Proof, prove
from nnbench.data.dataset import ArraySpec, Split
from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.reading import Reading

pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from nnbench.backends.keras import reading as room
from support.keras_chains import OUTPUTS, SHAPES, VOCABULARY, made
from support.keras_programs import KNOWN, MLP, UNKNOWN, WRONG, compiled, sequential
from support.programs import loaded


def material(shape: tuple[int, ...] = (8, 8), outputs: int = 10, tokens: bool = False) -> Material:
    """Return images of noise with labels, or tokens."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(VOCABULARY, size=(160, *shape)) if tokens else rng.random((160, *shape))
    labels = rng.integers(outputs, size=160)
    kind = ArraySpec(shape, "int64" if tokens else "float64")
    return Material(Split(inputs, labels), kind, ArraySpec((), "int64"), 16, 3, seed=0)


def about(given: Material, outputs: int = 10, file: str | None = None) -> About:
    """Return what a program is told of this material."""
    few = given.rows(np.arange(sample_size(outputs)), "float64")
    course = (given.epochs, given.epoch_steps)
    return About("classification", given.inputs, few, outputs, *course, file)


def read(source: str, tmp_path: Path) -> Reading:
    """Return what is read of a program."""
    file = str(tmp_path / "program.py")
    return room.read(loaded(room, source, tmp_path)(), about(material(), file=file))


def proved(source: str, tmp_path: Path) -> tuple[Reading, Proof]:
    """Return what is read of a program, and its proof."""
    build = loaded(room, source, tmp_path)
    reading = room.read(build(), about(material(), file=str(tmp_path / "program.py")))
    assert reading.understood, reading.unknown
    return reading, prove(build, room, reading, material())


QUICK = ("linear outputs", "decay of kernels", "frozen", "drops always")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in KNOWN]
)
def test_what_people_write_is_read_and_proved(name: str, tmp_path: Path) -> None:
    source, findings = KNOWN[name]
    reading, proof = proved(source, tmp_path)
    assert proof.outcome == "agrees", proof
    assert {finding.key for finding in reading.findings} == findings
    # A class of the user's own cannot be made again in float64: it is taken as it is.
    assert proof.dtype == (
        "float32" if name in ("drops always", "blocks of its own") else "float64"
    )


def test_what_does_not_learn_or_goes_on_dropping_is_read_by_layer(tmp_path: Path) -> None:
    for name, layers in (
        ("frozen", [spec.Dense(16, trainable=False), spec.Activation("relu"), spec.Dense(10)]),
        ("drops always", [
            spec.Dense(16), spec.Activation("tanh"), spec.Dropout(0.5, True), spec.Dense(10)]),
        ("a norm held still", [
            spec.Dense(16), spec.BatchNorm(0.01, 1e-3, "biased", False), spec.Dense(10)]),
    ):  # fmt: skip
        reading = read(KNOWN[name][0], tmp_path)
        assert list(reading.layers) == layers
        assert reading.remarks == ()
        assert reading.frozen == ()


def test_what_fit_does_not_hear_is_remarked(tmp_path: Path) -> None:
    """Keras' fit, evaluate and predict say `training` to every layer of a functional model."""
    source = compiled(
        "i = keras.Input((64,))\nx = layers.Dropout(0.5)(layers.Dense(16)(i), training=True)\n"
        "model = keras.Model(i, layers.Dense(10)(x))"
    )
    reading = read(source, tmp_path)
    assert reading.layers[1] == spec.Dropout(0.5)
    assert "training=True has no effect" in reading.remarks[0]
    own = loaded(room, source, tmp_path)()
    one, other = (own.predict(np.ones((2, 64), "float32"), verbose=0) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    source, text, line = UNKNOWN[name]
    reading = read(source, tmp_path)
    assert not reading.understood
    named = [unknown for unknown in reading.unknown if text in unknown.text]
    assert len(named) == 1, reading.unknown
    assert named[0].place is not None
    assert named[0].place.line == line


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_trained_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    source, text = WRONG[name]
    with pytest.raises(ConfigError, match=text) as error:
        read(source, tmp_path)
    assert "\n" not in str(error.value)


def test_a_reading_that_is_wrong_is_not_proved(tmp_path: Path) -> None:
    """A planted fault: the class says another momentum than it computes with."""
    lying = (
        "class Lying(keras.optimizers.SGD):\n    def update_step(self, g, v, rate):\n"
        "        super().update_step(g * 1.01, v, rate)\n\n"
        "Lying.__module__, Lying.__name__ = 'keras.src.optimizers.sgd', 'SGD'\n\n"
    )
    source = sequential(*MLP, optimizer="Lying(0.1, momentum=0.9)", before=lying)
    _, proof = proved(source, tmp_path)
    assert proof.outcome == "diverges"
    assert proof.step == 1


def test_objects_are_left_alone_by_a_copy(tmp_path: Path) -> None:
    built = loaded(room, sequential(*MLP), tmp_path)()
    before = [np.array(w) for w in built.get_weights()]
    reading = room.read(built, about(material()))
    proof = prove(lambda: room.copied(built), room, reading, material())
    assert proof.outcome == "agrees"
    assert all(np.array_equal(a, b) for a, b in zip(before, built.get_weights(), strict=True))


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n == 3 else [pytest.mark.slow]) for n in range(40)]
)
def test_a_random_chain_is_read_back_into_what_made_it(number: int) -> None:
    kind, expected, build = made(number)
    given = material(SHAPES[kind], OUTPUTS, tokens=kind == "tokens")
    reading = room.read(build(), about(given, OUTPUTS))
    assert reading.understood, reading.unknown
    assert {name: getattr(reading, name) for name in expected} == expected
    proof = prove(build, room, reading, given)
    assert proof.understood, proof
    assert proof.compared, proof
