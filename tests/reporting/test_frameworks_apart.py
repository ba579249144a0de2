"""Keras and PyTorch by themselves: which of their formulas explains the gap between them.

Slow: frameworks start anew for every run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnbench.reporting.explain.asking import Explanation, explain
from nnbench.reporting.explain.explanation import Effect
from nnbench.reporting.explain.unnamed import UNNAMED
from support import TESTS
from support.commands import fresh

pytestmark = pytest.mark.slow
pytest.importorskip("torch")
pytest.importorskip("keras")

NATIVE = [
    "semantics=native", "input=resident", "init=glorot", "shuffle=false", "loss=cross_entropy",
    "data.train_samples=1000", "batch_size=32", "arch=mlp", "arch.hidden=[32]", "epochs=4",
]  # fmt: skip
VELOCITY = [
    "optimizer=sgd", "optimizer.momentum=0.9", "schedule=step", "schedule.every=1",
    "schedule.factor=0.1", "schedule.lr=0.1",
]  # fmt: skip
ROOT_OF_EPSILON = [
    "optimizer=rmsprop", "optimizer.epsilon=0.1", "schedule=constant", "schedule.lr=0.01",
]  # fmt: skip
BENT = {
    "own/backend/bent.yaml": """
# Keras with a momentum that nobody is told of
name: bent
_target_: bent.Bent
execution: xla
executions: [xla]
engine: tensorflow
packages: [keras, tensorflow]
env: ["KERAS_BACKEND=tensorflow"]
""",
    "own/bent.py": """
from nnbench.backends.keras import KerasTrainer

class Bent(KerasTrainer):
    def __init__(self, task, splits):
        super().__init__(task, splits)
        if task.semantics == "native":
            self._optimizer.momentum = 0.5
""",
}


def explained(overrides: list[str], seeds: int = 1) -> Explanation:
    found = explain("backend=keras", "backend=torch", overrides, seeds)
    for each in found.gaps:
        assert sum(effect.middle for effect in each.effects) == pytest.approx(each.total)
    return found


def effects(found: Explanation) -> dict[str, Effect]:
    return {effect.name: effect for effect in found.gaps[0].effects}


def share(found: Explanation, name: str) -> float:
    return found.gaps[0].share(effects(found)[name])


def test_the_velocity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = explained([*NATIVE, *VELOCITY])
    assert share(found, "optimizer.rate") >= 0.9
    assert abs(share(found, "backend")) <= 0.05
    assert UNNAMED not in " ".join(found.sentences())
    assert [effect.name for effect in found.gaps[1].effects] == ["backend"]  # time is its own


def test_epsilon_inside_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = explained([*NATIVE, *ROOT_OF_EPSILON])
    assert share(found, "optimizer.epsilon_root") >= 0.9
    assert UNNAMED not in " ".join(found.sentences())


def test_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers = "arch.layers=[flatten, {name: dense, units: 16}, batch_norm, relu]"
    given: list[Any] = [x for x in NATIVE if not x.startswith(("arch", "init", "epochs"))]
    given += ["init=native", "arch=layers", layers, "optimizer=adam", "schedule=constant"]
    found = explained([*given, "schedule.lr=0.01", "epochs=1"])
    assert {
        "init", "draws of initial weights", "optimizer.epsilon", "optimizer.epsilon_correction",
        "batch_norm.momentum", "batch_norm.epsilon", "batch_norm.variance", "backend",
    } == set(effects(found))  # fmt: skip
    assert abs(effects(found)["backend"].middle) <= 0.005
    assert UNNAMED not in " ".join(found.sentences())


def test_what_is_planted_in_keras_has_no_name(tmp_path: Path) -> None:
    for name, text in BENT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    words = ["explain", "backend=bent", "backend=torch", *NATIVE, *VELOCITY]
    env = {"PYTHONPATH": str(TESTS.parent / "src")}
    done = fresh(tmp_path, [*words, "--config-dir", "own"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert f"{UNNAMED}: bent computes something that has no name here." in said
    page = (tmp_path / "results" / "explain" / "explain.md").read_text()
    assert "| backend: bent to torch, not explained by a named formula |" in page
