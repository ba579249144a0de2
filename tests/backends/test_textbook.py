"""NumPy as people write it: the reference's steps, no trick of the fused form, one page of docs."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.textbook import TextbookTrainer, trainer
from nnbench.errors import UnsupportedSpec
from nnbench.model.layers import Activation, Conv2d, Dense, Dropout, Flatten, Layer
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adam, Optimizer
from nnbench.testing import check_trainer, equals_the_reference
from nnbench.testing.cases import case

PAGE = Path(__file__).parents[2] / "docs" / "textbook.md"


@pytest.mark.slow
def test_the_kit_finds_no_failure() -> None:
    results = list(check_trainer(TextbookTrainer, "plain"))
    assert not [r for r in results if r.outcome == "failed"]
    passed = {r.name for r in results if r.outcome == "passed"}
    assert {"sgd", "sgd momentum", "batches of 1", "float32: dense", "slice law"} <= passed
    assert len(passed) >= 57


def test_a_fault_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(Dense(8), Activation("sigmoid"), inputs="flat").of("float64")
    equals_the_reference(TextbookTrainer, "plain", given)
    slope = trainer.HIDDEN["sigmoid"][0], lambda a: a * (1 - a) * (1 + 1e-9)
    monkeypatch.setitem(trainer.HIDDEN, "sigmoid", slope)
    with pytest.raises(AssertionError, match="diverges at step 1"):
        equals_the_reference(TextbookTrainer, "plain", given)


def test_every_result_is_a_fresh_array() -> None:
    """It is there for its time: what the fused form saves must not creep in."""
    given = case(Dense(8), Activation("relu"), inputs="flat").of("float64")
    made = TextbookTrainer(given.on("plain"), given.splits)
    before = dict(made.weights)
    made.train(given.walks()[0])
    assert all(made.weights[key] is not old for key, old in before.items())
    text = inspect.getsource(trainer.TextbookTrainer)
    assert not re.findall(r"out=|\+=|-=|\*=|/=|blas|ger|gemm", text)


HELD = Dense(4, trainable=False)
LACKS: list[tuple[list[Layer], Loss, Optimizer, str]] = [
    ([Conv2d(2), Flatten()], Loss("cross_entropy"), SGD(), "no layer conv2d"),
    ([Dense(4), Dropout(0.1)], Loss("cross_entropy"), SGD(), "no layer dropout"),
    ([Dense(4), HELD], Loss("cross_entropy"), SGD(), "no layers that do not learn"),
    ([Dense(4)], Loss("l1"), SGD(), "no loss=l1; it has bce, cross_entropy and mse"),
    ([Dense(4)], Loss("cross_entropy"), Adam(), "no optimizer=adam; it has sgd"),
    ([Dense(4)], Loss("cross_entropy"), SGD(nesterov=True, momentum=0.9), "no Nesterov"),
    ([Dense(4)], Loss("cross_entropy"), SGD(clip_norm=1.0), "no gradient clipping"),
    ([Dense(4)], Loss("cross_entropy", label_smoothing=0.1), SGD(), "no label smoothing"),
]


@pytest.mark.parametrize(("layers", "loss", "optimizer", "message"), LACKS)
def test_what_it_lacks_is_said(
    layers: list[Layer], loss: Loss, optimizer: Optimizer, message: str
) -> None:
    inputs = "image" if isinstance(layers[0], Conv2d) else "flat"
    given = case(*layers, inputs=inputs, loss=loss, optimizer=optimizer).of("float64")
    with pytest.raises(UnsupportedSpec, match=f"backend=numpy_textbook has {message}"):
        TextbookTrainer(given.on("plain"), given.splits)


def test_an_overflow_is_no_crash() -> None:
    given = case(Dense(8), Activation("sigmoid"), inputs="flat").of("float64")
    made = TextbookTrainer(given.on("plain"), given.splits)
    walk = given.walks()[0]
    made.train(dataclasses.replace(walk, lr=np.full_like(walk.lr, 1e300)))
    assert made.evaluate("test").shape == (len(given.splits["test"]), 4)


def test_the_page_has_the_loop_as_it_is() -> None:
    page = PAGE.read_text()
    shown = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for part in (trainer.relu, trainer.sigmoid, trainer.softmax, TextbookTrainer.forward,
                 TextbookTrainer.output_error, TextbookTrainer.step, TextbookTrainer.descend,
                 TextbookTrainer.train):  # fmt: skip
        source = inspect.getsource(part)
        assert inspect.cleandoc("\n" + source) in shown or source.strip("\n") in shown, part
    assert len(page.splitlines()) < 140
