"""Epoch time: what else is recorded with it, who shared the processor, and work left undone."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Params, TrainStats, Walk
from nnbench.records import contention
from nnbench.records.flags import TOLD, Contended, Early
from nnbench.records.folder import read_runs
from nnbench.records.run import EpochRecord, RunResult
from nnbench.sweeps import session
from nnbench.training import effort
from nnbench.training.undone import Undone
from support.backends import small_splits, small_task, small_walks
from support.commands import PATIENCE, TINY, Nnbench, begin, plug_in
from support.records import epoch, make_run

LINUX = sys.platform == "linux"


def work(seconds: float) -> None:
    """Use `seconds` of processor time, however long that takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        np.sqrt(np.arange(1000.0)).sum()


def test_processor_seconds_are_those_of_all_threads() -> None:
    before = effort.read()
    thread = threading.Thread(target=work, args=[0.05])
    thread.start()
    thread.join()
    time.sleep(0.05)
    found = effort.since(before)
    assert found.cpu_seconds is not None
    assert found.cpu_seconds >= 0.045
    with_sleep = effort.read()
    time.sleep(0.2)
    assert (effort.since(with_sleep).cpu_seconds or 0.0) < 0.1


@pytest.mark.skipif(not LINUX, reason="pins threads to a core")
def test_waiting_for_a_core_is_seen() -> None:
    """Two processes on one core: what is not worked is waited."""
    mine = os.sched_getaffinity(0)
    core = {min(mine)}
    os.sched_setaffinity(0, core)
    other = psutil.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before, start = effort.read(), time.perf_counter()
        work(0.3)
        seconds = time.perf_counter() - start
        found = effort.since(before)
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, mine)
    assert found.waited_seconds is not None
    assert found.cpu_seconds is not None
    assert found.involuntary_switches is not None
    assert found.waited_seconds > 0.2 * seconds
    assert found.waited_seconds + found.cpu_seconds == pytest.approx(seconds, rel=0.1)
    assert found.involuntary_switches > 10


def test_efforts_add_up_and_unknown_stays_unknown() -> None:
    assert effort.Effort(1.0, 2.0, 3) + effort.Effort(0.5, 0.25, 1) == effort.Effort(1.5, 2.25, 4)
    assert effort.Effort(1.0, None, 3) + effort.NONE == effort.Effort(1.0, None, 3)
    assert effort.NONE + effort.UNKNOWN == effort.UNKNOWN


def records(*waited: float | None, **facts: float | None) -> list[EpochRecord]:
    """Return an epoch of 9 s that warms up, then one of a second for each of `waited`."""
    first = epoch(0, train_seconds=9.0, waited_seconds=9.0)
    rest = [epoch(i, train_seconds=1.0, waited_seconds=w, **facts) for i, w in enumerate(waited, 1)]
    return [first, *rest]


def test_a_contended_run_is_known_by_its_record() -> None:
    assert not contention.is_contended(records(0.0, 0.01, 0.04))
    assert contention.is_contended(records(0.3, 0.5, 0.4))
    assert contention.is_contended(records(0.0, 0.0, 0.0, 0.9)), "a fifth of all time"
    assert not contention.is_contended(records(0.0, 0.0, 0.0, 0.0, 0.0, 0.5)), "one of six"
    assert contention.flags(records(0.3, 0.5, 0.4)) == (Contended(),)
    assert contention.flags([]) == ()


def test_a_run_is_early_by_its_usual_epoch_or_most_of_its_time() -> None:
    def told(*late: float) -> bool:
        whole = dataclasses.replace(records(0.0)[0], train_seconds=1.0)
        epochs = [dataclasses.replace(whole, late_seconds=seconds) for seconds in late]
        return Early() in contention.flags(epochs)

    assert not told(0.0, 0.0, 0.9, 0.0, 0.0), "one epoch of a busy machine"
    assert not told(*[0.04] * 5)
    assert told(*[0.06] * 5)
    assert told(0.2, 0.2, 0.0, 0.0)
    assert told(0.9)
    assert not told(*[0.9] * 3, *[0.0] * 4), "charged, as in every epoch"
    assert told(*[0.99] * 4, *[0.0] * 3)


def test_without_waits_on_record_processor_seconds_and_switches_tell() -> None:
    def found(cpu: float | None, switches: float | None) -> bool:
        facts = {"cpu_seconds": cpu, "involuntary_switches": switches}
        made = records(None, None, None, **facts)
        return contention.is_contended([dataclasses.replace(made[0], waited_seconds=None, **facts),
                                        *made[1:]])  # fmt: skip

    assert found(0.5, 60)
    assert not found(0.99, 60)
    assert not found(0.5, 2), "it slept, nobody took its processor"
    assert not found(None, 60)
    assert not found(0.5, None)


