"""Classic mistakes are named where a student makes them, by numbers; what resembles them is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import Agreement
from nnbench.errors import ConfigError
from nnbench.testing import (
    CheckResult,
    all_checks,
    behaves_like,
    check_layer,
    check_trainer,
    checks_of_layer,
    result,
    trainer_of,
)
from nnbench.testing.__main__ import own_class
from nnbench.testing.mistakes import MISTAKES
from support import ROOT
from support.commands import Nnbench
from support.plants import BY_NAME
from support.students import (
    ADVERSARIES,
    LAYERS,
    SKELETONS,
    STUDENTS,
    FlippedConv,
    PlainConv,
    StaleRelu,
    backend,
)

TEXTS = [each.text for each in MISTAKES]
SHORT = (  # of each kind one: the rest is slow, all of it with the whole scorecard
    "the gradient is not divided by the batch size",
    "momentum has the wrong sign",
    "the biases have no gradient",
    "a layer is updated before the gradient is passed down through it",
)


def some(
    checks: dict[str, Callable[[], Agreement | None]], names: Iterable[str]
) -> list[CheckResult]:
    return [result(name, checks[name]) for name in names]


@pytest.mark.parametrize("text", SHORT)
def test_what_a_student_does_wrong_is_named(text: str) -> None:
    mine = backend(*STUDENTS[text])
    results = some(all_checks(mine, "plain"), ("dense", "sigmoid", "no hidden layer"))
    (named,) = behaves_like(mine, "plain", results)
    assert named.text == text
    assert named.reproduced == named.of == sum(each.outcome == "failed" for each in results) > 0


@pytest.mark.slow
@pytest.mark.parametrize("text", STUDENTS)
def test_it_is_named_by_the_whole_scorecard(text: str) -> None:
    mine = backend(*STUDENTS[text])
    found = behaves_like(mine, "plain", check_trainer(mine, "plain"))
    assert [each.text for each in found] == [text]
    assert found[0].reproduced == found[0].of


@pytest.mark.slow
@pytest.mark.parametrize("name", ADVERSARIES)
def test_what_resembles_a_mistake_is_not_named(name: str) -> None:
    mine = backend(*ADVERSARIES[name])
    results = list(check_trainer(mine, "plain"))
    assert any(each.outcome == "failed" for each in results)
    assert behaves_like(mine, "plain", results) == []


def test_what_is_right_behaves_like_nothing() -> None:
    mine = backend()
    results = some(all_checks(mine, "plain"), ("dense", "parameters round trip"))
    assert behaves_like(mine, "plain", results) == []


def test_weights_that_start_all_the_same_are_seen() -> None:
    mine = backend(
        ("initial_params(He(), task.architecture, task.seed, task.dtype)",
         "{k: np.ones(s) for k, s in task.architecture.parameter_shapes().items()}")
    )  # fmt: skip
    results = some(all_checks(mine, "plain"), ("dense", "parameters round trip"))
    assert [each.outcome for each in results] == ["passed", "passed"]
    (named,) = behaves_like(mine, "plain", results)
    assert (named.text, named.reproduced, named.of) == ("the weights start all the same", 0, 0)
    biases = backend(
        ("initial_params(He(), task.architecture, task.seed, task.dtype)",
         "{k: p if k.layer else 0 * p for k, p in "
         "initial_params(He(), task.architecture, task.seed, task.dtype).items()}")
    )  # fmt: skip
    assert behaves_like(biases, "plain", results) == []


def test_where_two_mistakes_do_the_same_both_are_named() -> None:
    """Of a net without hidden layers the biases are that of the output."""
    mine = backend(*STUDENTS["the biases have no gradient"])
    results = some(all_checks(mine, "plain"), ("no hidden layer",))
    found = [each.text for each in behaves_like(mine, "plain", results)]
    assert found == TEXTS_OF_BIASES
    wider = some(all_checks(mine, "plain"), ("no hidden layer", "dense"))
    assert [each.text for each in behaves_like(mine, "plain", wider)] == TEXTS_OF_BIASES[:1]


TEXTS_OF_BIASES = [
    "the biases have no gradient",
    "the bias of the output layer has no gradient",
]


@pytest.mark.slow
def test_a_mistake_that_shows_where_all_is_well_is_not_named() -> None:
    """One net alone would have it: the others are right."""

    class InOneNet(NumpyTrainer):
        def gradients(self, x: Any, t: Any, keys: Any) -> Any:
            logits, grads = super().gradients(x, t, keys)
            wrong = len(self.layers) == 1
            return logits, {k: g * (not (wrong and k.role == "bias")) for k, g in grads.items()}

    results = some(all_checks(InOneNet, "reference"), ("no hidden layer", "dense"))
    assert [each.outcome for each in results] == ["failed", "passed"]
    assert behaves_like(InOneNet, "reference", results) == []
    assert len(behaves_like(InOneNet, "reference", results[:1])) == 2


@pytest.mark.slow
def test_two_mistakes_of_one_student_are_named_together() -> None:
    one, other = SHORT[:2]
    mine = backend(*STUDENTS[one], *STUDENTS[other])
    (found,) = behaves_like(mine, "plain", check_trainer(mine, "plain"))
    assert found.text == f"{one}, and {other}"
    assert found.reproduced == found.of


@pytest.mark.slow
@pytest.mark.parametrize(("own", "text"), LAYERS.items(), ids=str)
def test_a_layer_of_a_student_s_own(own: tuple[type, str], text: str | None) -> None:
    results = list(check_layer(*own))
    assert any(each.outcome == "failed" for each in results)
    found = behaves_like(trainer_of(*own), "reference", results)
    assert [each.text for each in found] == [text] * bool(text)


@pytest.mark.slow
def test_a_layer_that_is_right_passes() -> None:
    assert {each.outcome for each in check_layer(PlainConv, "conv2d")} == {"passed"}


def test_a_layer_says_which_of_its_functions_is_wrong() -> None:
    names = ("forward", "param_grads", "input_grad", "relu")
    found = {each.name: each for each in some(checks_of_layer(StaleRelu, "relu"), names)}
    assert [found[name].outcome for name in names] == ["passed", "passed", "passed", "failed"]
    conv = some(checks_of_layer(FlippedConv, "conv2d"), ("forward",))
    assert conv[0].detail.startswith("y differs by ")


# Planted for the kit, not for this: each is named, or nothing is.
PLANTED = {
    "DropsInEvaluation": "evaluation drops values",
    "DropsInSmallSplits": None,
    "NormalisesByTheBatchIfLarge": None,
    "ForgetsTheMean": "the gradient is not divided by the batch size",
    "OneBiasFixed": None,
    "OutputBiasFixed": "the bias of the output layer has no gradient",
    "GradientOfTheStepBefore": "the update uses the gradients of the batch before",
    "FasterFromTheSecondEpoch": None,
    "RateInFloat32": None,
    "AdamEpsilonInside": "epsilon is on the wrong side of the root",
    "AdamUncorrected": "Adam's moments are not corrected for their start at 0",
    "NoDecayOfBiases": None,  # of AdamW's it has
    "LastTokenWins": "of a token that occurs several times one gradient counts",
    "ChannelsFirst": "images are flattened channels first",
    "NormForgetsTheMean": "normalisation takes mean and variance for constants",
    "GeluByTanh": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_faults_planted_for_the_kit_are_named_or_not(name: str) -> None:
    plant, text = BY_NAME[name], PLANTED[name]
    found = behaves_like(plant, "reference", check_trainer(plant, "reference"))
    assert [each.text for each in found] == [text] * bool(text)


def test_the_page_explains_every_mistake() -> None:
    page = (ROOT / "docs" / "mistakes.md").read_text()
    told = dict(
        part.split("\n\n", 1)
        for part in re.split(r"\n## .+|^### ", page, flags=re.MULTILINE)[1:]
        if "\n\n" in part.strip()
    )
    listed = {text: " ".join(why.split()) for text, why in told.items()}
    assert {each.text: each.why for each in MISTAKES}.items() <= listed.items()
    assert len(set(TEXTS)) == len(TEXTS) >= 60


LAYER = """
import numpy as np

