"""Claims: complete data, verdicts that follow from figures, a document that is generated."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nnbench.config import studies
from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from nnbench.reporting.claims.expression import evaluate, names
from nnbench.reporting.claims.text import StudyAnswers, claims_markdown, counts, verdict
from nnbench.reporting.claims.verdicts import (
    Answer,
    answer,
    by_seed,
    cases_of_claims,
    read_claims,
    read_figures,
    shown,
)
from support.commands import Nnbench

PUBLISHED = {  # how many claims the five documents make, by the prefix of their ids
    "create_nn_from_numpy": ("cnn", 13),
    "forgenn_vs_pytorch": ("fnn", 13),
    "numpy_vs_pytorch_analysis": ("nva", 4),
    "numpy_pytorch_tensorflow": ("npt", 8),
    "minitorch_vs_pytorch": ("mt", 5),
}
WITH_OTHERS = {"fnn-9": "fnn-4", "npt-3": None}  # told by another claim, not there
CLAIMS = [
    pytest.param(claim, name, id=claim.id or f"{name}: {claim.statement}")
    for name in studies.studies()
    for read in (read_claims, read_figures)
    for claim in read(studies.read_study(name))
]


def claim(**values: object):
    known = {"id": "x-1", "statement": "it does", "measure": {"published": "a.time / b.time"}}
    return read_claims({"cases": ["a", "b"], "claims": [known | values]})[0]


def test_every_study_has_all_claims_of_its_document() -> None:
    assert studies.studies().keys() == PUBLISHED.keys()
    for name, (prefix, count) in PUBLISHED.items():
        ids = [c.id for c in read_claims(studies.read_study(name))]
        assert len(set(ids)) == len(ids)
        for number in range(1, count + 1):
            wanted = f"{prefix}-{number}"
            wanted = WITH_OTHERS.get(wanted, wanted)
            assert wanted is None or any(i.rstrip("abcd") == wanted for i in ids), wanted


@pytest.mark.parametrize(("each", "study"), CLAIMS)
def test_a_claim_is_about_cases_that_exist(each, study: str) -> None:
    values = studies.read_study(study)
    known = values.get("measured") or list(values["cases"])
    assert (each.untestable is None) == bool(each.measure)
    for way, text in each.measure.items():
        assert way in ("published", "matched")
        assert names(text)
        assert set(names(text)) <= set(known)
        figures = dict.fromkeys(
            ("accuracy", "train_accuracy", "gap", "time", "training_time", "startup", "memory",
             "parameters", "updates", "epochs", "matmul", "conv2d", "relu", "backward"), 2.0
        )  # fmt: skip
        value = evaluate(text, dict.fromkeys(known, figures), "claim")
        assert math.isfinite(float(value))
        assert each.low < math.inf
        assert each.high > -math.inf
        assert ((each.low, each.high) == (-math.inf, math.inf)) == (each.id is None)


@pytest.mark.parametrize(
    ("claimed", "values", "word"),
    [
        ({"claimed": 2.0, "within": 0.2}, [2.1, 2.0, 1.9], "reproduced"),
        ({"claimed": 2.0, "within": 0.2}, [3.1, 3.0, 2.9], "not reproduced"),
        ({"claimed": 2.0, "within": 0.2}, [1.5, 2.5, 3.5], "undecided"),
        ({"claimed": [1, 3]}, [2.0], "reproduced"),
        ({"claimed": "> 1"}, [0.9], "not reproduced"),
        ({"claimed": "> 1"}, [1.0], "not reproduced"),
        ({"claimed": "< 1"}, [1.0], "not reproduced"),
        ({"claimed": "< 1"}, [0.9, 0.91, 0.92], "reproduced"),
    ],
)
def test_the_verdict_follows_from_the_figures(
    claimed: dict[str, object], values: list[float], word: str
) -> None:
    figures = {i: {"a": {"time": v}, "b": {"time": 1.0}} for i, v in enumerate(values)}
    found = answer(claim(**claimed, because="of this"), figures)
    assert found.measured["published"].word == word
    assert found.measured["published"].seeds == len(values)
    expected = f"{word}; differs because of this" if word == "not reproduced" else word
    assert verdict(found) == expected


def test_both_ways_are_told_where_they_differ() -> None:
    measure = {"published": "a.time", "matched": "b.time"}
    both = claim(measure=measure, claimed=1.0, within=0.1, because="c")
    figures = {0: {"a": {"time": 5.0}, "b": {"time": 1.0}}}
    found = answer(both, figures)
    assert verdict(found) == ("as published not reproduced, matched reproduced; differs because c")
    assert shown(found, "published") == "5"
    assert verdict(answer(both, {0: {"a": {"time": 5.0}}})) == "not run"
    untestable = claim(measure={}, untestable="it needs a GPU")
    assert verdict(answer(untestable, figures)) == "cannot be tested here: it needs a GPU"
    study = StudyAnswers("s", "S", "?", (found, answer(untestable, {})), seeds=(0,))
    text = claims_markdown([study], [("processor", "x")], "nnbench claims s")
    assert "| x-1: it does | 1.0 | 5 | 1 | as published not reproduced" in text
    assert counts([study]).startswith("2 claims: 1 reproduced one way, not the other, 1 cannot")


def test_intervals_are_by_seed_and_ratios_geometric() -> None:
    figures = {s: {"a": {"time": v}, "b": {"time": 1.0}} for s, v in enumerate((1.0, 4.0))}
    found: Answer = answer(claim(unit="times", claimed=[0, 9]), figures)
    value, low, high = found.measured["published"].value
    assert value == pytest.approx(2.0)
    assert low * high == pytest.approx(value**2)


@pytest.mark.parametrize("values", [{"claimed": "about 3"}, {"claimed": 3, "colour": "red"}])
def test_a_malformed_claim_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="claim"):
        claim(**values)


def test_the_command(nnbench: Nnbench, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    name = "numpy_vs_pytorch_analysis"
    shorter = ["data=mnist_5k", "data.train_samples=128", "epochs=1", "tracking=local"]
    done = nnbench("claims", name, *shorter, "--seeds", "1", "--out", "claims.md")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "claims.md").read_text()
    assert "<!-- written by `nnbench claims numpy_vs_pytorch_analysis data=mnist_5k" in page
    assert "with data=mnist_5k" in page
    runs = read_runs(tmp_path / "results")
    claims = read_claims(studies.read_study(name))
    assert len(runs) - len(cases_of_claims(claims)) == 0
    figures = by_seed(name, runs)
    assert shown(answer(claims[0], figures), "published") in page
    again = nnbench("claims", name, *shorter, "--seeds", "1", "--recorded")
    assert again.returncode == 0
    assert len(read_runs(tmp_path / "results")) == len(runs)
    assert "9 claims: " in again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nunpy"], "Unknown study 'nunpy'. Available: create_nn_from_numpy"),
        (["--seeds", "0"], "Received --seeds 0; must be at least 1."),
        (["--out", "x.txt"], "Received --out x.txt; its name must end in .md."),
        (["minitorch_vs_pytorch", "epoch=1"], "epoch"),
    ],
)
def test_bad_input(nnbench: Nnbench, words: list[str], said: str) -> None:
    done = nnbench("claims", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
