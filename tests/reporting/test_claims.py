"""Claims: complete data, verdicts that follow from figures, a document that is generated."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from nnbench.backends.operations import FACTS, MEANINGS
from nnbench.config import studies
from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from nnbench.reporting.claims.claim import read_claims, read_figures
from nnbench.reporting.claims.expression import evaluate, figures_in, names
from nnbench.reporting.claims.figures import FIGURES
from nnbench.reporting.claims.text import (
    StudyAnswers,
    answer_study,
    claims_markdown,
    counts,
    verdict,
)
from nnbench.reporting.claims.verdicts import Answer, answer, shown
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


def claim(stand_ins: object = None, **values: object):
    known = {"id": "x-1", "statement": "it does", "measure": {"published": "a.time / b.time"}}
    study = {"cases": ["a", "b"], "claims": [known | values], "stand_ins": stand_ins}
    return read_claims(study)[0]


def of_times(values: list[float]) -> dict[int, dict[str, dict[str, float]]]:
    return {i: {"a": {"time": v}, "b": {"time": 1.0}} for i, v in enumerate(values)}


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
    known = [*(values.get("measured") or values["cases"]), *values["facts"]]
    assert (each.untestable is None) == bool(each.measure)
    for way, text in each.measure.items():
        assert way in ("published", "matched")
        assert set(names(text)) <= set(known)
        figures = {
            case: dict.fromkeys((*FIGURES, *MEANINGS, *FACTS), 2.0 + i / 7)
            for i, case in enumerate(known)
        }
        value = evaluate(text, figures, "claim")
        assert math.isfinite(float(value))
        assert each.low < math.inf
        assert each.high > -math.inf
        assert ((each.low, each.high) == (-math.inf, math.inf)) == (each.id is None)


@pytest.mark.parametrize(
    ("claimed", "values", "word"),
    [
        ({"claimed": 2.0, "within": 0.2}, [2.05, 2.0, 1.95], "reproduced"),
        ({"claimed": 2.0, "within": 0.2}, [3.1, 3.0, 2.9], "not reproduced"),
        ({"claimed": 2.0, "within": 0.2}, [1.5, 2.5, 3.5], "undecided"),
        ({"claimed": [1, 3]}, [2.0], "undecided"),  # a single seed has no interval
        ({"claimed": "> 1"}, [0.9], "undecided"),
        ({"claimed": "> 1"}, [1.0, 1.0, 1.0], "not reproduced"),
        ({"claimed": "< 1"}, [1.0, 1.0], "not reproduced"),
        ({"claimed": "< 1"}, [0.9, 0.91, 0.92], "reproduced"),
        # A mean within the bounds whose interval leaves them, above, below or on both sides.
        ({"claimed": [8.3, 12.3]}, [8.6, 11.9, 14.4], "undecided"),
        ({"claimed": [30, 60]}, [25.0, 38.0, 46.0], "undecided"),
        ({"claimed": "> 1"}, [0.1, 8.0, 9.7], "undecided"),
        ({"claimed": "< 1"}, [0.2, 0.3, 1.9], "undecided"),
        ({"claimed": [-1, 1]}, [-5.0, 0.0, 5.0], "undecided"),
        # In logarithms, as ratios are; the plain interval of the second reaches below 1.
        ({"claimed": "> 1", "unit": "times"}, [1.1, 1.5, 2.9], "undecided"),
        ({"claimed": "> 1", "unit": "times"}, [1.4, 2.2, 3.8, 6.0], "reproduced"),
        ({"claimed": "> 1"}, [1.4, 2.2, 3.8, 6.0], "undecided"),
        ({"claimed": "< 0.9", "unit": "times"}, [1.4, 2.2, 3.8, 6.0], "not reproduced"),
    ],
)
def test_the_verdict_follows_from_the_whole_interval(
    claimed: dict[str, object], values: list[float], word: str
) -> None:
    found = answer(claim(**claimed, because="of this"), of_times(values))
    measured = found.measured["published"]
    assert measured.word == word
    assert measured.seeds == len(values)
    inside = found.claim.low <= measured.value.low and measured.value.high <= found.claim.high
    assert (word == "reproduced") == inside
    told = f"{word}; said to be, and not measured: of this" if word == "not reproduced" else word
    assert verdict(found) == told


def test_both_verdicts_follow_one_rule() -> None:
    """What is claimed and its negation get opposite verdicts, of whatever was measured."""
    opposite = {"reproduced": "not reproduced", "not reproduced": "reproduced"}
    rng = random.Random(1)
    for _ in range(300):
        bound, spread = rng.uniform(-2, 2), rng.uniform(0, 1)
        values = [rng.gauss(0, spread) for _ in range(rng.choice((2, 3, 5)))]
        words = [
            answer(claim(claimed=f"{sign} {bound:.6f}"), of_times(values))
            .measured["published"]
            .word
            for sign in "<>"
        ]
        assert words[1] == opposite.get(words[0], "undecided")


def test_what_seeds_cannot_change_needs_one() -> None:
    exact = claim(measure={"published": "a.parameters - b.updates"}, claimed=90)
    one = {0: {"a": {"parameters": 100.0}, "b": {"updates": 10.0}}}
    assert verdict(answer(exact, one)) == "reproduced"
    assert verdict(answer(claim(measure={"published": "28 + 118 - 104"}, claimed="< 0"), {})) == (
        "not reproduced"
    )
    mixed = claim(measure={"published": "a.parameters - b.epochs"}, claimed=90)
    assert verdict(answer(mixed, {0: {"a": {"parameters": 100.0}, "b": {"epochs": 10.0}}})) == (
        "undecided"
    )


def test_a_stand_in_gives_no_verdict() -> None:
    measure = {"published": "a.time", "matched": "b.time"}
    both = claim({"a": "its own loop"}, measure=measure, claimed=1.0, within=0.1)
    figures = {i: {"a": {"time": 5.0 + i / 9}, "b": {"time": 1.0}} for i in range(3)}
    found = answer(both, figures)
    assert shown(found, "published") == "5.111 (4.835 to 5.387) (stand-in)"
    assert verdict(found) == (
        "as published stand-in, matched reproduced; as published it is a stand-in: its own loop"
    )
    alone = claim({"a": "its own loop"}, measure={"published": "a.time"}, claimed=5.0, within=1.0)
    assert answer(alone, figures).outcome == "no verdict: a stand-in"


def test_a_cause_is_a_claim_that_is_measured() -> None:
    fact = {"id": "x-1", "statement": "it is slow", "because": "x-2", "claimed": "< 1",
            "measure": {"published": "a.time / b.time"}, "note": "on a CPU"}  # fmt: skip
    cause = {"id": "x-2", "statement": "(cause) a is large", "claimed": "> 3",
             "measure": {"published": "a.time"}}  # fmt: skip
    study = {"title": "T", "question": "?", "cases": ["a", "b"], "claims": [fact, cause]}
    said = [verdict(a) for a in answer_study("s", study, of_times([4.0, 4.1, 4.2])).answers]
    assert said == ["not reproduced; the cause: x-2, reproduced; on a CPU", "reproduced"]
    slow, _ = answer_study("s", study, of_times([2.0, 2.1, 2.2])).answers
    assert verdict(slow) == "not reproduced; the cause: x-2, not reproduced; on a CPU"
    with pytest.raises(ConfigError, match=r"Unknown claim 'x-3' in because"):
        read_claims(study | {"claims": [fact | {"because": "x-3"}, cause]})
    with pytest.raises(ConfigError, match=r"Received id: x-2 twice"):
        read_claims(study | {"claims": [fact, cause, cause]})


@pytest.mark.parametrize(("each", "study"), CLAIMS)
def test_every_reason_in_our_studies_is_measured(each, study: str) -> None:
    assert each.because is None or isinstance(each.because, tuple)


def test_published_times_are_of_loops_that_people_write() -> None:
    """nnbench's own fused NumPy is nobody's published code: its times are matched or stand-ins."""
    for name in studies.studies():
        study = studies.read_study(name)
        for each in [*read_claims(study), *read_figures(study)]:
            if "published" in each.stand_ins:
                continue
            for case, figure in figures_in(each.measure.get("published", "0")):
                backend = study["cases"].get(case, {}).get("backend")
                assert backend != "numpy" or not figure.endswith(("time", "evaluation")), each.id


def test_a_claim_whose_case_cannot_run_keeps_its_row() -> None:
    asked = claim(claimed="> 1")
    found = answer(asked, {}, {"a": "Received backend=a; the package a is not installed."})
    assert verdict(found) == "not run; Received backend=a; the package a is not installed."
    assert shown(found, "published") == "not run"
    assert verdict(answer(asked, {0: {"b": {"time": 1.0}}})) == "not run; no finished run of a"
    zero = answer(asked, {0: {"a": {"time": 1.0}, "b": {"time": 0.0}}})
    assert verdict(zero) == "not run; 'a.time / b.time' divides by zero"
    lacks = {0: {"a": {"accuracy": 1.0}, "b": {"time": 1.0}}}
    assert verdict(answer(asked, lacks)) == "not run; a has no time"


def test_both_ways_are_told_where_they_differ() -> None:
    measure = {"published": "a.time", "matched": "b.time"}
    both = claim(measure=measure, claimed=1.0, within=0.1, because="c")
    figures = {i: {"a": {"time": 5.0}, "b": {"time": 1.0}} for i in range(2)}
    found = answer(both, figures)
    assert verdict(found) == (
        "as published not reproduced, matched reproduced; said to be, and not measured: c"
    )
    assert shown(found, "published") == "5"
    assert verdict(answer(both, {0: {"a": {"time": 5.0}}})) == (
        "as published undecided, matched not run; no finished run of b"
    )
    untestable = claim(measure={}, untestable="it needs a GPU")
    assert verdict(answer(untestable, figures)) == "cannot be tested here; it needs a GPU"
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


MINE = """\
title: Mine
question: Is it so?
common: {data: mnist_5k, data.train_samples: 64, data.test_samples: 100, epochs: 1, batch_size: 32}
cases:
  fused: {backend: numpy}
  written: {backend: numpy_textbook}
  absent: {backend: torch}
  impossible: {backend: numpy_textbook, arch: small_cnn, loss: cross_entropy}
