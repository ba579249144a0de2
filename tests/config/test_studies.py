"""Studies: every case composes, what is typed wins, and a mistake is one line with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnbench.config import studies
from nnbench.config.composition import compose, with_experiments
from nnbench.errors import ConfigError
from nnbench.reporting.claims.claim import read_claims, read_figures
from support.commands import Nnbench, here

STUDY = """\
title: Mine
question: Is it so?
common: {arch: mlp, data: synthetic, loss: cross_entropy, schedule: constant, epochs: 2}
cases:
  one: {backend: numpy, data.samples: 100, schedule.lr: 1e-3}
  two: {base: one, backend: torch, loss: mse}
pairs:
  - [one, two]
claims:
  - id: m-1
    statement: two is slower
    unit: times
    claimed: "> 1"
    measure: {matched: two.time / one.time}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the study.yaml of a study `mine` in the working directory."""
    path = tmp_path / "experiments" / "mine" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] * (i % 6 != 0))
        for i, case in enumerate(studies.experiments())
    ],
)
def test_every_case_of_every_study_composes(case: str) -> None:
    assert compose([f"experiment={case}"]).config.case == case


@pytest.mark.parametrize("name", studies.studies())
def test_a_study_opens_with_its_command(name: str) -> None:
    first = studies.studies()[name].read_text().splitlines()[0]
    assert first == f"# nnbench study {name}"


def test_a_case_is_common_then_its_base_then_its_own_and_what_is_typed_wins(mine: Path) -> None:
    config = compose(["experiment=mine/two"]).config
    assert (config.backend.name, config.loss.name, config.epochs) == ("torch", "mse", 2)
    assert config.data.samples == 100
    assert config.schedule.lr == 1e-3
    typed = ["experiment=mine/two", "loss=l1", "epochs=5", "data.samples=50"]
    for words in (typed, typed[::-1]):
        config = compose(words).config
        assert (config.loss.name, config.epochs, config.data.samples) == ("l1", 5, 50)


def test_semantics_and_initializer_of_a_case_are_both_kept(mine: Path) -> None:
    native = "{backend: torch, semantics: native, init: he}"
    mine.write_text(STUDY.replace("cases:", f"cases:\n  native: {native}"))
    config = compose(["experiment=mine/native"]).config
    assert (config.semantics, config.init.name, config.shuffle) == ("native", "he", True)
    assert compose(["experiment=mine/native", "semantics=matched"]).config.semantics == "matched"


@pytest.mark.usefixtures("mine")
def test_a_pattern_stands_for_the_cases_it_matches() -> None:
    assert with_experiments(["-m", "experiment=mine/*"]) == ["-m", "experiment=mine/one,mine/two"]
    assert with_experiments(["experiment=mi*/t*,mine/one"]) == ["experiment=mine/two,mine/one"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: Mine", "titel: Mine", ":1: Unknown key 'titel'; did you mean 'title'?"),
        ("title: Mine", "", ":2: Missing 'title'; must be text."),
        ("arch: mlp", "arch: mpl", ":3: Received arch: mpl; must be one of 784-10-10"),
        ("backend: numpy", "backend: nunpy", ":5: Received backend: nunpy; must be one of forgenn"),
        (
            "data: synthetic",
            "data: {samples: 1}",
            ":3: Received values for data; data takes",
        ),
        ("base: one", "base: oen", ":6: Unknown case 'oen'. Available: one; did you mean 'one'?"),
        ("one, two", "one, three", ":7: Unknown case 'three'. Available: one, two."),
        ("  two:", "  one:", ":6: not valid YAML: 'one' is set twice."),
        ("cases:", "cases: [", "not valid YAML: "),
        ("unit: times", "unit: time", ":12: Received unit: time; must be one of %, points"),
        ("claimed:", "climed:", ":13: Unknown key 'climed'; did you mean 'claimed'?"),
        ('"> 1"', "about 1", ":13: Received claimed: about 1 in a claim; must be a number"),
        ("two.time", "tow.time", ":14: Received matched: 'tow.time / one.time'; "),
        ("two.time", "two.tme", "did you mean 'time'?"),
        ("matched:", "mached:", ":14: Unknown key 'mached'; did you mean 'matched'?"),
        ("id: m-1", "unit: s", "not valid YAML: 'unit' is set twice."),
        ("- id: m-1\n    s", "- s", ":10: Missing 'id' of one of the claims."),
    ],
)
def test_a_mistake_costs_one_line_with_its_place(
    mine: Path, old: str, new: str, message: str
) -> None:
    assert old in STUDY
    mine.write_text(STUDY.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_claims(studies.read_study("mine"))
    assert str(caught.value).startswith(os.path.join("experiments", "mine", "study.yaml:"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        read_claims(studies.read_study("mine"))


def test_an_unknown_value_is_named_with_its_place(mine: Path) -> None:
    mine.write_text(STUDY.replace("data.samples", "data.sampels"))
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=mine/one"])
    message = "study.yaml:5: Unknown key 'data.sampels'; did you mean 'data.samples'?"
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["hydra.run.dir", "backend._target_", "backend.packages", "x"])
def test_a_study_of_the_working_directory_is_data_alone(mine: Path, key: str) -> None:
    mine.write_text(STUDY.replace("base: one", f"base: one, {key}: a.b"))
    with pytest.raises(ConfigError, match=rf"study.yaml:6: .*{key}"):
        compose(["experiment=mine/one"])


def test_a_broken_study_is_in_nobodys_way(mine: Path) -> None:
    broken = mine.parents[1] / "broken" / "study.yaml"
    broken.parent.mkdir()
    broken.write_bytes(b"title: \xff")
    assert [case for case in studies.experiments() if "mine" in case] == ["mine/one", "mine/two"]
    assert compose(["experiment=mine/one"]).config.case == "mine/one"
    with pytest.raises(ConfigError, match=r"broken.study.yaml: not valid YAML: .* UTF-8"):
        compose(["experiment=broken/one"])
    listed, _, left_out = here(["--help"]).stdout.partition("Left out")
    assert "  mine " in listed
    assert "  broken " not in listed
    assert "broken/study.yaml: not valid YAML" in left_out
    assert {"mine", "broken"} - studies.sound().keys() == {"broken"}


def test_figures_claim_nothing(mine: Path) -> None:
    mine.write_text(STUDY + "figures:\n  - {statement: time, measure: {matched: one.time}}\n")
    study = studies.read_study("mine")
    assert [figure.id for figure in read_figures(study)] == [None]
    mine.write_text(STUDY + "figures:\n  - {statement: time, id: m-2}\n")
    with pytest.raises(ConfigError, match=":16: Unknown key 'id'"):
        read_figures(studies.read_study("mine"))


def test_a_sweep_over_a_pattern_is_planned(nnbench: Nnbench) -> None:
    done = nnbench(
        "-m", "experiment=numpy_vs_pytorch_analysis/matched_*", "data=mnist_5k", "--plan"
    )
    assert done.returncode == 0, done.stderr
    assert "matched_torch_5" in done.stdout
