"""Sweeps that go on: killed, stopped, damaged, asked for twice at once."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from nnbench.records.flags import Beside
from nnbench.records.run import RECORD_NAME, RunResult, read_runs
from nnbench.tracking import content
from nnbench.tracking.store import store_uri
from nnbench.training import checkpoint
from support.commands import TINY, Nnbench, begin, kill_group

LONG = ["data=synthetic", "data.samples=2000", "epochs=400", "batch_size=8", "shuffle=true"]


def by_config(folder: Path) -> dict[str, RunResult]:
    found = {}
    for run in read_runs(folder / "results"):
        key = " ".join(f"{k}={v}" for k, v in sorted(run.config.items()) if k != "results")
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


def assert_mirrored(folder: Path, runs: Sequence[RunResult]) -> None:
    """Assert that MLflow has every run once, ended, and every epoch of every figure once."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_uri(None, folder / "results"))
    experiments = [e.experiment_id for e in client.search_experiments()]
    mirrored = client.search_runs(experiments, max_results=1000)
    assert len(mirrored) == len(runs)
    by_id = {each.data.tags["nnbench.run_id"]: each for each in mirrored}
    for run in runs:
        each = by_id[run.run_id]
        assert each.info.status == "FINISHED"
        assert each.data.params["parameters"] == str(run.parameters)
        assert each.inputs.dataset_inputs
        for key, name in content.EPOCH_METRICS.items():
            expected = [getattr(record, name) for record in run.epochs]
            history = client.get_metric_history(each.info.run_id, key)
            got = {m.step: m.value for m in history}
            assert len(got) == len(history), f"{key} has an epoch twice"
            assert got == {i: v for i, v in enumerate(expected) if v is not None}, key
        for key in ("final/test_accuracy", "phase/wall_seconds"):
            assert len(client.get_metric_history(each.info.run_id, key)) == 1
        assert {a.path for a in client.list_artifacts(each.info.run_id)} >= {"run.json"}


