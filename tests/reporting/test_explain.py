"""The bridge between two configurations, and what `nnbench explain` makes of it."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.config.composition import compose
from nnbench.errors import ConfigError
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.records.weights import PREDICTIONS_NAME, save_predictions
from nnbench.reporting.explain import bridge as bridges
from nnbench.reporting.explain.asking import _seeds
from nnbench.reporting.explain.bridge import bridge
from nnbench.reporting.explain.change import changes
from nnbench.reporting.explain.explanation import average, gap
from nnbench.reporting.explain.noise import with_noise
from nnbench.sweeps.plan import check
from support.commands import TINY, Nnbench
from support.records import make_run

SMALL = ["data.train_samples=500", "epochs=12", "data.test_samples=200"]


def values(*overrides: str) -> dict[str, Any]:
    return copy.deepcopy(compose(list(overrides)).values)


def way(first: dict[str, Any], last: dict[str, Any]) -> bridges.Bridge:
    return bridge(first, last, bridges.is_possible(check))


def test_a_difference_is_one_change() -> None:
    found = changes(values(), values("loss=mse", "batch_size=32", "init.scale=0.1", "name=x"))
    assert [str(change) for change in found] == [
        "init.scale: 0.01 to 0.1",
        "loss: bce (over_outputs=sum) to mse (over_outputs=mean)",
        "batch_size: 1 to 32",
    ]


def test_the_bridge_leads_from_one_end_to_the_other_in_both_orders() -> None:
    first = values()
    last = values("backend=torch", "loss=mse", "batch_size=8", "shuffle=true")
    found = way(first, last)
    assert [step.name for step in found.changes] == ["backend", "loss", "batch_size", "shuffle"]
    assert found.opposite == found.changes[::-1]
    for path in (found.forward, found.backward):
        assert (path[0], path[-1]) == (first, last)
        for before, after in pairwise(path):
            assert len(changes(before, after)) == 1


def test_what_needs_another_change_waits_for_it() -> None:
    pytest.importorskip("torch")
    last = values(
        "backend=torch", "semantics=native", "init=native", "input=native", "shuffle=true"
    )
    found = way(values(), last)
    for path in (found.forward, found.backward):
        for each in path:
            check(bridges.cell(each))  # every step can be run
        assert changes(path[-1], last) == []
    assert {step.name for step in found.changes} == {
        "backend", "semantics", "init", "input", "shuffle",
    }  # fmt: skip


def test_what_is_impossible_alone_goes_together() -> None:
    first, last = {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2}
    found = bridge(first, last, lambda v: v["a"] == v["c"])
    assert [step.name for step in found.changes] in (["a + c", "b"], ["b", "a + c"])
    assert found.forward[-1] == last
    assert found.backward[-1] == last


def test_effects_add_up_and_times_multiply() -> None:
    texts = {"x": "1 to 2", "y": "3 to 4"}
    found = gap(
        "test accuracy",
        [("", 0.9), ("x", 0.2), ("y", 0.3)],
        [("", 0.9), ("y", 0.9), ("x", 0.3)],
        texts,
    )
    assert sum(effect.middle for effect in found.effects) == pytest.approx(found.total)
    assert [found.share(effect) for effect in found.effects] == pytest.approx([13 / 12, -1 / 12])
    assert "x (1 to 2) explains 108 % of it: -65.00 points" in " ".join(found.sentences())
    times = gap(
        "time per epoch", [("", 1.0), ("x", 4.0)], [("", 1.0), ("x", 4.0)], texts, ratio=True
    )
    assert times.moved(times.effects[0].middle) == "x 4.00"
    mean = average([times, times, times])
    assert mean.first == pytest.approx(1.0)
    assert mean.effects[0].half == pytest.approx(0.0)
    assert mean.total == pytest.approx(math.log(4.0))


def steps(**effects: float) -> list[tuple[str, float]]:
    """Return a way of times that starts at a second, each change multiplying what there is."""
    found = [("", 1.0)]
    for name, effect in effects.items():
        found.append((name, found[-1][1] * effect))
    return found


def test_effects_that_their_interval_denies_explain_nothing() -> None:
    """Fault T9: "dtype explains 80 %: x 1.56, interval 0.50 to 4.91"."""
    texts = {"backend": "a to b", "dtype": "c to d"}
    seeds = [
        gap("time per epoch", way, way, texts, ratio=True)
        for noise in (0.6, 1.1, 2.5)
        for way in [steps(backend=4.0 + noise / 50, dtype=1.56 * noise)]
    ]
    said = " ".join(average(seeds).sentences())
    assert "backend (a to b)" in said
    assert "Not distinguishable from noise: dtype, x 1.8" in said
    assert "dtype (c to d)" not in said
    assert average(seeds).shown(average(seeds).effects[1]) == "within noise"
    wild = [
        gap("time per epoch", way, way, texts, ratio=True)
        for noise in (0.3, 1.1, 6.0)
        for way in [steps(backend=1.0, dtype=noise)]
    ]
    found = average(wild)
    assert "The gap is not distinguishable from noise." in found.sentences()
    assert "explains" not in " ".join(found.sentences())


def test_many_changes_have_to_be_surer() -> None:
    """Nine changes that do nothing: each would be named with one interval in twenty."""
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(9)]
    named = 0
    for _ in range(200):
        seeds = []
        for _ in range(3):
            way = steps(big=9.0, **dict(zip(names, np.exp(rng.normal(0, 0.3, 9)), strict=True)))
            texts = dict.fromkeys(["big", *names], "")
            seeds.append(gap("time per epoch", way, way, texts, ratio=True))
        named += any(not e.is_noise for e in average(seeds).effects if e.name != "big")
    assert named / 200 <= 0.06


def net(folder: Path, name: str, seed: int, right: np.ndarray) -> RunResult:
    run = make_run(folder / f"{name}{seed}")
    assert run.directory is not None
    logits = np.where(right[:, None], [1.0, 0.0], [0.0, 1.0])
    targets = np.zeros(len(right), np.int64)
    save_predictions(run.directory / PREDICTIONS_NAME, logits, targets, "softmax")
    return run


@pytest.mark.parametrize("seeds", [1, 3])
def test_test_samples_decide_what_an_effect_on_accuracy_is(tmp_path: Path, seeds: int) -> None:
    """A change of 3 samples in 1,000 is noise, one of 60 is not; with one seed that is said."""
    start = np.arange(1000) >= 200
    few, many = (np.arange(1000) >= 200 - n for n in (3, 60))
    both = few | many
    walks = [[("", start), ("x", few), ("y", both)], [("", start), ("y", many), ("x", both)]]
    forward, backward = ([(n, float(r.mean())) for n, r in walk] for walk in walks)
    gaps = [gap("test accuracy", forward, backward, {"x": "-", "y": "-"})] * seeds
    ways = [
        [(n, {s: net(tmp_path, f"{i}{n}", s, r) for s in range(seeds)}) for n, r in walk]
        for i, walk in enumerate(walks)
    ]
    found = with_noise(average(gaps), ways)
    said = " ".join(found.sentences())
    assert [effect.is_noise for effect in found.effects] == [True, False]
    assert "y (-) explains 9" in said
    assert ("One seed: says nothing about other seeds; use --seeds 3." in said) == (seeds == 1)
    assert "Figures not checked." in said
    assert found.half is not None
    assert 0 < found.half < abs(found.total)


def test_no_gap_is_not_explained() -> None:
    found = gap("test accuracy", [("", 0.9), ("x", 0.901)], [("", 0.9), ("x", 0.901)], {"x": "-"})
    assert found.sentences() == [
        "test accuracy: 90.00% against 90.10%: there is no gap to explain."
    ]


def test_the_loss_explains_and_the_framework_does_not(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("explain", "loss=bce", "loss=mse backend=numpy_reference shuffle=true", *SMALL)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "loss (bce (over_outputs=sum) to mse (over_outputs=mean)) explains " in text
    assert "The framework explains 0 % of it." in text
    page = (tmp_path / "results" / "explain" / "explain.md").read_text()
    assert "| loss: bce (over_outputs=sum) to mse (over_outputs=mean) |" in page
    for name in ("test_accuracy.svg", "test_accuracy.png", "time_per_epoch.svg"):
        assert (tmp_path / "results" / "explain" / name).stat().st_size > 1000
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 6  # both ends, and two steps in each order
    first, last = (next(r for r in runs if end in r.name) for end in (" start", " end"))
    again = nnbench("explain", first.run_id, last.run_id)
    named = nnbench("explain", first.name, last.name, "seed=1")
    assert "overrides apply to cases and quoted overrides" in named.stderr
    assert again.returncode == 0, again.stderr
    assert "6 of 6 runs already finished" in again.stdout
    assert len(read_runs(tmp_path / "results")) == 6


@pytest.mark.slow
def test_steps_of_a_bridge_are_not_compared_unasked(nnbench: Nnbench, tmp_path: Path) -> None:
    few = (*TINY, "epochs=1")
    assert nnbench(*few).returncode == 0
    assert nnbench("explain", "seed=0", "seed=1 shuffle=true", *few).returncode == 0
    done = nnbench("report")
    assert "left out: 3 runs of nnbench explain" in done.stderr
    assert "There is only one group" in done.stdout


def test_backends_alone_are_followed_step_by_step(nnbench: Nnbench) -> None:
    """Two names are answered for accuracy and for time, by what is on record (fault N3)."""
    two = ["-m", "backend=numpy,numpy_reference", "batch_size=32", "tracking=local", *SMALL]
    assert nnbench(*two).returncode == 0
    slow = next(run for run in read_runs(Path("results")) if "reference" in run.name)
    thrice = (replace(e, train_seconds=3 * e.train_seconds) for e in slow.epochs)
    replace(slow, epochs=tuple(thrice)).write()  # whatever the machine does
    done = nnbench("explain", "numpy b32 s0", "numpy reference b32 s0")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert re.search(
        r"On record: test accuracy [\d.]+% against [\d.]+% \(\+0.00 points\); time", said
    )
    assert "One run each: another seed may say otherwise; use --seeds 3." in said
    assert "2 of 2 runs already finished" in said
    assert "there is no gap to explain" in said
    assert re.search(r"time per epoch: .* against .* \(x [\d.]+\)\.", said)
    assert "Each run was timed once; use --seeds 3 for intervals." in said
    assert "checking whether their weights diverge" in said
    assert " agrees " in done.stdout
    once = nnbench("explain", "numpy b32 s0", "numpy b32 s0")
    assert "On record: test accuracy" in once.stdout
    assert "same configuration: nothing to explain" in once.stdout


def test_seeds_by_name() -> None:
    assert _seeds(["epochs=1", "seed=0,1,2"], 1) == (["epochs=1"], [0, 1, 2])
    assert _seeds(["seed=4"], 1) == (["seed=4"], 1)
    assert _seeds(["seed=4,4"], 1) == (["seed=4"], 1)
    assert _seeds([], [3, 5]) == ([], [3, 5])
    for words, seeds in ((["seed=0,1"], 3), (["seed=0,1", "seed=2,3"], 1)):
        with pytest.raises(ConfigError, match="name the seeds once"):
            _seeds(words, seeds)


def test_changes_that_make_up_for_each_other_are_named() -> None:
    texts = {"x": "1 to 2", "y": "3 to 4"}
    ways = [[("", 0.9), ("x", 0.5), ("y", 0.9)], [("", 0.9), ("y", 1.3), ("x", 0.9)]]
    found = gap("test accuracy", *ways, texts)
    assert found.sentences()[1:] == [
        "Changes make up for each other: x (1 to 2) -40.00 points, y (3 to 4) +40.00 points."
    ]
    small = gap("test accuracy", [("", 0.9), ("x", 0.901)], [("", 0.9), ("x", 0.901)], {"x": "-"})
    (said,) = replace(small, half=0.02).sentences()
    assert said.endswith("there is no gap to explain (not distinguishable from noise).")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["seed=1", "seed=1"], 0, "same configuration: nothing to explain"),
        (["nobody", "seed=1"], 2, "Received nobody; results has no run of that name"),
        (["loss=bse", "seed=1"], 2, "bse"),
        (["seed=1", "seed=2", "--seeds", "0"], 2, "Received --seeds 0; must be at least 1."),
    ],
)
def test_other_input(nnbench: Nnbench, words: list[str], code: int, said: str) -> None:
    done = nnbench("explain", *words)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