stand_ins: {fused: "nnbench's loop, not theirs"}
claims:
  - {id: m-1, statement: written by hand it is as good, unit: points, claimed: [-1, 1],
     measure: {matched: written.accuracy - fused.accuracy}}
  - {id: m-2, statement: it is fast, unit: times, claimed: "> 0",
     measure: {published: written.time / fused.time}}
  - {id: m-3, statement: 2 updates, claimed: 2, measure: {published: written.updates}}
  - {id: m-4, statement: it is absurd, claimed: "> 1", measure: {matched: written.accuracy},
     because: m-3}
"""
FAILING = """\
  - {id: m-5, statement: it has convolutions, claimed: "> 1", measure: {matched: impossible.loss}}
"""


def test_the_command_and_a_study_of_the_working_directory(nnbench: Nnbench, tmp_path: Path) -> None:
    path = tmp_path / "experiments" / "mine" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(MINE)
    done = nnbench("claims", "mine", "tracking=local", "--seeds", "2", "--out", "claims.md")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "claims.md").read_text()
    assert "<!-- written by `nnbench claims mine tracking=local --seeds 2`" in page
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 4  # of no case that no claim is about
    by_id = {line.split(":")[0]: line for line in page.splitlines() if line.startswith("| m-")}
    assert by_id["| m-1"].endswith("| reproduced |")
    assert "(stand-in) | - | no verdict: a stand-in; as published it is" in by_id["| m-2"]
    assert by_id["| m-3"].endswith("| 2 | 2 | - | reproduced |")
    assert by_id["| m-4"].endswith("| not reproduced; the cause: m-3, reproduced |")
    again = nnbench("claims", "mine", "epochs=2", "--seeds", "2", "--recorded")
    assert again.returncode == 0
    assert len(read_runs(tmp_path / "results")) == len(runs)
    assert "with epochs=2: not as published" in " ".join(again.stdout.split())
    path.write_text(MINE + FAILING)
    failed = nnbench("claims", "mine", "tracking=local", "--seeds", "1", "--out", "claims.md")
    assert failed.returncode == 1
    row = next(x for x in (tmp_path / "claims.md").read_text().splitlines() if "m-5" in x)
    assert row.endswith("| not run; backend=numpy_textbook has no layer conv2d; it has dense, "
                        "sigmoid, tanh and relu. |")  # fmt: skip
    path.write_text(MINE.replace('{fused: "', '{fussed: "'))
    bad = nnbench("claims", "mine")
    assert bad.returncode == 2
    assert "study.yaml:9: Unknown case 'fussed'. Available: fused" in bad.stderr


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