def kill_until_finished(
    folder: Path, arguments: Sequence[str], kills: int, longest: float, seed: int
) -> list[float]:
    """Start the command again and again, killing its whole process group at random moments."""
    rng, moments = random.Random(seed), []
    for _ in range(kills):
        process = begin(folder, arguments)
        moments.append(rng.uniform(0.2, longest))
        try:
            process.wait(moments[-1])
        except subprocess.TimeoutExpired:
            kill_group(process)
        else:
            process.communicate()
    process = begin(folder, arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    return moments


def test_killed_and_asked_again(tmp_path: Path) -> None:
    """A short form of the next test."""
    arguments = ["-m", "backend=numpy", "seed=0,1", *LONG, "checkpoint.every=1"]
    undisturbed = tmp_path / "undisturbed"
    for folder in (undisturbed, tmp_path / "killed"):
        folder.mkdir()
    process = begin(undisturbed, arguments)
    process.communicate(timeout=240)
    kill_until_finished(tmp_path / "killed", arguments, kills=5, longest=4.0, seed=1)
    found = assert_the_same(tmp_path / "killed", undisturbed)
    assert any(run.resumed for run in found.values())
    assert_mirrored(tmp_path / "killed", list(found.values()))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_thirty_moments(tmp_path: Path) -> None:
    arguments = [
        *("-m", "backend=numpy,torch", "seed=0,1,2", "init.scale=0.01,0.1", "batch_size=8"),
        # Long enough to be hit on a fast machine too.
        *("epochs=150", "schedule=constant", "schedule.lr=0.05", "shuffle=true"),
        *("optimizer.momentum=0.5", "checkpoint.every=1"),
    ]
    undisturbed = tmp_path / "undisturbed"
    for folder in (undisturbed, tmp_path / "killed"):
        folder.mkdir()
    process = begin(undisturbed, arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    kill_until_finished(tmp_path / "killed", arguments, kills=30, longest=9.0, seed=2)
    found = assert_the_same(tmp_path / "killed", undisturbed)
    assert len(found) == 12
    resumed = sum(len(run.resumed) for run in found.values())
    assert resumed >= 5, "the kills must have hit runs"
    assert_mirrored(tmp_path / "killed", list(found.values()))


def started(folder: Path) -> RunResult:
    """Wait for the first run of `folder` to have an epoch on record."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for run in read_runs(folder / "results"):
            if run.epochs:
                return run
        time.sleep(0.05)
    raise AssertionError("no run began")


ENDLESS = [*LONG, "epochs=100000", "tracking=local", "checkpoint.every=null"]


def test_interrupted_once_it_leaves_a_checkpoint(tmp_path: Path) -> None:
    process = begin(tmp_path, ["-m", "seed=0,1", *ENDLESS])
    started(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping" in out
    assert "2 runs go on when you give the same command again" in err
    (run,) = read_runs(tmp_path / "results")
    assert run.status == "killed"
    assert run.directory is not None
    assert str(run.message).startswith("stopped before epoch")
    found, _ = checkpoint.latest(run.directory)
    assert found is not None
    assert found.epoch == len(run.epochs)


def test_terminated_it_leaves_a_checkpoint_too(tmp_path: Path) -> None:
    process = begin(tmp_path, ENDLESS)
    started(tmp_path)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "the run goes on" in err
    (run,) = read_runs(tmp_path / "results")
    assert run.directory is not None
    assert checkpoint.latest(run.directory)[0] is not None


def test_a_single_run_goes_on_and_then_runs_anew(nnbench: Nnbench, tmp_path: Path) -> None:
    command = [*LONG, "epochs=3000", "tracking=local"]
    process = begin(tmp_path, command)
    started(tmp_path)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    shorter = [word if word != "epochs=3000" else "epochs=2" for word in command]
    done = nnbench(*shorter)
    assert "a new run: not numpy b8" in done.stdout
    assert "epochs=2 (was 3000)" in done.stdout
    plan = nnbench(*command, "--plan")
    assert "to resume" in plan.stdout
    process = begin(tmp_path, command)
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "1 of 1 run goes on where it was stopped" in out
    assert len([r for r in read_runs(tmp_path / "results") if r.config["epochs"] == 3000]) == 1
    assert len(read_runs(tmp_path / "results")) == 2
    nnbench(*shorter)
    assert len(read_runs(tmp_path / "results")) == 3, "a finished single run is run again"


def test_a_finished_sweep_is_taken_as_it_is(nnbench: Nnbench, tmp_path: Path) -> None:
    command = ["-m", "seed=0,1", *TINY]
    first = nnbench(*command)
    again = nnbench(*command)
    assert "2 of 2 runs are finished already (--fresh runs them again)" in again.stdout
    assert len(read_runs(tmp_path / "results")) == 2
    table = [line for line in first.stdout.splitlines() if line.startswith("  numpy b32 s")]
    assert [line for line in again.stdout.splitlines() if line in table] == table
    more = nnbench("-m", "seed=0,1,2", *TINY)
    assert "[3/3] numpy b32 s2: finished" in more.stdout
    nnbench(*command, "--fresh")
    assert len(read_runs(tmp_path / "results")) == 5


def test_a_failed_run_is_run_again(nnbench: Nnbench, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("label,a,b\n" + "".join(f"{i % 2},{i},{-i}\n" for i in range(40)))
    options = ["data=csv", f"data.path={table}", "epochs=2", "batch_size=8", "tracking=local"]
    assert nnbench("-m", "seed=0,1", *options).returncode == 0
    for run in read_runs(tmp_path / "results"):
        RunResult(**(vars(run) | {"status": "failed", "message": "by hand"})).write()
    plan = nnbench("-m", "seed=0,1", *options, "--plan")
    assert plan.stdout.count("again (failed)") >= 2
    assert nnbench("-m", "seed=0,1", *options).returncode == 0
    statuses = Counter(run.status for run in read_runs(tmp_path / "results"))
    assert statuses == {"failed": 2, "finished": 2}


def test_two_sweeps_at_once_share_the_work(tmp_path: Path) -> None:
    command = ["-m", "seed=0,1,2,3,4,5", *LONG, "epochs=40", "tracking=local"]
    processes = [begin(tmp_path, command) for _ in range(2)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    runs = read_runs(tmp_path / "results")
    assert sorted(run.config["seed"] for run in runs) == [0, 1, 2, 3, 4, 5]
    for out, _ in outputs:
        assert "6 runs, matched semantics" in out


def test_a_plan_says_what_is_what(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench("-m", "seed=0", *TINY)
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
    conf = tmp_path / "conf" / "backend"
    conf.mkdir(parents=True)
    (conf / "broken.yaml").write_text(
        "name: broken\n_target_: broken.Broken\nexecution: plain\nexecutions: [plain]\n"
    )
    (tmp_path / "broken.py").write_text(
        "class Broken:\n def __init__(self, task, splits): raise RuntimeError('it broke')\n"
    )
    command = ["-m", "backend=broken,numpy", "seed=0,1", *TINY, "--config-dir", "conf"]
    env = {"PYTHONPATH": str(tmp_path)}
    going_on = nnbench(*command, env=env)
    assert going_on.returncode == 1
    assert "2 of 4 runs failed" in going_on.stderr
    assert going_on.stdout.count("it broke") == 2
    assert "worker.log" in going_on.stdout
    shutil.rmtree(tmp_path / "results")
    stopped = nnbench(*command, "on_error=stop", "order=given", env=env)
    assert stopped.returncode == 1
    assert stopped.stdout.count("it broke") == 1
    assert read_runs(tmp_path / "results") == []


def test_runs_beside_each_other(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("-m", "seed=0,1,2", *TINY, "launcher=parallel", "launcher.n_jobs=3")
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 3
    for run in runs:
        assert run.flags == (Beside(3),)
    assert "not comparable" in done.stdout


def test_orders(nnbench: Nnbench) -> None:
    def order(*words: str) -> list[str]:
        done = nnbench("-m", "backend=numpy,numpy_reference", "seed=0,1", *TINY, *words, "--plan")
        rows = [line for line in done.stdout.splitlines() if "seed=" in line and "to run" in line]
        return [f"{row.split('backend=')[1].split()[0]}{row.split('seed=')[1][0]}" for row in rows]

    assert order("order=given") == ["numpy0", "numpy1", "numpy_reference0", "numpy_reference1"]
    assert order() == ["numpy0", "numpy_reference0", "numpy1", "numpy_reference1"]
    assert sorted(order("order=random")) == sorted(order())


def test_a_damaged_checkpoint_is_told_and_not_used(tmp_path: Path, nnbench: Nnbench) -> None:
    command = [
        *LONG,
        "epochs=3000",
        "tracking=local",
        "checkpoint.every=1",
        "checkpoint.unit=epochs",
    ]
    process = begin(tmp_path, command)
    started(tmp_path)
    kill_group(process)
    for _ in range(100):  # until the system has freed the worker's lock
        (run,) = read_runs(tmp_path / "results")
        if run.status != "running":
            break
        time.sleep(0.05)
    assert (run.status, run.message) == ("killed", "its process ended")
    assert run.directory is not None
    files = sorted((run.directory / checkpoint.FOLDER_NAME).glob("*.safetensors"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-3])
    process = begin(tmp_path, command)
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert f"{files[-1].name} is damaged and was not used" in out
    (again,) = read_runs(tmp_path / "results")
    assert again.run_id == run.run_id
    assert again.resumed == (0,)
    assert again.epochs[: len(run.epochs)] == run.epochs


def test_records_that_cannot_be_read_are_told(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench("-m", "seed=0,1", *TINY)
    first, second = read_runs(tmp_path / "results")
    assert first.directory is not None
    assert second.directory is not None
    (first.directory / RECORD_NAME).write_text("{")
    newer = (second.directory / RECORD_NAME).read_text().replace(
        f'"schema_version": {second.schema_version}', '"schema_version": 99'
    )  # fmt: skip
    (second.directory / RECORD_NAME).write_text(newer)
    done = nnbench("-m", "seed=0,1", *TINY)
    assert done.returncode == 0
    assert "is damaged" in done.stdout
    assert "schema version 99" in done.stdout
    assert len(read_runs(tmp_path / "results")) == 2
    assert (second.directory / RECORD_NAME).read_text() == newer


def trials(folder: Path) -> Any:
    import optuna

    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/results/search.db")
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/results/search.db")


def test_a_search_goes_on(nnbench: Nnbench, tmp_path: Path) -> None:
    def command(n: int) -> list[str]:
        space = ["schedule.lr=tag(log, interval(0.001, 1))", "arch.hidden=choice([4],[8])"]
        fixed = ["schedule=constant", "data.val_fraction=0.2", "seed=0,1"]
        return ["-m", f"search.trials={n}", *space, *fixed, *TINY]

    assert nnbench(*command(2)).returncode == 0
    done = nnbench(*command(4))
    assert done.returncode == 0, done.stderr
    assert "2 of 4 trials are done, by val_loss" in done.stdout
    study = trials(tmp_path)
    assert len(study.trials) == 4
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 8
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
    third = nnbench(*command(4))
    assert "4 of 4 trials are done" in third.stdout
    assert len(read_runs(tmp_path / "results")) == 8


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


def test_where_results_are_tracked_makes_no_other_run(nnbench: Nnbench, tmp_path: Path) -> None:
    """Finished runs are taken, certified and mirrored, though asked for in other words."""
    pytest.importorskip("torch")
    words = ["-m", "backend=numpy,torch", *TINY[:-1]]
    assert nnbench(*words, "tracking=local", "parity=false", "checkpoint.keep=1").returncode == 0
    done = nnbench(*words, "order=given")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs are finished already" in done.stdout
    assert "parity pass: torch against numpy" in " ".join(done.stdout.split())
    assert_mirrored(tmp_path, read_runs(tmp_path / "results"))
