"""Planted faults through the kit, a sweep and parity: what changes a figure or a time is caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.records.folder import read_runs
from support import ROOT
from support.commands import Nnbench
from support.plants import BY_NAME, PLANTS
from support.plants.trial import tried

IN_SHORT = (  # the kinds: the rest is slow
    "HelpsTheTrueLabel",
    "DropsInEvaluation",
    "HelpsInTestAlone",
    "AdamEpsilonHat",
    "OneBiasFixed",
)
OTHERS = [name for name in BY_NAME if name not in IN_SHORT]


@pytest.mark.parametrize(
    "name", [*IN_SHORT, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_what_changes_a_figure_or_a_time_is_caught_by_the_sweep(name: str, tmp_path: Path) -> None:
    trial = tried(BY_NAME[name], tmp_path)
    assert trial.checked
    assert trial.changes or name in OTHERS
    assert trial.caught_by_sweep or not trial.changes, trial


def test_a_backend_without_a_fault_is_caught_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLANTS, Honest, "dense")
    trial = tried(Honest, tmp_path)
    assert (trial.checked, trial.changes, trial.caught_by_sweep) == (False, False, False)
    assert (trial.sweep, trial.parity) == ("agrees", "agrees")


class Honest(NumpyTrainer):
    pass


def test_the_page_has_every_plant() -> None:
    page = (ROOT / "docs" / "results" / "plants.md").read_text()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if " | " in line]
    assert rows[1:] == list(BY_NAME)
    assert "MISSED" not in page


SWEEP = (
    *("data=synthetic", "data.samples=600", "data.noise=2", "epochs=3", "batch_size=32"),
    *("loss=cross_entropy", "schedule=constant", "schedule.lr=0.03", "tracking=local"),
    *("dtype=float64", "arch=layers", "data.val_fraction=0.1"),
    "arch.layers=[{name: dense, units: 8}, batch_norm, relu, {name: dropout, rate: 0.3}]",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("RollsTheLogits", "DropsInEvaluation", "NormalisesByTheBatch", "HelpsTheTrueLabel"),
        *("HelpsInTestAlone", "HelpsUnlessTwoHundredRows", "OneBiasFixed"),
    ],
)
def test_as_a_third_party_s_backend_by_the_commands(
    name: str, nnbench: Nnbench, tmp_path: Path
) -> None:
    group = tmp_path / "own" / "backend"
    group.mkdir(parents=True)
    plant = BY_NAME[name]
    (group / "planted.yaml").write_text(
        f"name: planted\n_target_: {plant.__module__}.{name}\n"
        "execution: reference\nexecutions: [reference]\n"
    )
    env = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'src'}"}
    own = ("--config-dir", "own")
    checked = nnbench("check", *own, "backend=planted", env=env)
    assert checked.returncode == 1
    assert f"FAIL  {PLANTS[plant]}: " in checked.stdout
    swept = nnbench("-m", *own, "backend=numpy,planted", *SWEEP, env=env)
    assert swept.returncode == 1
    runs = {run.config["backend"]["name"]: run for run in read_runs(tmp_path / "results")}
    assert (runs["planted"].parity or {})["outcome"] in ("figures wrong", "diverges")
    assert (runs["numpy"].parity or {})["outcome"] in ("figures agree", "agrees"), json.dumps(
        runs["numpy"].parity
    )
    beside = nnbench("parity", *own, "backend=numpy,planted", *SWEEP, env=env)
    assert beside.returncode == 1
