"""What a sweep certifies: planted cheats are caught, honest runs are not, doubts are said."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from nnbench.backends.parity import Agreement
from nnbench.config.run import Cell
from nnbench.records import recomputed, trajectory
from nnbench.records.certificate import Certificate, Place
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.records.standing import Standing, standing
from nnbench.reporting.comparison.content import build
from nnbench.reporting.comparison.groups import tables
from nnbench.sweeps import certify
from nnbench.sweeps.certify import recomputed as recompute
from support.commands import TINY, Nnbench
from support.records import make_run

# Each is honest but for what its name says; the sweep below has 4 epochs of 5 steps.
PLANTS = '''
from dataclasses import replace
import numpy as np
from nnbench.backends.numpy import NumpyTrainer
class Honest(NumpyTrainer):
    pass
class Answers(NumpyTrainer):
    """Evaluates otherwise on `splits`, in `epochs`, with more than `rows` rows."""
    splits, epochs, rows, epoch = ("train_eval", "test", "val"), range(9), 0, 0
    def train(self, walk):
        self.epoch = walk.epoch
        return super().train(walk)
    def evaluate(self, split):
        z = np.array(super().evaluate(split))
        lies = split in self.splits and self.epoch in self.epochs and len(z) > self.rows
        return self.lie(z, self._targets[split]) if lies else z
    def lie(self, z, labels):
        z[np.arange(len(z)), labels] += 5
        return z
class Told(Answers):
    pass
class Large(Answers):
    rows = 35
class Validation(Answers):
    splits = ("val",)
class Training(Answers):
    splits = ("train_eval",)
class Early(Answers):
    epochs = (1,)
class Late(Answers):
    epochs = (3,)
class Rolled(Answers):
    def lie(self, z, labels):
        return np.roll(z, 1, axis=1)
class Nan(Answers):
    def lie(self, z, labels):
        z[np.arange(len(z)), labels] = np.nan
        return z
class Other(NumpyTrainer):
    def params(self):
        return {k: p * 1.01 for k, p in super().params().items()}
class Running(NumpyTrainer):
    def train(self, walk):
        stats = super().train(walk)
        return replace(stats, loss_sum=0.9 * stats.loss_sum)
class Still(NumpyTrainer):
    """Its output bias stays as it is."""
    def train(self, walk):
        key = max(k for k in self._params if k.role == "bias")
        before, total = self._params[key].copy(), 0.0
        for i in range(len(walk.lr)):
            total += super().train(walk.part(i, i + 1, self.task.batch_size)).loss_sum
            self._params[key][...] = before
        from nnbench.backends.protocol import TrainStats
        return TrainStats(total, len(walk.order))
class Last(NumpyTrainer):
    def train(self, walk):
        stats = super().train(walk)
        if walk.first_step <= 17 < walk.first_step + len(walk.lr):
            self._params[min(self._params)][0] += 1e-9
        return stats
class Whole(NumpyTrainer):
    """Honest in steps, wrong in whole epochs."""
    def train(self, walk):
        if len(walk.lr) == 5:
            self._params[min(self._params)][...] += 1e-9
        return super().train(walk)
'''
CAUGHT = {
    "Told": "figures wrong: told against .*: test accuracy [0-9.]+%, right is",
    "Large": "figures wrong: large.*train accuracy [0-9.]+%, right is",
    "Validation": "figures wrong: validation against .*: val accuracy",
    "Training": "figures wrong: training against .*: train accuracy",
    "Early": "figures wrong: early against .*: train loss in epoch 2 ",
    "Late": "figures wrong: late against .*: test accuracy [0-9.]+%, right is",
    "Rolled": "figures wrong: rolled against .*: test accuracy",
    "Other": "diverges: other against numpy.*: at epoch 1, step 1, layer",
    "Running": "figures wrong: running.*: running loss in epoch 1",
    "Still": r"diverges: still against numpy.* at epoch 1, step 1, layer 3 \(dense",
    "Last": r"diverges: last against numpy.* at epoch 4, step 3, layer 1 \(dense",
    "Whole": "diverges: whole against numpy.* at epoch 1, layer",
}
IN_SHORT = ("Early", "Validation", "Running", "Other", "Last")  # figures and weights of each kind
WORDS = (
    *("data=synthetic", "data.samples=200", "data.noise=3", "data.val_fraction=0.2", "epochs=4"),
    *("batch_size=32", "arch=mlp", "arch.hidden=[8]", "init=he", "loss=cross_entropy"),
    *("schedule=constant", "schedule.lr=0.1", "dtype=float64", "tracking=local"),
)


@pytest.fixture
def planted(tmp_path: Path) -> None:
    """Put the plants where `--config-dir own` finds them."""
    folder = tmp_path / "own" / "backend"
    folder.mkdir(parents=True)
    (tmp_path / "own" / "plants.py").write_text(PLANTS)
    for name in re.findall(r"class (\w+)\(", PLANTS):
        (folder / f"{name.lower()}.yaml").write_text(_backend(name.lower(), name))


def _backend(name: str, target: str) -> str:
    return (
        f"name: {name}\n_target_: plants.{target}\nexecution: reference\nexecutions: [reference]\n"
    )


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("plants", [IN_SHORT, pytest.param(tuple(CAUGHT), marks=pytest.mark.slow)])
def test_every_plant_is_caught_and_no_honest_run(
    nnbench: Nnbench, tmp_path: Path, plants: tuple[str, ...]
) -> None:
    names = ",".join(["numpy", "numpy_reference", "honest", *map(str.lower, plants)])
    done = nnbench("-m", "--config-dir", "own", f"backend={names}", *WORDS)
    assert done.returncode == 1
    assert f"{len(plants)} of {len(plants) + 3} runs diverge or report wrong" in done.stderr
    text = " ".join(done.stdout.split())
    for name in plants:
        assert re.search(CAUGHT[name], text), (name, text)
        assert f"not ranked: {name.lower()} b32 s0" in text
    runs = {run.config["backend"]["name"]: run for run in read_runs(tmp_path / "results")}
    assert {n for n, run in runs.items() if standing(run).ranked} == {"numpy", "honest"}
    report = build(list(runs.values()))
    ranked = [row for content in report.tables for row in content.rows if row.seeds]
    assert {row.group for row in ranked} <= {"numpy", "numpy reference", "honest"}
    assert all(row.word == "" for row in ranked)


def test_what_was_certified_is_read_back(nnbench: Nnbench, tmp_path: Path) -> None:
    assert nnbench("-m", "backend=numpy,numpy_reference", *WORDS).returncode == 0
    runs = read_runs(tmp_path / "results")
    for run in runs:
        assert run.parity is not None
        again = Certificate.of_data(run.parity)
        assert json.loads(json.dumps(again.as_data())) == run.parity
    (found,) = (r.parity for r in runs if r.parity and r.parity["reference"])
    assert found["first_steps"] == [1, 2, 4]
    assert found["compared_steps"] == 20


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("semantics", [pytest.param("native", marks=pytest.mark.slow), "matched"])
def test_runs_without_a_counterpart_have_their_figures_checked(
    nnbench: Nnbench, tmp_path: Path, semantics: str
) -> None:
    words = ("-m", "--config-dir", "own", *WORDS, f"semantics={semantics}")
    init = ("init=native",) if semantics == "native" else ()
    done = nnbench(*words, *init, "backend=told", "seed=0,1")
    assert done.returncode == 1
    assert "figures wrong: told, float64, seed 1: test accuracy" in " ".join(done.stdout.split())
    done = nnbench(*words, *init, "backend=honest", "seed=0,1")
    assert done.returncode == 0, done.stderr
    good = [r for r in read_runs(tmp_path / "results") if standing(r) == Standing(True, "")]
    assert [r.parity["outcome"] for r in good if r.parity] == ["figures agree"] * 2


def test_without_certificates_runs_are_not_checked(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("-m", "backend=numpy,numpy_reference", *WORDS, "parity=false")
    assert done.returncode == 0
    assert "certificates: not checked" in done.stdout
    assert nnbench("seed=7", *WORDS).returncode == 0  # a single run
    runs = read_runs(tmp_path / "results")
    assert {standing(run) for run in runs} == {Standing(True, "not checked")}
    (content,) = build(runs).tables
    assert {row.word for row in content.rows} == {""}
    assert "Certificates: not checked." in content.notes


def test_data_that_is_gone_or_changed_is_said(nnbench: Nnbench, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = {f"x_{part}": rng.normal(size=(60, 5)) for part in ("train", "test")}
    names |= {f"y_{part}": rng.integers(0, 3, 60) for part in ("train", "test")}
    path = tmp_path / "own.npz"
    np.savez(path, **names)
    words = [word for word in WORDS if not word.startswith("data")]
    done = nnbench("-m", "backend=numpy", "seed=0,1", *words, "data=npz", f"data.path={path}")
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path / "results")
    assert {f.unchecked for f in recompute(runs).values()} == {None}
    names["x_test"][0, 0] += 1
    np.savez(path, **names)
    assert {f.unchecked for f in recompute(runs).values()} == {"data changed"}
    path.unlink()
    assert {f.unchecked for f in recompute(runs).values()} == {"data missing"}


def test_damaged_files_are_doubts_not_crashes(nnbench: Nnbench, tmp_path: Path) -> None:
    words = ("-m", "backend=numpy,numpy_reference", *WORDS)
    assert nnbench(*words, "parity=false").returncode == 0
    _, second = read_runs(tmp_path / "results")
    assert second.directory is not None
    path = second.directory / trajectory.TRAJECTORY_NAME
    path.write_bytes(path.read_bytes()[:300])
    done = nnbench(*words)
    assert done.returncode == 0, done.stderr
    assert "is damaged" in " ".join(done.stdout.split())
    (doubted,) = (r for r in read_runs(tmp_path / "results") if standing(r).word)
    assert standing(doubted).word.startswith("not proven (")
    assert recomputed.load(second.directory) is not None


def test_older_records_are_not_recorded_or_out(tmp_path: Path) -> None:
    old = make_run(tmp_path / "a", schema_version=5)
    assert standing(old) == Standing(True, "not recorded")
    passed = {"outcome": "pass", "text": "parity pass", "difference": [0.0], "envelope": [1.0]}
    assert standing(dataclasses.replace(old, parity=passed)) == Standing(True, "not recorded")
    failed = passed | {"outcome": "fail", "text": "parity FAIL: they diverge at epoch 2"}
    found = standing(dataclasses.replace(old, parity=failed))
    assert found == Standing(False, "diverges", "parity FAIL: they diverge at epoch 2")


def test_groups_that_differ_in_the_case_alone_have_labels_of_their_own(tmp_path: Path) -> None:
    def run(name: str, case: str | None) -> RunResult:
        found = make_run(tmp_path / name)
        return dataclasses.replace(found, config=found.config | {"case": case})

    runs = [run("a", "study/one"), run("b", "study/two"), run("c", None)]
    labels = [group.label for table in tables(runs) for group in table.groups]
    assert len(set(labels)) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("planted")
def test_backends_of_one_name_are_told_apart(nnbench: Nnbench, tmp_path: Path) -> None:
    """By their folder where nnbench has the name, by their file within one; none is NumPy."""
    folder = tmp_path / "own" / "backend"
    for name, target in (("fake", "Told"), ("mine_a", "Honest"), ("mine_b", "Last")):
        kind = "numpy" if name == "fake" else "mine"
        (folder / f"{name}.yaml").write_text(_backend(kind, target))
    words = ("--config-dir", "own", "backend=fake,mine_a,mine_b,numpy", *WORDS)
    done = nnbench("-m", *words)
    text = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert "figures wrong: numpy (own) against numpy" in text
    assert "parity agrees: mine (mine_a.yaml) against numpy" in text
    assert "parity diverges: mine (mine_b.yaml) against numpy" in text
    done = nnbench("parity", *words)
    assert done.returncode == 1
    assert "nnbench: 2 comparisons failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_parity_that_compares_nothing_fails(nnbench: Nnbench) -> None:
    wild = (
        "init=uniform",
        "init.low=-8e307",
        "init.high=8e307",
        "arch=linear_regression",
        "loss=mse",
    )
    words = (*TINY, *wild, "task=regression", "dtype=float64")
    done = nnbench("parity", "backend=numpy,numpy_reference", *words)
    assert done.returncode == 1
    assert "not proven" in done.stdout
    assert "failed or proved nothing" in done.stderr


def test_what_rounding_does_is_measured_again_before_anyone_is_accused() -> None:
    """Side by side the reference is rounded in more ways; a run outside of that stays accused."""

    def at(difference: float, one_ulp: float) -> Agreement:
        return Agreement(difference, one_ulp, {0: difference}, {0: one_ulp})

    run = Certificate("b", "float64", 0, "a", 9, {1: at(5e-14, 3e-16)}, (at(6e-14, 3e-16),))
    assert run.outcome == "diverges"
    whole = dataclasses.replace(run, first={1: at(5e-14, 9e-15)}, epochs=(at(6e-14, 9e-15),))
    assert run.widened(whole).outcome == "agrees"
    assert whole.widened(run) == whole
    cheat = dataclasses.replace(run, epochs=(at(1e-11, 3e-16),))
    assert cheat.widened(whole).outcome == "diverges"
    later = dataclasses.replace(run, epochs=(*run.epochs, at(6e-14, 3e-16)))
    assert later.widened(whole).parted_epoch == 1, "what was not measured again is as it was"


def test_who_parts_again_in_a_later_epoch_is_measured_again_over_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first that rounding explains may be followed by one that it does not, or does as well."""
    close, wide = (Agreement(6e-14, u, {0: 6e-14}, {0: u}) for u in (3e-16, 9e-15))
    run = Certificate("b", "float64", 0, "a", 9, {}, (close,) * 4, ("dense",))
    assert run.parted_epoch == 0
    asked: list[int] = []

    def located(*answers: Certificate) -> Certificate:
        """Locate with these answers in the place of side by side, one after the other."""

        def ask(what: str, cells: list[Cell], epochs: int) -> dict[str, object]:
            asked.append(epochs)
            return {"certificates": [answers[len(asked) - 1].as_data()]}

        asked.clear()
        monkeypatch.setattr(certify, "ask", ask)
        cell = Cell({"dtype": "float64"})
        return certify._located(run, cell, cell)

    once = dataclasses.replace(run, epochs=(wide,))
    assert located(once, dataclasses.replace(run, epochs=(wide,) * 4)).outcome == "agrees"
    assert asked == [1, 4]
    found = located(once, dataclasses.replace(run, epochs=(wide, wide, close, close)))
    assert found.outcome == "diverges"
    assert found.parted_epoch == 2
    there = dataclasses.replace(run, epochs=(wide, close), place=Place(2, 3, 0))
    assert located(once, there).place == Place(2, 3, 0)
    assert located(dataclasses.replace(run, epochs=(close,))).parted_epoch == 0
    assert asked == [1], "rounding has explained nothing: nothing more is asked"