class Own:
    def __init__(self, parameters, spec):
        pass

    def forward(self, x):
        return np.tanh(x)

    def input_grad(self, x, y, dy):
        return dy * (1 - np.tanh(y) ** 2)
"""


@pytest.mark.slow
def test_the_command_names_what_a_layer_does_wrong(nnbench: Nnbench, tmp_path: Path) -> None:
    right = ("np.tanh(x)", "dy * (1 - np.tanh(y) ** 2)")
    Path("own.py").write_text(LAYER.replace(right[0], "x.clip(0)").replace(right[1], "dy"))
    done = nnbench("check", "--layer", "relu=own.py:Own")
    assert done.returncode == 1
    assert "FAIL  input_grad: dx differs by " in done.stdout
    text, why = "the derivative of the activation is forgotten", "dx = dy * f'(x)"
    assert f"\nbehaves like: {text}\n" in done.stdout
    assert why in done.stdout.split(text)[1]
    assert f"(docs/mistakes.md#{text.replace(' ', '-')})" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("checks failed.")


@pytest.mark.slow
def test_the_layer_of_the_page_is_the_skeleton_s_and_passes(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "mistakes.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert code == (SKELETONS / "layer.py.txt").read_text()
    (command,) = re.findall(r"```bash\n(.*?)\n```", page)
    assert nnbench("new", "layer", "mine").returncode == 0
    done = nnbench(*shlex.split(command)[1:])
    assert (done.returncode, "behaves like" in done.stdout) == (0, False), done.stdout


def test_what_is_no_layer_is_one_line(nnbench: Nnbench, tmp_path: Path) -> None:
    Path("own.py").write_text(LAYER)
    Path("broken.py").write_text("1 / 0\n")
    for typed, said in {
        "own.py:Own": "must be KIND=FILE:CLASS, as dense=mine.py:Dense",
        "relu=own.py": "must be KIND=FILE:CLASS",
        "rely=own.py:Own": "Received the layer rely; must be one of avg_pool2d, batch_norm",
    }.items():
        done = nnbench("check", "--layer", typed)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    for target, said in {
        "gone.py:Own": "Cannot read gone.py: there is no such Python file.",
        "own.py:Gone": "own.py has no class Gone; it has Own.",
        "broken.py:Own": "broken.py fails on import: ZeroDivisionError: division by zero",
    }.items():
        with pytest.raises(ConfigError) as error:
            own_class(target)
        assert str(error.value) == said


def test_a_layer_of_the_wrong_shape_is_told_so() -> None:
    (found,) = some(checks_of_layer(_load(LAYER), "tanh"), ("param_grads",))
    assert found.outcome == "passed"
    wrong = _load(LAYER.replace("return dy * (1 - np.tanh(y) ** 2)", "return dy[:1]"))
    (found,) = some(checks_of_layer(wrong, "tanh"), ("input_grad",))
    assert found.detail == "input_grad returned an array of shape (1, 6); must be (32, 6)"
    for kind, said in {
        "dense": "forward returned an array of shape (32, 12); must be (32, 6)",
        "layer_norm": "it has scale, and no param_grads(x, dy)",
    }.items():
        (found,) = some(checks_of_layer(_load(LAYER), kind), ("param_grads",))
        assert found.detail == said


def _load(code: str) -> Any:
    names: dict[str, Any] = {}
    exec(code, names)
    return names["Own"]