def test_older_records_say_that_nothing_is_recorded(tmp_path: Path) -> None:
    old = [dataclasses.replace(record, waited_seconds=None) for record in records(None)]
    assert contention.flags(old) == ()
    run = RunResult(
        "r", "n", "finished", "matched", "f", "2026", {}, "a", 1, {}, {}, epochs=tuple(old)
    )
    assert contention.sentence(run) == "not recorded"


class Late(NumpyTrainer):
    """Returns at once; a thread does the work when next something is asked of it.

    The calls in `waits`, and the next `train`, wait for its end. Each epoch's work is padded by
    `more` processor seconds.
    """

    waits: tuple[str, ...] = ()
    more = 0.05
    thread: threading.Thread | None = None

    def train(self, walk: Walk) -> TrainStats:
        self.wait("train")
        self.asked = threading.Event()

        def go() -> None:
            self.asked.wait()
            NumpyTrainer.train(self, walk)
            work(self.more)

        self.thread = threading.Thread(target=go)
        self.thread.start()
        return TrainStats(1.0, walk.samples)

    def wait(self, name: str) -> None:
        if self.thread is not None and (name in self.waits or self.waits == () or name == "train"):
            self.asked.set()
            if name == "train" or name in self.waits:
                self.thread.join()
                self.thread = None

    def params(self) -> Params:
        self.wait("params")
        return super().params()

    def evaluate(self, split: str) -> NDArray[np.floating]:
        self.wait("evaluate")
        return super().evaluate(split)


class WaitsInParams(Late):
    waits = ("params",)


class WaitsInEvaluate(Late):
    waits = ("evaluate",)


class SlowWhenIdle(WaitsInParams):
    """Would have its waits pass for what the call always costs."""

    def params(self) -> Params:
        time.sleep(2 * self.more)
        return super().params()


class Honest(Late):
    def train(self, walk: Walk) -> TrainStats:
        found = NumpyTrainer.train(self, walk)
        work(self.more)
        return found


def taken(kind: type[Late], epochs: int = 3) -> tuple[float, list[float]]:
    """Return the training seconds of `epochs`, and what of each of them came after `train`.

    As the loop over epochs takes them.
    """
    trainer = kind(small_task("fused"), small_splits())
    trainer.warm_up(len(small_splits()["train"]))
    undone, seconds, late = Undone(on_cpu=True, threads=1), 0.0, list[float]()
    calls: dict[str, Callable[[], object]] = {
        "params": trainer.params,
        "test": lambda: trainer.evaluate("test"),
    }
    undone.learn(calls)
    for _ in range(epochs):
        start = time.perf_counter()
        trainer.train(small_walks()[0])
        elapsed = time.perf_counter() - start
        undone.begin(elapsed, effort.read())
        for name, call in calls.items():
            undone.call(name, call)
        late.append(undone.end())
        seconds += elapsed
    trainer.wait("train")
    return seconds + sum(late), late


@pytest.mark.parametrize("kind", [WaitsInParams, WaitsInEvaluate, SlowWhenIdle, Late])
def test_work_after_train_is_charged(kind: type[Late]) -> None:
    """In `Late` nothing waits but the next `train`, to which the rest of the work is counted."""
    seconds, late = taken(kind)
    assert seconds > (0.5 if kind is Late else 0.8) * 3 * Late.more
    assert kind is Late or sum(late) > 0.8 * 3 * Late.more


def test_work_that_is_done_in_time_costs_nothing() -> None:
    seconds, late = taken(Honest)
    assert seconds > 0.99 * 3 * Late.more
    assert median(late) < 0.05 * Late.more, "where the system took the processor, one is charged"


