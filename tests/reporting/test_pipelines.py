"""Reports for pipelines: ends of intervals as conditions, JSON, JUnit XML, a summary."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from scipy import stats

from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.reporting.asking import Report
from nnbench.reporting.comparison.conditions import all_intervals, judge
from nnbench.reporting.comparison.content import build
from nnbench.reporting.statistics.scores import Scores, half_of_scores
from nnbench.reporting.statistics.times import spread_of_times
from support import ROOT
from support.commands import Nnbench
from support.records import epoch, make_run

PAGE = ROOT / "docs" / "pipelines.md"
WORKFLOW = ROOT / ".github" / "workflows" / "compare.yml"
HOSTILE = "\x1b[31m<b>&\"']]>\x00\x0b\ud800\ufffe\U0001ffff| `x` \n#\u202e " + "n" * 200


def runs(
    folder: Path, backend: str, seeds: int = 3, seconds: float = 1.0, **changed: Any
) -> list[RunResult]:
    """Return runs on disk, one for each seed, whose epochs take about `seconds`."""
    found = []
    for seed in range(seeds):
        base = make_run(folder / "results" / "runs" / f"{backend}{seed}{len(changed)}")
        config = base.config | {"seed": seed, "case": None} | changed
        config["backend"] = config["backend"] | {"name": backend}
        each = dataclasses.replace(
            base,
            config=config,
            name=f"{backend} s{seed}",
            created=f"2026-01-0{seed + 1}T00:00:00+00:00",
            epochs=tuple(
                epoch(
                    i,
                    train_seconds=seconds * (1 + 0.01 * ((seed * 7 + i) % 5)),
                    test_accuracy=0.8 + 0.01 * seed,
                    generalization_gap=0.1 - 0.01 * seed,
                    test_loss=0.5 + 0.1 * seed,
                )
                for i in range(3)
            ),
            peak_memory_bytes=1000 + seed,
        )
        each.write()
        found.append(each)
    return found


def t_interval(values: list[float]) -> tuple[float, float]:
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return float(low), float(high)


def test_intervals_are_those_of_the_textbook(tmp_path: Path) -> None:
    report = build([*runs(tmp_path, "numpy"), *runs(tmp_path, "torch", seconds=2.0)])
    found = all_intervals(report)
    numpy = found["numpy"]
    assert numpy["loss"][1:] == pytest.approx(t_interval([0.5, 0.6, 0.7]))
    seconds = [run.epoch_seconds or 0.0 for run in report.tables[0].table.groups[0].runs]
    logs = np.log(seconds)
    half = math.sqrt(1.125) * stats.sem(logs) * stats.t.ppf(0.975, 2)
    assert numpy["time"].low == pytest.approx(math.exp(logs.mean() - half))
    assert numpy["time"].high == pytest.approx(math.exp(logs.mean() + half))
    of_seeds = stats.sem([0.8, 0.81, 0.82]) * stats.t.ppf(0.975, 2)
    drawn = np.mean([0.8 * 0.2, 0.81 * 0.19, 0.82 * 0.18]) / 1000 + 1e-6
    half = math.hypot(of_seeds, math.sqrt(drawn) * stats.t.ppf(0.975, 999))
    assert numpy["accuracy"][1:] == pytest.approx((0.81 - half, 0.81 + half))
    assert numpy["gap"][1:] == pytest.approx((0.09 - half, 0.09 + half))
    (against,) = report.tables[0].against
    assert against.time is not None
    assert found["torch against numpy"]["time_ratio"] == against.time.ratio
    assert against.quality is not None
    assert found["torch against numpy"]["accuracy_difference"] == (
        against.quality.contrast.difference
    )
    assert math.isinf(numpy["parameters"].low)


def test_samples_are_in_the_intervals_of_a_regression(nnbench: Nnbench, tmp_path: Path) -> None:
    """As its loss by sample has it: seeds alone, which agree here, would give an interval of 0."""
    sweep = ["-m", "backend=numpy", "seed=0,1,2", "data=diabetes", "data.split_seed=0"]
    sweep += ["task=regression", "arch=linear_regression", "loss=mse", "epochs=2", "batch_size=32"]
    done = nnbench(*sweep, "parity=false", "tracking=local")
    assert done.returncode == 0, done.stderr
    report = Report(build(read_runs(tmp_path / "results")))
    (figures,) = all_intervals(report.content).values()
    losses = [run.figure("test_loss") or 0.0 for run in report.content.runs]
    assert figures["loss"].value == pytest.approx(np.mean(losses))
    by_seeds = t_interval(losses)
    assert figures["loss"].high - figures["loss"].low > 5 * (by_seeds[1] - by_seeds[0])
    width = figures["gap"].high - figures["gap"].low
    assert width == pytest.approx(figures["loss"].high - figures["loss"].low, rel=0.1)
    assert "| group | seeds | test loss | epoch |" in report.written("summary")


def test_an_interval_has_its_figure_in_it_and_stays_among_fractions(tmp_path: Path) -> None:
    """A median may lie outside of the interval of the mean; an accuracy is at most 1."""
    many = runs(tmp_path, "numpy", 3)
    skewed = [
        dataclasses.replace(
            run, epochs=tuple(epoch(i, train_seconds=s, test_accuracy=a) for i in range(3))
        )
        for run, s, a in zip(many, (1.0, 1.0, 1.0001), (0.8, 1.0, 1.0), strict=True)
    ]
    numpy = all_intervals(build(skewed))["numpy"]
    assert numpy["time"].low <= numpy["time"].value <= numpy["time"].high
    assert numpy["accuracy"].high == 1.0


@pytest.mark.parametrize("samples", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_intervals_of_one_group_cover_the_truth(samples: int) -> None:
    """Nets whose skill varies by seed, on samples that are hard for all: 95 % are to cover."""
    rng, rounds = np.random.default_rng(7), 300 if samples == 300 else 3000
    covered = covered_times = 0
    # The truth, over all seeds and samples: E[sigmoid(1.5 + x)] with x of standard deviation 1.58.
    truth = float(np.mean(1 / (1 + np.exp(-(1.5 + rng.normal(0, math.hypot(1.5, 0.5), 10**6))))))
    for _ in range(rounds):
        hard = rng.normal(0, 1.5, samples)
        skill = rng.normal(1.5, 0.5, (3, 1))
        right = rng.random((3, samples)) < 1 / (1 + np.exp(-(skill + hard)))
        rows = [Scores(row.astype(float), np.arange(samples)) for row in right]
        covered += abs(right.mean() - truth) <= half_of_scores(rows)
        ratio = spread_of_times(np.exp(rng.normal(0, 0.05, 3)).tolist())
        covered_times += ratio.low <= 1 <= ratio.high
    assert covered / rounds > 0.94 - 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert 0.94 - 3 * math.sqrt(0.05 * 0.95 / rounds) < covered_times / rounds < 0.99


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("torch.time.low > 1.5 * numpy.time.high", True),
        ("torch.time.low > 1.99 * numpy.time", False),
        ("torch.time > 1.99 * numpy.time", True),
        ("numpy.accuracy.low < 80% and numpy.accuracy >= 80%", True),
        ("'torch against numpy'.time_ratio.low > 1.5", True),
        ("'torch against numpy'.target_ratio.low > 1.5", True),
        ("'torch against numpy'.accuracy_difference.high < -1%", False),
        ("numpy.gap.high - numpy.gap.low > 0", True),
        ("numpy.memory.low < 1001 < numpy.memory.high", True),
        ("numpy.seeds < 3 or numpy.diverged > 0", False),
    ],
)
def test_ends_of_intervals_are_figures(tmp_path: Path, condition: str, met: bool) -> None:
    report = build([*runs(tmp_path, "numpy"), *runs(tmp_path, "torch", seconds=2.0)])
    (found,) = judge([condition], report)
    assert found.met is met
    assert all(f"{name} is " in str(found) for name in found.figures)
    assert re.search(r"\w is \d", str(found))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            "torch.time.low > 1",
            "torch.time has no interval: that takes 3 runs with different seeds",
        ),
        ("numpy.time.low > torch.accuracy.high", "torch.accuracy has no interval"),
        ("numpy.parameters.low > 1", "numpy.parameters is a count and has no interval"),
        ("numpy.time.lo > 1", "an interval has low and high"),
        ("numpy.time.low.high > 1", "may not have numpy.time.low.high"),
        ("numpy.tme.low > 1", "not tme; did you mean 'time'?"),
        ("'torch against numpy'.time_ratio.low > 1", "has no interval"),
        ("'numpy against torch'.time_ratio > 1", "there is no group numpy against torch"),
    ],
)
def test_what_has_no_interval_is_said_before_anything_is_drawn(
    nnbench: Nnbench, tmp_path: Path, condition: str, said: str
) -> None:
    runs(tmp_path, "numpy")
    runs(tmp_path, "torch", 2)
    done = nnbench("report", "--fail-if", condition, "--json", "verdicts.json")
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results" / "report").exists()
    assert not (tmp_path / "verdicts.json").exists()


def test_runs_that_all_diverged_meet_no_condition_unseen(tmp_path: Path) -> None:
    gone = [dataclasses.replace(run, status="diverged") for run in runs(tmp_path, "torch")]
    report = build([*runs(tmp_path, "numpy"), *gone])
    assert judge(["torch.diverged == 3"], report)[0].met
    for figure in ("time", "accuracy", "accuracy.low"):
        with pytest.raises(ConfigError, match="no finished run that may be ranked"):
            judge([f"torch.{figure} > 1"], report)


# What a reader of JUnit XML takes, by Jenkins' schema (xunit-plugin, jenkins-junit.xsd):
# element, its attributes (those that must be there first), its children in order.
JUNIT: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": (set(), {"name", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": ({"name", "tests"}, {"failures", "errors", "skipped"}, ["testcase"]),
    "testcase": ({"name"}, {"classname"}, ["skipped", "error", "failure", "system-out"]),
    "failure": (set(), {"type", "message"}, []),
    "skipped": (set(), {"message"}, []),
    "system-out": (set(), set(), []),
}


def faults(text: str) -> list[str]:
    """Return what is wrong with JUnit XML: structure, counts, names, lines."""
    root = ET.fromstring(text)  # which refuses characters that XML may not have
    found = [f"the root is {root.tag}"] * (root.tag != "testsuites")
    for node in root.iter():
        needed, optional, children = JUNIT.get(node.tag, (set(), set(), []))
        names = [child.tag for child in node]
        found += [f"{node.tag} is not known"] * (node.tag not in JUNIT)
        found += [f"{node.tag} lacks {name}" for name in needed - set(node.attrib)]
        found += [f"{node.tag} has {name}" for name in set(node.attrib) - needed - optional]
        found += [f"{node.tag} holds {name}" for name in set(names) - set(children)]
        ordered = sorted(names, key=lambda name: children.index(name) if name in children else 0)
        found += [f"{node.tag}: order {names}"] * (names != ordered)
        lines = [*node.attrib.values(), (node.text or "").strip()]
        found += [f"{node.tag}: lines" for line in lines if "\n" in line]
    for suite in (root, *root.iter("testsuite")):
        counted = {"tests": "testcase", "failures": "failure", "skipped": "skipped"}
        for name, tag in counted.items():
            if name in suite.attrib and int(suite.attrib[name]) != len(list(suite.iter(tag))):
                found.append(f"{name} of {suite.get('name')}")
    cases = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    return found + [f"twice: {case}" for case in set(cases) if cases.count(case) > 1]


def test_the_check_of_junit_sees_what_is_wrong() -> None:
    good = (
        '<testsuites><testsuite name="a" tests="1" failures="1"><testcase name="b">'
        '<failure message="c">c</failure></testcase></testsuite></testsuites>'
    )
    assert faults(good) == []
    for old, new in (
        ('tests="1"', 'tests="2"'),
        ('failures="1"', 'failures="0"'),
        ("<failure", "<system-out/><failure"),
        ('name="b"', ""),
        ('message="c"', 'messages="c"'),
        (">c<", ">c\nd<"),
        ("</testsuite>", '<testcase name="b"/></testsuite>'),
    ):
        assert faults(good.replace(old, new)), new


def hostile(folder: Path) -> Report:
    """Return a report on runs with names that break formats, one diverged and one proved wrong."""
    good, named = runs(folder, "numpy"), runs(folder, "torch", seconds=2.0)
    changed = []
    for run in named:
        config = dict(run.config)
        config["backend"] = config["backend"] | {"name": HOSTILE}
        changed.append(dataclasses.replace(run, name=HOSTILE, config=config))
    changed[0] = dataclasses.replace(changed[0], status="diverged")
    wrong = {"outcome": "diverges", "word": "diverges", "text": f"parity diverges: {HOSTILE}"}
    changed[1] = dataclasses.replace(changed[1], parity=wrong)
    return Report(build([*good, *changed]), HOSTILE)


def test_junit_is_what_readers_take(tmp_path: Path) -> None:
    report = hostile(tmp_path)
    conditions = judge(["numpy.time > 0", "numpy.seeds < 3"], report.content)
    text = report.written("junit", conditions)
    assert faults(text) == []
    root = ET.fromstring(text.encode())
    failed = {c.get("name"): c.find("failure") for c in root.iter("testcase")}
    assert failed["numpy.seeds < 3"] is None
    assert failed["numpy.time > 0"] is not None
    reasons = [str(found.get("message")) for found in root.iter("failure")]
    assert len(reasons) == 3
    assert any(
        reason.startswith("condition met: numpy.time > 0 (numpy.time is ") for reason in reasons
    )
    assert any("parity diverges" in reason and "\\x1b" in reason for reason in reasons)
    assert any("loss is not finite" in reason for reason in reasons)
    skipped = [
        case.get("name") for case in root.iter("testcase") if case.find("skipped") is not None
    ]
    assert any("time" in str(name) for name in skipped)  # one run is too few for a verdict


def test_json_is_complete_and_strict(tmp_path: Path) -> None:
    report = hostile(tmp_path)
    conditions = judge(["numpy.time.low > 0"], report.content)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads(report.written("json", conditions), parse_constant=refuse)
    assert (found["schema"], found["schema_version"]) == ("nnbench.report", 1)
    assert found["conditions"][0]["met"] is True
    low = found["groups"][0]["figures"]["time"]["low"]
    assert found["conditions"][0]["figures"] == {"numpy.time.low": low}
    (verdict,) = found["verdicts"]
    assert verdict["time"]["verdict"] == "too few"
    assert verdict["time"]["low"] is None
    by_name = {run["certificate"]: run for group in found["groups"] for run in group["runs"]}
    assert by_name["diverges"]["ranked"] is False
    assert HOSTILE in by_name["diverges"]["reason"]
    described = PAGE.read_text("utf-8").split("## The JSON")[1].split("\n## ")[0]
    for key in keys(found, ("settings", "environment", "figures")):
        assert f"`{key}`" in described, key


def keys(data: Any, free: tuple[str, ...]) -> set[str]:
    """Return the keys of mappings in `data`, not those of what is called as in `free`."""
    if isinstance(data, list):
        return set().union(*(keys(each, free) for each in data))
    if not isinstance(data, dict):
        return set()
    inner = (keys(value, free) for key, value in data.items() if key not in free)
    return set(data).union(*inner)


def test_a_summary_is_short_and_whole(tmp_path: Path) -> None:
    many = [
        run
        for size in range(20)
        for backend in ("numpy", "torch")
        for run in runs(tmp_path / str(size), backend, batch_size=size + 1)
    ]
    for report in (Report(build(many)), hostile(tmp_path / "hostile")):
        conditions = judge(["1 > 2", *["2 > 1"] * 30], report.content)
        text = report.written("summary", conditions)
        lines = text.splitlines()
        assert len(lines) < 60
        assert text.endswith("\n")
        assert lines[0].startswith("## ")
        assert lines[0].endswith(": failed, 30 of 31 conditions met")
        assert "- and 23 more conditions" in lines
        assert lines[4].startswith("- **failed**, condition met: 2 \\> 1 ")
        assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", text)
        assert "<b>" not in text.replace("\\<b\\>", "")
        header = next(i for i, line in enumerate(lines) if line.startswith("| group"))
        rows = [line for line in lines[header:] if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "32 more groups" in Report(build(many)).written("summary")


def test_the_command_writes_what_is_asked_for(nnbench: Nnbench, tmp_path: Path) -> None:
    runs(tmp_path, "numpy")
    runs(tmp_path, "torch", seconds=2.0)
    (tmp_path / "there").mkdir()
    condition = "torch.time.low > 1.1 * numpy.time"
    asked = ("--fail-if", condition, "--fail-if", "numpy.seeds < 3", "--json", "-")
    done = nnbench("report", *asked, "--junit", "there/junit.xml", "--summary", "/dev/null")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["conditions"][0]["condition"] == condition
    assert f"condition met: {condition} (torch.time.low is " in done.stderr
    assert "seeds < 3" not in done.stderr
    assert faults((tmp_path / "there" / "junit.xml").read_text("utf-8")) == []
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "results" / "report" / "report.html").is_file()
    for words, said in (
        (["--json", "-", "--junit", "-"], "Received --json - --junit -; print one"),
        (["--json", "gone/a.json"], "there is no folder"),
        (["--summary", "there"], "it is a folder"),
        (["--junit", ""], "it has no name"),
    ):
        wrong = nnbench("report", *words, "--out", "elsewhere")
        assert wrong.returncode == 2
        assert said in wrong.stderr
        assert wrong.stderr.count("\n") == 1
        assert not (tmp_path / "elsewhere").exists()


def steps() -> list[str]:
    """Return the commands of the documented workflow that nnbench runs."""
    (job,) = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"].values()
    return [step["run"] for step in job["steps"] if step.get("run", "").startswith("nnbench ")]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step of a workflow as GitHub does, in `folder`."""
    (folder / "nnbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnbench "$@"\n')
    (folder / "nnbench").chmod(0o755)
    found = {"PATH": f"{folder}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": "summary.md"}
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_workflow_is_the_documented_one() -> None:
    (shown,) = re.findall(r"```yaml\n(- run: nnbench.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (job,) = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"].values()
    assert yaml.safe_load(shown) == job["steps"][-3:]
    assert len(steps()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 4])
def test_the_workflow_fails_by_its_conditions(tmp_path: Path, seeds: int) -> None:
    runs(tmp_path, "numpy", 5)
    runs(tmp_path, "torch", seeds)
    (tmp_path / "summary.md").write_text("before\n")
    done = shell(steps()[1], tmp_path)
    assert done.returncode == (seeds < 5), done.stderr
    said = (tmp_path / "summary.md").read_text("utf-8")
    assert said.startswith(f"before\n## nnbench report: {'passed' if seeds == 5 else 'failed'}, ")
    assert faults((tmp_path / "verdicts.xml").read_text("utf-8")) == []
    assert json.loads((tmp_path / "verdicts.json").read_text("utf-8"))["verdicts"]


@pytest.mark.slow  # PyTorch
def test_the_workflow_runs(tmp_path: Path) -> None:
    for step in steps():
        done = shell(step.replace("tracking=", "data.train_samples=64 tracking="), tmp_path)
        assert done.returncode == 0, done.stderr
    assert "Certificates: 10 of 10 runs proved" in (tmp_path / "summary.md").read_text("utf-8")
