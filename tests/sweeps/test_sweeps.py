"""Sweeps that go on: killed, stopped, damaged, asked for twice at once."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from nnbench.records.flags import Beside
from nnbench.records.folder import read_runs
from nnbench.records.run import RECORD_NAME, WEIGHTS_NAME, RunResult
from nnbench.training import checkpoint
from support.commands import PATIENCE, TINY, Nnbench, begin, kill_group, plug_in, started, wait_for
from support.tracking import assert_mirrored, client_of

LONG = ["data=synthetic", "data.samples=2000", "epochs=400", "batch_size=8", "shuffle=true"]
UNCHECKED = "parity=false"  # where certificates are not what is asked about
# Never over before it is interrupted, however fast the machine and however late the test.
ENDLESS = [*LONG, "epochs=100000", "tracking=local", "checkpoint.every=null"]


def by_config(folder: Path) -> dict[str, RunResult]:
    found = {}
    for run in read_runs(folder / "results"):
        config = {k: v for k, v in run.config.items() if k not in ("results", "tracking")}
        key = " ".join(f"{k}={v}" for k, v in sorted(config.items()))
        assert key not in found, "one run for each cell"
        found[key] = run
    return found


def assert_the_same(folder: Path, undisturbed: Path) -> dict[str, RunResult]:
    """Assert that all runs are finished, with the weights and figures of the undisturbed ones."""
    found, expected = by_config(folder), by_config(undisturbed)
    assert found.keys() == expected.keys()
    for key, run in found.items():
        assert run.status == "finished"
        other = expected[key]
        assert run.directory is not None
        assert other.directory is not None
        assert [e.epoch for e in run.epochs] == list(range(run.config["epochs"]))
        for a, b in zip(run.epochs, other.epochs, strict=True):
            assert (a.test_loss, a.train_loss, a.learning_rate) == (
                b.test_loss,
                b.train_loss,
                b.learning_rate,
            )
        mine, theirs = (load_file(r.directory / "weights.safetensors") for r in (run, other))
        for name, values in theirs.items():
            np.testing.assert_array_equal(mine[name], values)
        with (
            np.load(run.directory / "trajectory.npz") as path,
            np.load(other.directory / "trajectory.npz") as expected_path,
        ):
            for name in expected_path.files:
                np.testing.assert_array_equal(path[name], expected_path[name])
    return found


def finish(folder: Path, arguments: Sequence[str]) -> None:
    process = begin(folder, arguments)
    out, err = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0, out + err


def kill_once(folder: Path, arguments: Sequence[str], fact: Callable[[], object]) -> None:
    """Start the command and kill its whole process group once `fact` is true."""
    process = begin(folder, arguments)
    wait_for(fact, process)
    kill_group(process)


def test_killed_and_asked_again(nnbench: Nnbench, tmp_path: Path) -> None:
    """Killed before a record and in the second run; the end is as if it never was."""
    # In few epochs: MLflow has few figures to take.
    long = [*LONG, "data.samples=4000", "epochs=20"]
    arguments = ["-m", "seed=0,1", *long, "checkpoint.every=1", "checkpoint.unit=epochs"]
    killed = tmp_path / "killed"
    runs = killed / "results" / "runs"
    checkpoints = f"*/{checkpoint.FOLDER_NAME}/*{checkpoint.SUFFIX}"

    def in_the_second() -> bool:
        over = [path.parent for path in runs.glob(f"*/{WEIGHTS_NAME}")]
        return bool(over) and any(p.parents[1] not in over for p in runs.glob(checkpoints))

    killed.mkdir()
    local = [*arguments, "tracking=local"]
    kill_once(killed, local, lambda: list(runs.glob("*/worker.log")))
    kill_once(killed, local, in_the_second)
    finish(killed, arguments)
    assert nnbench(*local).returncode == 0
    found = assert_the_same(killed, tmp_path)
    assert sorted(bool(run.resumed) for run in found.values()) == [False, True]
    assert_mirrored(client_of(killed / "results"), list(found.values()))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_thirty_moments(tmp_path: Path) -> None:
    arguments = [
        *("-m", "backend=numpy,torch", "seed=0,1,2", "init.scale=0.01,0.1", "batch_size=8"),
        # Long enough to be hit on a fast machine too.
        *("epochs=150", "schedule=constant", "schedule.lr=0.05", "shuffle=true"),
        *("optimizer.momentum=0.5", "checkpoint.every=1"),
    ]
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    finish(undisturbed, arguments)
    rng = random.Random(2)
    for _ in range(30):
        moment = killed_at(killed, arguments, rng)
        print(moment)  # noqa: T201 - shown where the test fails
    finish(killed, arguments)
    found = assert_the_same(killed, undisturbed)
    assert len(found) == 12
    resumed = sum(len(run.resumed) for run in found.values())
    assert resumed >= 5, "the kills must have hit runs"
    assert_mirrored(client_of(killed / "results"), list(found.values()))


def killed_at(folder: Path, arguments: Sequence[str], rng: random.Random) -> tuple[bool, float]:
    """Kill the command at a random moment, as a rule after a worker's first sign of life.

    Returns whether it was one of those, and the seconds after it or after the start.
    """
    began, alive, seconds = time.time(), rng.random() < 0.8, rng.uniform(0.0, 3.0)

    def at_work() -> bool:
        with contextlib.suppress(FileNotFoundError):  # of a file that was replaced meanwhile
            return any(p.stat().st_mtime > began for p in folder.glob("results/runs/*/*"))
        return True

    process = begin(folder, arguments)
    wait_for(lambda: not alive or at_work() or process.poll() is not None)
    time.sleep(seconds)
    kill_group(process)
    return alive, seconds


def test_interrupted_once_it_leaves_a_checkpoint(tmp_path: Path) -> None:
    process = begin(tmp_path, ["-m", "seed=0,1", *ENDLESS])
    started(process, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Saving a checkpoint and stopping." in out
    assert "Stopped with 2 runs left. Run the same command again to resume." in err
    (run,) = read_runs(tmp_path / "results")
    assert run.status == "killed"
    assert run.directory is not None
    assert str(run.message).startswith("stopped before epoch")
    found, _ = checkpoint.latest(run.directory)
    assert found is not None
    assert found.epoch == len(run.epochs)


def test_terminated_it_leaves_a_checkpoint_too(tmp_path: Path) -> None:
    process = begin(tmp_path, ENDLESS)
    started(process, tmp_path)
    process.terminate()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "Run the same command again to resume." in err
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    assert checkpoint.latest(run.directory)[0] is not None


def test_a_single_run_goes_on_and_then_runs_anew(nnbench: Nnbench, tmp_path: Path) -> None:
    process = begin(tmp_path, ENDLESS)
    epochs = len(started(process, tmp_path).epochs)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    shorter = [*ENDLESS, "epochs=2"]
    done = nnbench(*shorter)
    assert "New run, not the stopped numpy b8" in done.stdout
    assert "epochs=2 (was 100000)" in done.stdout
    plan = nnbench(*ENDLESS, "--plan")
    assert "to resume" in plan.stdout
    process = begin(tmp_path, ENDLESS)
    wait_for(lambda: any(r.resumed for r in read_runs(tmp_path / "results")), process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert "Resuming 1 stopped run." in out
    (long,) = [r for r in read_runs(tmp_path / "results") if r.config["epochs"] == 100000]
    assert len(long.epochs) >= epochs
    assert len(read_runs(tmp_path / "results")) == 2
    nnbench(*shorter)
    assert len(read_runs(tmp_path / "results")) == 3, "a finished single run is run again"


def test_a_finished_sweep_is_taken_as_it_is(nnbench: Nnbench, tmp_path: Path) -> None:
    command = ["-m", "seed=0,1", *TINY, UNCHECKED]
    first = nnbench(*command)
    again = nnbench(*command)
    assert "2 of 2 runs already finished (run again with --fresh)." in again.stdout
    assert len(read_runs(tmp_path / "results")) == 2
    table = [line for line in first.stdout.splitlines() if line.startswith("  numpy b32 s")]
    assert [line for line in again.stdout.splitlines() if line in table] == table
    more = nnbench("-m", "seed=0,1,2", *TINY, UNCHECKED)
    assert "[3/3] numpy b32 s2: finished" in more.stdout
    nnbench(*command, "--fresh")
    assert len(read_runs(tmp_path / "results")) == 5


def test_a_failed_run_is_run_again(nnbench: Nnbench, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("label,a,b\n" + "".join(f"{i % 2},{i},{-i}\n" for i in range(40)))
    options = ["data=csv", f"data.path={table}", "epochs=2", "batch_size=8", "tracking=local"]
    options.append(UNCHECKED)
    assert nnbench("-m", "seed=0,1", *options).returncode == 0
    for run in read_runs(tmp_path / "results"):
        RunResult(**(vars(run) | {"status": "failed", "message": "by hand"})).write()
    plan = nnbench("-m", "seed=0,1", *options, "--plan")
    assert plan.stdout.count("to run again (failed)") >= 2
    assert nnbench("-m", "seed=0,1", *options).returncode == 0
    statuses = Counter(run.status for run in read_runs(tmp_path / "results"))
    assert statuses == {"failed": 2, "finished": 2}


def test_two_sweeps_at_once_share_the_work(tmp_path: Path) -> None:
    command = ["-m", "seed=0,1,2,3", *LONG, "epochs=4", UNCHECKED, "tracking=local"]
    processes = [begin(tmp_path, command) for _ in range(2)]
    outputs = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    runs = read_runs(tmp_path / "results")
    assert sorted(run.config["seed"] for run in runs) == [0, 1, 2, 3]
    for out, _ in outputs:
        assert "4 runs, matched semantics" in out


def test_a_plan_says_what_is_what(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench("-m", "seed=0", *TINY, UNCHECKED)
    plan = nnbench("-m", "seed=0,1", "init.scale=0.01,oops", *TINY, "--plan")
    assert plan.returncode == 0
    assert "1 finished, 1 to run, 2 impossible" in plan.stdout
    assert "init.scale=oops" in plan.stdout
    assert len(read_runs(tmp_path / "results")) == 1
    refused = nnbench("-m", "seed=0,1", "init.scale=0.01,oops", *TINY)
    assert refused.returncode == 2
    assert "Received init.scale=oops" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert len(read_runs(tmp_path / "results")) == 1


def test_cells_that_cannot_be_are_found_before_the_first_epoch(
    nnbench: Nnbench, tmp_path: Path
) -> None:
    done = nnbench("-m", "arch=784-128-10,lenet5", *TINY)
    assert done.returncode == 2
    assert not (tmp_path / "results" / "runs").exists()


def test_on_error_stop(nnbench: Nnbench, tmp_path: Path) -> None:
    """A backend that breaks in its worker, the first of three cells."""
    code = "class Broken:\n def __init__(self, task, splits): raise RuntimeError('it broke')\n"
    brought = plug_in(tmp_path, "broken", code, "plain")
    command = ["-m", "backend=broken,numpy", "seed=0,1", *TINY, *brought, UNCHECKED]
    going_on = nnbench(*command)
    assert going_on.returncode == 1
    assert "2 of 4 runs failed" in going_on.stderr
    assert going_on.stdout.count("it broke") == 2
    assert "worker.log" in going_on.stdout
    shutil.rmtree(tmp_path / "results")
    stopped = nnbench(*command, "on_error=stop", "order=given")
    assert stopped.returncode == 1
    assert stopped.stdout.count("it broke") == 1
    assert read_runs(tmp_path / "results") == []


def test_runs_beside_each_other(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("-m", "seed=0,1,2", *TINY, UNCHECKED, "launcher=parallel", "launcher.n_jobs=3")
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 3
    for run in runs:
        assert Beside(3) in run.flags
    assert "not comparable" in done.stdout


def test_orders(nnbench: Nnbench) -> None:
    def order(*words: str) -> list[str]:
        done = nnbench("-m", "backend=numpy,numpy_reference", "seed=0,1", *TINY, *words, "--plan")
        rows = [line for line in done.stdout.splitlines() if "seed=" in line and "to run" in line]
        return [f"{row.split('backend=')[1].split()[0]}{row.split('seed=')[1][0]}" for row in rows]

    assert order("order=given") == ["numpy0", "numpy1", "numpy_reference0", "numpy_reference1"]
    assert order("order=interleaved") == [
        *("numpy0", "numpy_reference0", "numpy1", "numpy_reference1")
    ]
    counterbalanced = ["numpy0", "numpy_reference0", "numpy_reference1", "numpy1"]
    assert order() == counterbalanced
    assert sorted(order("order=random")) == sorted(counterbalanced)


def test_a_damaged_checkpoint_is_told_and_not_used(tmp_path: Path) -> None:
    command = [*ENDLESS, "checkpoint.every=1", "checkpoint.unit=epochs"]
    process = begin(tmp_path, command)
    directory = started(process, tmp_path).directory
    assert directory is not None
    folder = directory / checkpoint.FOLDER_NAME
    wait_for(lambda: list(folder.glob(f"[!.]*{checkpoint.SUFFIX}")), process)
    kill_group(process)
    # Until the system has freed the lock of its worker.
    run = wait_for(lambda: next((r for r in read_runs(tmp_path / "results") if r.message), None))
    assert (run.status, run.message) == ("killed", "its process ended")
    files = sorted(folder.glob(f"[!.]*{checkpoint.SUFFIX}"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-3])
    process = begin(tmp_path, command)
    wait_for(lambda: any(r.resumed for r in read_runs(tmp_path / "results")), process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert f"{files[-1].name} is damaged and was not used" in out
    (again,) = read_runs(tmp_path / "results")
    assert again.run_id == run.run_id
    assert again.resumed == (0,)
    assert again.epochs[: len(run.epochs)] == run.epochs


def test_records_that_cannot_be_read_are_told(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench("-m", "seed=0,1", *TINY, UNCHECKED)
    first, second = read_runs(tmp_path / "results")
    assert first.directory is not None
    assert second.directory is not None
    (first.directory / RECORD_NAME).write_text("{")
    newer = (second.directory / RECORD_NAME).read_text().replace(
        f'"schema_version": {second.schema_version}', '"schema_version": 99'
    )  # fmt: skip
    (second.directory / RECORD_NAME).write_text(newer)
    done = nnbench("-m", "seed=0,1", *TINY, UNCHECKED)
    assert done.returncode == 0
    assert "is damaged" in done.stdout
    assert "schema version 99" in done.stdout
    assert len(read_runs(tmp_path / "results")) == 2
    assert (second.directory / RECORD_NAME).read_text() == newer


def trials(folder: Path) -> Any:
    import optuna

    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/results/search.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/results/search.db")


@pytest.mark.slow
def test_a_search_goes_on(nnbench: Nnbench, tmp_path: Path) -> None:
    def command(n: int) -> list[str]:
        space = ["schedule.lr=tag(log, interval(0.001, 1))", "arch.hidden=choice([4],[8])"]
        fixed = ["schedule=constant", "data.val_fraction=0.2", "seed=0,1"]
        return ["-m", f"search.trials={n}", *space, *fixed, *TINY]

    assert nnbench(*command(1)).returncode == 0
    done = nnbench(*command(2))
    assert done.returncode == 0, done.stderr
    assert "1 of 2 trials done, by val_loss" in done.stdout
    study = trials(tmp_path)
    assert len(study.trials) == 2
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 4
    for trial in study.trials:
        values = [
            run.kept.val_loss
            for run in runs
            if run.kept
            and run.config["schedule"]["lr"] == trial.params["schedule.lr"]
            and str(run.config["arch"]["hidden"]) == trial.params["arch.hidden"]
        ]
        assert trial.value == pytest.approx(np.mean(values), rel=1e-12)
    best = min(study.trials, key=lambda t: t.value)
    assert f"{best.value:.5g}" in done.stdout
    third = nnbench(*command(2))
    assert "2 of 2 trials done" in third.stdout
    assert len(read_runs(tmp_path / "results")) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["schedule.lr=interval(0.1,1)"], "no validation split"),
        (["data.val_fraction=0.2"], "nothing to search"),
        (["data.val_fraction=0.2", "search.sampler=best", "schedule.lr=interval(0.1,1)"], "tpe"),
    ],
)
def test_a_search_that_cannot_be(nnbench: Nnbench, words: list[str], said: str) -> None:
    done = nnbench("-m", "search.trials=2", "schedule=constant", *TINY, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_where_results_are_tracked_makes_no_other_run(
    nnbench: Nnbench, tmp_path: Path, tables: Path
) -> None:
    """Finished runs are taken, certified and mirrored, though asked for in other words."""
    words = ["-m", "backend=numpy,numpy_reference", *TINY[:-1]]
    first = nnbench(*words, "tracking=local", UNCHECKED, "checkpoint.keep=1")
    assert first.returncode == 0, first.stderr
    shutil.copy(tables, tmp_path / "results")
    done = nnbench(*words, "order=given")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs already finished" in done.stdout
    assert "parity agrees: numpy reference against numpy" in " ".join(done.stdout.split())
    assert_mirrored(client_of(tmp_path / "results"), read_runs(tmp_path / "results"))