def test_epochs_record_what_they_took(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench(*TINY)
    (run,) = read_runs(tmp_path / "results")
    for record in run.epochs:
        assert record.cpu_seconds is not None
        assert record.late_seconds is not None  # on a busy machine above 0
        if LINUX:
            assert record.waited_seconds is not None
            assert record.involuntary_switches is not None
            assert record.load is not None
            assert record.cpu_seconds <= record.train_seconds + 0.01
    assert "% of the training time" in nnbench("show", run.run_id).stdout


def test_a_backend_that_returns_early_is_charged_and_told(nnbench: Nnbench, tmp_path: Path) -> None:
    code = (
        "import threading, time\n"
        "from nnbench.backends.numpy import NumpyTrainer\n"
        "class Late(NumpyTrainer):\n"
        "    late = False\n"
        "    def train(self, walk):\n"
        "        self.late = True  # when warming up, too\n"
        "        return super().train(walk)\n"
        "    def rest(self):\n"
        "        end = time.thread_time() + 0.1\n"
        "        while time.thread_time() < end: sum(range(100))\n"
        "    def params(self):\n"
        "        if self.late:\n"
        "            thread = threading.Thread(target=self.rest)\n"
        "            thread.start()\n"
        "            thread.join()\n"
        "        self.late = False\n"
        "        return super().params()\n"
    )
    brought = plug_in(tmp_path, "late", code)
    done = nnbench("backend=late", *TINY, *brought)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "results")
    assert Early() in run.flags
    assert all(record.train_seconds >= 0.08 for record in run.epochs)
    assert "train() returned before its work was done" in " ".join(done.stdout.split())
    assert run.phases.train_seconds == pytest.approx(sum(e.train_seconds for e in run.epochs))


def test_a_backend_that_stops_the_clock_stops_its_own_alone(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    code = (
        "import time\n"
        "from nnbench.backends.numpy import NumpyTrainer\n"
        "class Still(NumpyTrainer):\n"
        "    def __init__(self, *words):\n"
        "        super().__init__(*words)\n"
        "        still = time.perf_counter()\n"
        "        time.perf_counter = time.process_time = time.thread_time = lambda: still\n"
    )
    brought = plug_in(tmp_path, "still", code)
    done = nnbench("backend=still", *TINY, *brought)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "results")
    assert all(record.train_seconds > 0 for record in run.epochs)
    assert run.phases.wall_seconds > run.phases.train_seconds > 0


def test_a_clock_that_counts_less_than_its_process_took_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    own = run.phases.wall_seconds
    assert session._timed(run, None, own + 2.0) == run  # starting and ending took so long
    found = session._timed(run, None, 2 * own + 20.0)
    assert [flag.name for flag in found.flags] == ["slow clock"]
    assert not isinstance(found.flags[0], TOLD)  # never ranked beside others
    assert RunResult.read(tmp_path / "run").flags == found.flags
    assert session._timed(run, run, 2.0) == run  # taken up again, and counted on


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="pins processes to a core")
def test_two_sweeps_on_one_core_are_flagged(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    command = ["-m", "backend=numpy,torch", "seed=0,1,2", "batch_size=32", "epochs=20",
               "data.train_samples=1000", "tracking=local", "parity=false"]  # fmt: skip
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    sweeps = [begin(folder, command) for folder in folders]
    for process in sweeps:
        os.sched_setaffinity(process.pid, {core})
    for process in sweeps:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
    runs = [run for folder in folders for run in read_runs(folder / "results")]
    assert len(runs) == 12
    assert [run.name for run in runs if Contended() not in run.flags] == []


OUTSIDE = 0.05  # of the machine's processors: what others may use on a quiet machine


def outside_share(seconds: float, own: Callable[[], float]) -> float:
    """Return the share of all cores that is in use meanwhile, `own` processor seconds aside."""
    before, mine = psutil.cpu_times(), own()
    time.sleep(seconds)
    now = psutil.cpu_times()
    total = sum(now[:8]) - sum(before[:8])
    idle = now.idle + getattr(now, "iowait", 0.0) - before.idle - getattr(before, "iowait", 0.0)
    return (total - idle - (own() - mine)) / total


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_on_a_quiet_machine_no_run_is_flagged(tmp_path: Path) -> None:
    """Twenty sweeps; of those that others disturbed, by the system's count, nothing is asked."""
    before = outside_share(5.0, lambda: 0.0)
    if before > OUTSIDE:
        pytest.skip(f"the machine is in use: {before:.0%} of its processors")
    command = ["-m", "backend=numpy,torch", "seed=0,1", "batch_size=32", "epochs=20",
               "data.train_samples=1000", "parity=false"]  # fmt: skip
    flagged = total = 0
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        used = psutil.cpu_times()
        children = os.times()
        process = begin(folder, command)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
        now, after = psutil.cpu_times(), os.times()
        own = after[2] + after[3] - children[2] - children[3]
        busy = sum(now[:3]) - sum(used[:3])
        share = (busy - own) / (sum(now[:8]) - sum(used[:8]))
        if share > OUTSIDE:
            continue
        runs = read_runs(folder / "results")
        total += len(runs)
        flagged += sum(Contended() in run.flags for run in runs)
    if total < 40:
        pytest.skip(f"the machine was in use: {total} of 80 runs were undisturbed")
    assert flagged <= 0.01 * total