@pytest.mark.slow  # tests/backends/test_drift.py has such nets without a sweep
def test_a_saturated_net_is_nobodys_fault(nnbench: Nnbench) -> None:
    """PyTorch's tanh is another, an ulp off where it is nearly 1: RMSprop makes steps of it."""
    pytest.importorskip("torch")
    saturated = ("arch=mlp", "arch.activation=tanh", "init=normal", "init.scale=3")
    rule = ("optimizer=rmsprop", "schedule=constant", "schedule.lr=0.001")
    done = nnbench("-m", "backend=numpy,torch", *TINY, *saturated, *rule, "dtype=float64")
    assert done.returncode == 0, done.stdout
    assert "parity agrees: torch against numpy, float64" in done.stdout


def test_what_parts_by_rounding_alone_is_chaotic() -> None:
    """In float32, after the first steps, where float64 agrees; an envelope passed before never."""
    near, far = (
        Agreement(1e-7, 1e-7, {0: 1e-7}, {0: 1e-7}),
        Agreement(1e-2, 1e-7, {0: 1e-2}, {0: 1e-7}),
    )
    late = Certificate("b", "float32", 0, "a", 9, {1: near, 2: near}, (near, far), ("dense",))
    assert late.outcome == "diverges"
    assert late.may_be_rounding
    excused = dataclasses.replace(late, by_rounding=True)
    assert excused.word == "chaotic after step 9"
    assert str(excused).endswith("then rounding parts them: in float64 they agree")
    assert Certificate.of_data(json.loads(json.dumps(excused.as_data()))).word == excused.word
    here = dataclasses.replace(excused, place=Place(2, 4, 0))
    assert str(here).endswith(
        "rounding decides step 4 of epoch 2, which the reference takes, too, from the same weights"
    )
    assert str(Certificate.of_data(json.loads(json.dumps(here.as_data())))) == str(here)
    early = dataclasses.replace(late, first={1: near, 2: far})
    assert not early.may_be_rounding
    assert not dataclasses.replace(late, dtype="float64").may_be_rounding
    assert not dataclasses.replace(late, first={}).may_be_rounding


@pytest.mark.slow
def test_figures_of_native_runs_are_recomputed_with_their_own_constants(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    """Keras adds 1e-3 to a variance, PyTorch 1e-5."""
    pytest.importorskip("tensorflow")
    layers = (
        "arch.layers=[flatten, {name: dense, units: 8}, {name: batch_norm}, {name: layer_norm}]"
    )
    done = nnbench(
        "-m", "backend=keras,torch", "semantics=native", "arch=layers", layers, "data=digits",
        "loss=cross_entropy", "epochs=1", "batch_size=32", "tracking=local",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for run in read_runs(tmp_path / "results"):
        assert run.parity is not None
        assert run.parity["outcome"] == "figures agree"
