"""The forgeNN backend: what it has agrees with the reference, what it lacks is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnbench.errors import UnsupportedSpec
from nnbench.model.layers import Activation, Conv2d, Dense, Dropout, Flatten, Layer
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adam, Optimizer, RMSprop
from nnbench.testing import check_trainer, equals_the_reference
from nnbench.testing.cases import Case, case
from support.commands import Nnbench

pytest.importorskip("forgeNN")


def plain(given: Case, **changes: object) -> Case:
    return dataclasses.replace(
        given.of("float32"), task=dataclasses.replace(given.of("float32").task, **changes)
    )


@pytest.mark.slow  # of this kind make test has numpy_textbook
def test_the_kit_finds_no_failure() -> None:
    from nnbench.backends.forgenn import ForgeNNTrainer

    results = list(check_trainer(ForgeNNTrainer, "plain", "float32"))
    failed = [r for r in results if r.outcome == "failed"]
    assert not failed
    passed = {r.name for r in results if r.outcome == "passed"}
    assert {"sgd", "sgd momentum", "adam", "adamw"} <= passed
    assert len(passed) >= 28


def test_a_fault_would_be_found() -> None:
    from nnbench.backends.forgenn import ForgeNNTrainer

    given = case(Dense(8), Activation("relu"), inputs="flat", optimizer=Adam(epsilon=1e-8))
    equals_the_reference(ForgeNNTrainer, "plain", given.of("float32"))
    wrong = dataclasses.replace(given.task.optimizer, beta1=0.91)

    def other(task: object, splits: object) -> object:
        return ForgeNNTrainer(dataclasses.replace(task, optimizer=wrong), splits)  # type: ignore[type-var,arg-type]

    with pytest.raises(AssertionError, match="diverges at step 2 of 21"):
        equals_the_reference(other, "plain", given.of("float32"))  # type: ignore[arg-type]


HELD = Dense(4, trainable=False)
LACKS: list[tuple[list[Layer], Loss, Optimizer, str]] = [
    ([Conv2d(2), Flatten()], Loss("cross_entropy"), SGD(), "no layer conv2d"),
    ([Dense(4), Dropout(0.1)], Loss("cross_entropy"), SGD(), "no layer dropout"),
    ([Dense(4), HELD], Loss("cross_entropy"), SGD(), "no layers that do not learn"),
    ([Dense(4, bias=False)], Loss("cross_entropy"), SGD(), "no dense layer without bias"),
    ([Dense(4)], Loss("bce"), SGD(), "no loss=bce; it has mse and cross_entropy"),
    ([Dense(4)], Loss("cross_entropy"), RMSprop(), "no optimizer=rmsprop"),
    ([Dense(4)], Loss("cross_entropy"), SGD(nesterov=True, momentum=0.9), "no Nesterov"),
    ([Dense(4)], Loss("cross_entropy"), SGD(clip_norm=1.0), "no gradient clipping"),
]


@pytest.mark.parametrize(("layers", "loss", "optimizer", "message"), LACKS)
def test_what_it_lacks_is_said(
    layers: list[Layer], loss: Loss, optimizer: Optimizer, message: str
) -> None:
    from nnbench.backends.forgenn import ForgeNNTrainer

    inputs = "image" if isinstance(layers[0], Conv2d) else "flat"
    given = plain(case(*layers, inputs=inputs, loss=loss, optimizer=optimizer))
    with pytest.raises(UnsupportedSpec, match=message):
        ForgeNNTrainer(given.on("plain"), given.splits)


def test_its_own_weights_follow_the_seed_and_leave_the_global_state() -> None:
    from nnbench.backends.forgenn import ForgeNNTrainer

    given = plain(case(Dense(4), inputs="flat"))
    before = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    first, again = (ForgeNNTrainer(given.on("plain"), given.splits).params() for _ in range(2))
    other = ForgeNNTrainer(dataclasses.replace(given.on("plain"), seed=6), given.splits).params()
    assert np.random.get_state()[1].tolist() == before  # type: ignore[union-attr]
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert any((first[key] != other[key]).any() for key in first)


def test_a_matched_sweep_is_certified(nnbench: Nnbench) -> None:
    done = nnbench(
        "-m",
        "backend=numpy,forgenn",
        "data=digits",
        "loss=cross_entropy",
        "arch.bias=true",
        "batch_size=32",
        "epochs=3",
        "tracking=local",
    )
    assert done.returncode == 0, done.stderr
    assert "parity agrees: forgenn against numpy" in " ".join(done.stdout.split())
