"""The bench: what it takes for measured, in which order, and what a kill leaves of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import ROOT

BENCH = ROOT / "scripts" / "bench"
sys.path.append(str(BENCH))

import commands  # noqa: E402
import journal as journals  # noqa: E402
import page as pages  # noqa: E402
from measuring import Epoch, Failed, Measured  # noqa: E402
from workloads import WORKLOADS, Gain, Goal, Limit  # noqa: E402

WHERE = {
    "cpu": "A Processor", "blas_kernel": "SkylakeX", "versions": {"numpy": "2.4.6"},
    "forced_kernels": [], "less": [], "source_digest": "d4",
    "data": "MNIST",
}  # fmt: skip


def taken(
    journal: journals.Journal, workload: str, contender: str, *figures: float, **more: Any
) -> None:
    """Note a figure a round."""
    for turn, figure in enumerate(figures):
        values = {"step_microseconds": figure, "evaluate_seconds": figure, "contended": False}
        known = {"round": turn, "place": 0, "attempt": 0, "wall_seconds": 1.0}
        journal.add(
            what="time", workload=workload, contender=contender, **(values | known | more)
        )  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> journals.Journal:
    return journals.Journal(tmp_path / "bench.jsonl", WHERE)


def test_every_goal_is_about_contenders_of_its_workload() -> None:
    for workload in WORKLOADS:
        known = {c.label for c in (*workload.contenders, *workload.more)}
        assert len(known) == len(workload.contenders) + len(workload.more)
        for goal in workload.goals:
            named = {v for v in vars(goal).values() if isinstance(v, str)}
            named |= set(getattr(goal, "peers", ()))
            assert named <= known, (workload.name, goal)


def test_contenders_take_turns() -> None:
    names = ["a", "b", "c", "d", "e"]
    rounds = [journals.order("W1", names, turn) for turn in range(200)]
    assert all(sorted(each) == names for each in rounds)
    for even, odd in zip(rounds[::2], rounds[1::2], strict=True):
        assert odd == even[::-1]  # ABBA: a steady drift is nobody's gain
    places = Counter((name, place) for each in rounds for place, name in enumerate(each))
    assert len({tuple(each) for each in rounds}) > 50
    assert max(places.values()) < 80  # 40 each, by chance
    assert journals.order("W1", names[::-1], 0) == rounds[0]  # so that a stopped round goes on


def test_what_a_kill_has_cut_off_is_left_out_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    first = journals.Journal(path, WHERE)
    taken(first, "W1", "numpy", 1.0, 2.0)
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut] if cut > 1 else whole)
        again = journals.Journal(path, WHERE)
        assert [line["step_microseconds"] for line in again.lines] == [1.0, 2.0][: 1 + (cut < 2)]
        taken(again, "W1", "torch", 3.0)
        assert len(journals.Journal(path, WHERE).lines) == len(again.lines)


@pytest.mark.parametrize("key", [*WHERE, "another"])
def test_nothing_is_added_to_measurements_of_another_machine_or_version(
    journal: journals.Journal, key: str
) -> None:
    with pytest.raises(journals.Other, match=key):
        journals.Journal(journal.path, WHERE | {key: ["changed"]})
    taken(journal, "W1", "numpy", 1.0)
    assert journals.Journal(journal.path, WHERE, fresh=True).lines == []


def test_a_disturbed_measurement_is_told_by_waiting_and_by_switches() -> None:
    def run(*epochs: Epoch) -> Measured:
        return Measured((Epoch(9.0, 9.0, 9.0, 900), *epochs), 100, None, 1.0)

    assert not run(*[Epoch(1.0, 1.0, 0.001, 3)] * 4).contended
    assert run(*[Epoch(1.0, 0.6, 0.4, 3)] * 4).contended
    assert run(*[Epoch(1.0, 0.6, None, 300)] * 4).contended  # where waits are not told
    assert not run(*[Epoch(1.0, 0.6, None, 0)] * 4).contended  # a pause of its own
    assert run(*[Epoch(1.0, 1.0, 0.0, 0)] * 4).step_microseconds == pytest.approx(1e4)


def test_undisturbed_rounds_count_where_there_are_some(journal: journals.Journal) -> None:
    taken(journal, "W2", "numpy", 10.0, 10.0, 10.0)
    taken(journal, "W2", "torch", 400.0, 400.0, 400.0, contended=True)
    assert len(journal.rounds("W2", "torch")) == 3
    goal = Goal("numpy", "torch", 3.5)
    verdict = pages.judge(goal, journal, "W2")
    assert verdict.met is None  # forty times as slow, beside others
    assert pages.DISTURBED in verdict.text
    journal.add(
        what="time", workload="W2", contender="torch", round=1, place=0, attempt=1,
        step_microseconds=36.0, evaluate_seconds=1.0, contended=False, wall_seconds=1.0,
    )  # fmt: skip
    assert list(journal.rounds("W2", "torch")) == [1]
    verdict = pages.judge(goal, journal, "W2")
    assert (verdict.met, "; 3.60" in verdict.text) == (True, True)


def test_goals_are_those_of_the_processor(tmp_path: Path) -> None:
    goal = Goal("numpy", "torch", 3.5, 2.5)
    for kernel, met in {"SkylakeX": False, "Haswell": True, "Zen": True}.items():
        one = journals.Journal(tmp_path / f"{kernel}.jsonl", WHERE | {"blas_kernel": kernel})
        taken(one, "W2", "numpy", 10.0, 11.0)
        taken(one, "W2", "torch", 30.0, 33.0)
        assert pages.judge(goal, one, "W2").met is met
    limit = Limit("torch", "numpy", 3.01)
    assert pages.judge(limit, one, "W2").met
    assert not pages.judge(Limit("torch", "numpy", 2.9), one, "W2").met


def test_two_threads_gain_what_others_gain_and_never_lose(journal: journals.Journal) -> None:
    gain = Gain("numpy", "numpy, 2 threads", ("torch", "torch, 2 threads"))
    taken(journal, "W3", "numpy", 10.0, 10.0)
    taken(journal, "W3", "numpy, 2 threads", 10.5, 10.5)
    taken(journal, "W3", "torch", 30.0, 30.0)
    taken(journal, "W3", "torch, 2 threads", 29.0, 29.0)
    assert pages.judge(gain, journal, "W3").met  # 0.95, where PyTorch gains nothing
    taken(journal, "W3", "torch, 2 threads", 20.0, 20.0)
    assert pages.judge(gain, journal, "W3").met is False  # 0.95, where it gains 1.5
    taken(journal, "W3", "numpy, 2 threads", 7.0, 7.0)
    assert pages.judge(gain, journal, "W3").met
    taken(journal, "W3", "numpy, 2 threads", 800.0, 800.0)  # as two pools that fight once made it
    taken(journal, "W3", "torch, 2 threads", 30.0, 30.0)
    assert pages.judge(gain, journal, "W3").met is False


def test_the_page_says_what_was_measured_and_what_was_not(journal: journals.Journal) -> None:
    taken(journal, "W2", "numpy", 10.0, 11.0, 10.0)
    taken(journal, "W2", "torch", 40.0, 44.0, 40.0)
    journal.add(what="failed", workload="W2", contender="keras xla", round=0, why="no such thing")
    text, missed = pages.page(journal, "bench.svg", {"bare JAX": "jax"})
    assert missed == 0
    assert "1 of 1 goals are met, 2 undecided." in text
    assert "| numpy | 10.0 (9.0 to 11.8) | 1 | 3 |" in text
    assert "| torch | 40.0 (36.0 to 47.3) | 4.00 (4.00 to 4.00) | 3 |" in text
    assert "left out: keras xla: no such thing" in text
    assert "bare JAX (jax)" in text
    assert "![" in text


def bench(folder: Path, *words: str) -> list[str]:
    return [
        sys.executable, str(BENCH / "run"), "--out", str(folder / "bench"), "--workloads", "W2",
        "--contenders", "numpy", "numpy reference", "--samples", "64", "--epochs", "2",
        "--rounds", "1", *words,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_bench_that_was_killed_goes_on(tmp_path: Path) -> None:
    environment = os.environ | {"NNBENCH_DATA": "", "PYTHONPATH": str(ROOT / "src")}
    path = tmp_path / "bench.jsonl"
    killed = subprocess.Popen(bench(tmp_path), env=environment)
    deadline = time.monotonic() + 120
    while not (path.exists() and len(path.read_text().splitlines()) > 1):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = path.read_text().splitlines()[:2]
    done = subprocess.run(
        bench(tmp_path), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert path.read_text().splitlines()[:2] == kept
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    attempts = Counter((line["contender"], line["round"], line["attempt"]) for line in lines)
    assert set(attempts.values()) == {1}  # nothing was measured twice
    assert {line["contender"] for line in lines} == {"numpy", "numpy reference"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench.jsonl", "bench.md", "bench.svg"]
    before = path.read_bytes()
    again = subprocess.run(bench(tmp_path), env=environment, capture_output=True, check=False)
    assert again.returncode in (0, 1)
    assert path.read_bytes() == before  # complete
    other = subprocess.run(
        bench(tmp_path, "--samples", "32"), env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert other.returncode == 2
    assert "is of something else: less" in other.stderr


@pytest.mark.slow
def test_a_sweep_is_measured_anew_in_every_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round before has finished is not taken for work done at no cost."""
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()  # named as `make bench` names it, from where it is called
    rounds = [commands.measure(commands.SWEPT, Path("work")) for _ in range(2)]
    assert [p.name for p in Path("work").iterdir()] == ["swept"]
    first, again = (each["processor_seconds"] for each in rounds)
    assert again > first / 3


@pytest.mark.slow
def test_a_sweep_that_left_no_runs_has_no_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SWEEP", (*commands.SWEEP, "epochs=1", "--plan"))
    with pytest.raises(Failed, match="0 of 9 runs are on record"):
        commands.measure(commands.SWEPT, tmp_path)
