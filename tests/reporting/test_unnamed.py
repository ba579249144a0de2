"""Shares add up whatever they are called: what has no name must come out as the framework, loudly.

The framework is NumPy, by somebody else: in native semantics it has Keras' velocity, which it says
of itself, and by `FACTOR` other steps, of which it says nothing.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.model.network import ParamKey
from nnbench.records.run import RunResult
from nnbench.records.weights import save_weights
from nnbench.reporting.explain.asking import explain
from nnbench.reporting.explain.explanation import Gap, gap
from nnbench.reporting.explain.unnamed import APART, UNNAMED, apart, differ
from support import TESTS
from support.commands import fresh, plug_in
from support.records import epoch, make_run

CODE = """
import dataclasses

from nnbench.backends.numpy import NumpyTrainer

FACTOR = {factor}

class {kind}(NumpyTrainer):
    def __init__(self, task, splits):
        self.own = task.semantics == "native"
        if self.own:
            rule = dataclasses.replace(task.optimizer, rate="inside")
            task = dataclasses.replace(task, optimizer=rule)
        super().__init__(task, splits)

    def train(self, walk):
        if self.own:
            walk = dataclasses.replace(walk, lr=walk.lr * FACTOR)
        return super().train(walk)
"""
SETTINGS = [
    "optimizer=sgd", "optimizer.momentum=0.9", "schedule=step", "schedule.every=1",
    "schedule.factor=0.1", "schedule.lr=0.1", "arch=mlp", "arch.hidden=[16]", "init=glorot",
    "loss=cross_entropy", "data.train_samples=500", "epochs=4", "batch_size=32", "dtype=float64",
    "shuffle=false", "input=resident",
]  # fmt: skip


def said(folder: Path, *ends: str) -> str:
    env = {"PYTHONPATH": f"{folder}:{TESTS.parent / 'src'}"}
    done = fresh(folder, ["explain", *ends, *SETTINGS, "--config-dir", "conf"], env)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def backends(folder: Path, **factors: float) -> None:
    for name, factor in factors.items():
        if not (folder / "conf" / "backend").exists():
            plug_in(folder, name, CODE.format(factor=factor, kind=name.capitalize()))
            continue
        text = (folder / "conf" / "backend" / f"{next(iter(factors))}.yaml").read_text()
        other = text.replace(next(iter(factors)), name)
        other = other.replace(next(iter(factors)).capitalize(), name.capitalize())
        (folder / "conf" / "backend" / f"{name}.yaml").write_text(other)
        (folder / f"{name}.py").write_text(CODE.format(factor=factor, kind=name.capitalize()))


@pytest.mark.slow
def test_a_formula_with_a_name_and_one_without(tmp_path: Path) -> None:
    backends(tmp_path, mine=1.0, odd=3.0)
    clean = said(tmp_path, "backend=numpy", "backend=mine semantics=native")
    assert UNNAMED not in clean
    name = "optimizer.rate (learning rate outside the velocity to inside)"
    assert f"{name} explains 100 % of it" in clean
    assert "The framework explains 0 % of it." in clean
    planted = said(tmp_path, "backend=numpy", "backend=odd semantics=native")
    assert f"{UNNAMED}: odd computes something that has no name here." in planted
    assert planted.index(UNNAMED) < planted.index("From backend=numpy")
    assert "backend (numpy to odd, not explained by a named formula) explains " in planted
    page = (tmp_path / "results" / "explain" / "explain.md").read_text()
    assert page.index(UNNAMED) < page.index("## test accuracy")


@pytest.mark.slow
def test_two_that_make_up_for_each_other(tmp_path: Path) -> None:
    """The same unnamed formula at both ends: no gap, and shares that add up to nothing."""
    backends(tmp_path, odd=3.0, strange=3.0)
    ends = ("backend=odd semantics=native", "backend=strange semantics=native")
    found = said(tmp_path, *ends)
    for name in ("odd", "strange"):
        assert f"{UNNAMED}: {name} computes something that has no name here." in found
    assert "there is no gap to explain" in found


def net(folder: Path, values: Any, **changed: Any) -> RunResult:
    run = make_run(folder, **changed)
    params = {ParamKey(0, "kernel"): np.array(values), ParamKey(0, "bias"): np.array([1.0])}
    save_weights(folder / "weights.safetensors", params, "")
    return run


def test_weights_that_are_apart(tmp_path: Path) -> None:
    one = net(tmp_path / "a", [1.0, 2.0])
    assert apart(one, one) == 0.0
    assert apart(one, net(tmp_path / "b", [1.0, 2.0 + 2 * APART])) == pytest.approx(APART, rel=0.01)
    assert apart(one, net(tmp_path / "c", [1.0, math.nan])) == math.inf
    assert apart(one, net(tmp_path / "d", [1.0, 2.0, 3.0])) == math.inf
    assert apart(one, dataclasses.replace(one, directory=None)) == math.inf
    wandering = net(tmp_path / "e", [9.0, 2.0], without_effect=("0.kernel",))
    assert apart(wandering, one) == 0.0


def test_equal_weights_with_other_figures(tmp_path: Path) -> None:
    """A framework that evaluates by a formula of its own ends with the same weights."""
    one = net(tmp_path / "a", [1.0, 2.0])
    assert differ(one, net(tmp_path / "b", [1.0, 2.0])) == ""
    for name, values in (("c", {"test_loss": 0.31}), ("d", {"test_accuracy": 0.7})):
        records = tuple(epoch(i, **values) for i in range(3))
        other = net(tmp_path / name, [1.0, 2.0], epochs=records)
        assert differ(one, other) == "in their test figures, with equal weights"
    assert differ(one, net(tmp_path / "e", [1.0, 3.0])) == "by 33 % of the largest weight"


def test_steps_of_one_name_add_up_and_shares_to_the_gap() -> None:
    texts = {"backend": "a to b", "x": "1 to 2"}
    there = [("", 0.5), ("backend", 0.6), ("x", 0.4), ("backend", 0.9)]
    back = [("", 0.5), ("backend", 0.6), ("x", 0.8), ("backend", 0.9)]
    found = gap("test accuracy", there, back, texts)
    assert {e.name: e.middle for e in found.effects} == pytest.approx({"backend": 0.4, "x": 0.0})
    assert sum(found.share(each) for each in found.effects) == pytest.approx(1.0)
    times = gap("time per epoch", there, back, texts, ratio=True, part_of={"x": "backend"})
    assert [e.name for e in times.effects] == ["backend"]
    assert times.share(times.effects[0]) == pytest.approx(1.0)


def test_a_gap_without_a_large_part_has_no_others() -> None:
    steps = [("", 1.0), ("x", 0.9)]
    (sentence,) = gap("time per epoch", steps, steps, {"x": "1 to 2"}, ratio=True).sentences()[1:]
    assert sentence == "No change does more than x 0.90: x."


def whole(found: Gap) -> None:
    assert sum(effect.middle for effect in found.effects) == pytest.approx(found.total)


@pytest.mark.slow
def test_several_formulas_share_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' RMSprop, PyTorch's, both on NumPy: constants and forms each have a share."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "COLUMNS", "120")
    settings = [each for each in SETTINGS if not each.startswith("optimizer")]
    found = explain(
        "optimizer.formulas=keras",
        "optimizer.formulas=torch",
        [*settings, "optimizer=rmsprop", "optimizer.epsilon=0.1", "schedule.lr=0.01"],
    )
    named = [change.name for change in found.changes]
    assert set(named) == {"formulas", "optimizer.rho", "optimizer.epsilon_root"}
    for each in found.gaps:
        whole(each)
    sentences = " ".join(found.sentences())
    assert "optimizer.epsilon_root (epsilon inside the root to outside) explains" in sentences
    assert "Known: where gradients are small beside epsilon" in sentences
