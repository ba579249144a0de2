"""The command line as a user has it: fresh processes, exit codes, one line per mistake."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from safetensors.numpy import load_file

from nnbench.config.installation import VERSION
from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from support import SOURCE
from support.commands import PATIENCE, TINY, Nnbench, begin, started, wait_for

HEAVY = ("hydra", "omegaconf", "numpy", "pandas", "torch", "tensorflow", "mlflow")


def only_run(folder: Path) -> RunResult:
    (run,) = read_runs(folder / "results")
    return run


def test_a_run_leaves_a_complete_record(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench(*TINY, "arch.hidden=[7]")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for word in ("test", "generalization gap", "epoch time", "results/runs/numpy-b32-s0"):
        assert word in done.stdout
    run = only_run(tmp_path)
    assert run.status == "finished"
    assert run.parameters == 20 * 7 + 7 * 3
    assert run.config["backend"]["name"] == "numpy"
    assert [e.epoch for e in run.epochs] == [0, 1]
    assert run.directory is not None
    names = {p.name for p in run.directory.iterdir()}
    assert names == {
        "run.json",
        "config.yaml",
        "weights.safetensors",
        "predictions.npz",
        "trajectory.npz",
        "worker.log",
        ".lock",
    }
    values = json.loads((run.directory / "run.json").read_text())
    assert {f"{n}_seconds" for n in ("import", "data", "build", "warm_up", "train", "evaluate")} | {
        "track_seconds",
        "wall_seconds",
    } == set(values["phases"])
    assert yaml.safe_load((run.directory / "config.yaml").read_text()) == run.config
    assert load_file(run.directory / "weights.safetensors")["0.kernel"].shape == (20, 7)
    predictions = np.load(run.directory / "predictions.npz")
    hits = predictions["predicted"] == predictions["targets"]
    assert run.kept is not None
    assert hits.mean() == run.kept.test_accuracy
    np.testing.assert_allclose(
        predictions["outputs"], 1 / (1 + np.exp(-predictions["logits"])), rtol=1e-6
    )


def test_phases_add_up_to_the_wall_time(nnbench: Nnbench, tmp_path: Path) -> None:
    nnbench(*TINY)
    phases = only_run(tmp_path).phases
    assert 0 <= phases.unattributed_seconds <= 0.1 * phases.wall_seconds


def test_the_same_command_gives_the_same_weights(nnbench: Nnbench, tmp_path: Path) -> None:
    for _ in range(2):
        nnbench(*TINY, "shuffle=true")
    a, b = read_runs(tmp_path / "results")
    assert a.fingerprint == b.fingerprint
    assert a.directory != b.directory
    assert a.directory is not None
    assert b.directory is not None
    first = (a.directory / "weights.safetensors").read_bytes()
    assert first == (b.directory / "weights.safetensors").read_bytes()
    nnbench(*TINY, "shuffle=true", "seed=1")
    *_, c = read_runs(tmp_path / "results")
    assert c.fingerprint != a.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["batch_sise=1"], "did you mean 'batch_size'?"),
        (["batch_size=0"], "must be at least 1"),
        (["backend=jax"], "must be one of forgenn, keras, keras_fit, keras_graph"),
        (["device=cuda", *TINY], "device=cpu"),
        (["init=from_run", "init.run=nothing", *TINY], "no run of that name"),
        (["-m", "backend=numpy", "batch_size=1,0"], "Received batch_size=0"),
        (["-m", "backend=numpy,jax"], "Received backend=jax"),
        (["-m", "experiment=glob(nothing*)"], "This sweep has no run"),
        (["-m", "tracking=local,mlflow"], "A sweep has one tracking"),
        (["trian"], "Unknown command 'trian'"),
        (["delete", "x"], "Unknown command 'delete'; did you mean 'rm'?"),
        (["version"], "Try: nnbench --version"),
        (["run", "batch_size=32"], "Try: nnbench batch_size=32"),
        (["data", "fecth"], "fetch"),
        (["data=csv", "data.path=nothing.csv", "tracking=local"], "nothing.csv"),
        (["results=/proc/nnbench", *TINY], "results=DIR"),
        (["study", "nothing"], "create_nn_from_numpy"),
        (["backend.execution=turbo"], "backend=numpy has fused, reference"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_nothing(
    nnbench: Nnbench, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = nnbench(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout == ""
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []


def test_a_list_of_values_that_is_replaced_is_a_note(nnbench: Nnbench) -> None:
    done = nnbench("-m", "--plan", "seed=0,1,2", "epochs=2", "seed=3", "epochs=1")
    assert done.returncode == 0
    assert done.stderr.strip() == "note: seed=3 replaces seed=0,1,2"


def test_a_missing_package_names_the_extra(nnbench: Nnbench, tmp_path: Path) -> None:
    (tmp_path / "hide.py").write_text("")
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import sys, importlib.abc\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
    )
    done = nnbench("backend=torch", *TINY, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "the package torch is not installed" in done.stderr
    assert "[torch]" in done.stderr
    assert "install nnbench" not in done.stderr


def test_a_diverging_run_is_a_result(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench(
        *TINY, "arch=mlp", "loss=mse", "schedule=constant", "schedule.lr=1e30", "epochs=5",
        "arch.output_activation=linear",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "diverged" in done.stdout
    run = only_run(tmp_path)
    assert run.status == "diverged"
    assert len(run.epochs) < 5


def test_a_sweep_compares_and_lets_backends_alternate(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench("-m", "backend=numpy,numpy_reference", "seed=0,1", *TINY)
    assert done.returncode == 0, done.stderr
    runs = list(read_runs(tmp_path / "results"))
    order = [(r.config["backend"]["execution"], r.config["seed"]) for r in runs]
    assert order == [("fused", 0), ("reference", 0), ("reference", 1), ("fused", 1)]
    assert len({r.sweep for r in runs}) == 1
    assert " dW " in done.stdout
    assert "parity agrees: numpy reference against numpy, float32, 2 pairs of runs" in done.stdout


ENDLESS = [*TINY, "epochs=100000"]


def worker_of(parent: subprocess.Popen[str]) -> psutil.Process:
    (worker,) = psutil.Process(parent.pid).children()
    return worker


def test_a_killed_worker_is_recorded_as_killed(tmp_path: Path) -> None:
    parent = begin(tmp_path, ENDLESS)
    started(parent, tmp_path)
    worker_of(parent).send_signal(signal.SIGKILL)
    _, stderr = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 1
    assert "killed by signal 9" in stderr
    assert only_run(tmp_path).status == "killed"


def test_interrupting_ends_the_worker_and_keeps_what_was_done(tmp_path: Path) -> None:
    parent = begin(tmp_path, ENDLESS)
    started(parent, tmp_path)
    worker = worker_of(parent)
    parent.send_signal(signal.SIGINT)
    _, stderr = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 130
    assert stderr.strip() == "nnbench: Stopped. Run the same command again to resume."
    assert not worker.is_running()
    assert only_run(tmp_path).status == "killed"


def test_interrupting_before_the_first_record_leaves_nothing(tmp_path: Path) -> None:
    """The backend tells when its worker is there, and builds nothing until it is asked to stop."""
    (tmp_path / "own" / "backend").mkdir(parents=True)
    (tmp_path / "own" / "backend" / "slow.yaml").write_text(
        "name: slow\n_target_: slow.Slow\nexecution: reference\nexecutions: [reference]\n"
    )
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "from nnbench.backends.numpy import NumpyTrainer\n"
        "class Slow(NumpyTrainer):\n"
        "    def __init__(self, task, splits):\n"
        "        pathlib.Path('there').touch()\n"
        "        while not pathlib.Path('asked').exists(): time.sleep(0.01)\n"
        "        super().__init__(task, splits)\n"
    )
    command = [*TINY, "--config-dir", "own", "backend=slow"]
    parent = begin(tmp_path, command, {"PYTHONPATH": f"{tmp_path}:{SOURCE}"})
    wait_for((tmp_path / "there").exists, parent)
    parent.send_signal(signal.SIGINT)
    wait_for(lambda: "stopping" in parent.stdout.readline(), parent)  # type: ignore[union-attr]
    (tmp_path / "asked").touch()
    assert parent.wait(timeout=PATIENCE) == 130
    parent.communicate()
    assert list(tmp_path.glob("results/runs/*")) == []


def test_the_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = begin(tmp_path, ENDLESS)
    started(parent, tmp_path)
    worker = worker_of(parent)
    parent.kill()
    parent.communicate()
    worker.wait(timeout=PATIENCE)


def test_a_disk_that_fills_up_keeps_what_was_written(tmp_path: Path) -> None:
    """The limit on file size stands in for the disk; run.json reaches it after some epochs."""
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'ulimit -f 24; exec {sys.executable} -m nnbench "$@"',
            "-",
            *TINY,
            "epochs=500",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Cannot write" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    kept = [run for run in read_runs(tmp_path / "results") if run.config["epochs"] == 500]
    assert len(kept) == 1
    # How many are on record depends on how often it was written: a share of the run's time.
    assert 1 <= len(kept[0].epochs) < 500


def test_help_is_for_people_and_loads_nothing_heavy(nnbench: Nnbench) -> None:
    done = nnbench("--help")
    assert done.returncode == 0
    for word in ("backend", "torch_default", "doctor", "batch_size: 1", "nnbench -m"):
        assert word in done.stdout
    assert loaded_by("--help") == "set()"


def loaded_by(*words: str, of: Sequence[str] = (*HEAVY, "rich")) -> str:
    """Return which of the packages `of` a command has loaded at its end."""
    code = (
        "import sys\nfrom nnbench.cli import main\n"
        f"try: main({[*words]})\nexcept SystemExit: pass\n"
        f"print(set({[*of]}) & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[-1]


def test_a_list_of_runs_loads_nothing_heavy(nnbench: Nnbench) -> None:
    """A thousand runs are listed in the time that NumPy and Hydra take to load."""
    nnbench(*TINY)
    assert loaded_by("ls", of=HEAVY) == "set()"
    assert loaded_by("ls", "numpy", of=HEAVY) == "set()"
    assert loaded_by("ls", of=["rich"]) == "{'rich'}", "what is loaded is seen"


def test_the_numpy_worker_loads_no_framework(tmp_path: Path) -> None:
    """Every module of parent and worker is listed by the interpreter itself."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nnbench", *TINY],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (log,) = tmp_path.glob("results/runs/*/worker.log")
    worker = log.read_text()
    assert "nnbench.training.runner" in worker
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in worker.splitlines()}
    assert not loaded & {"torch", "tensorflow", "keras", "hydra", "omegaconf", "mlflow", "pandas"}
    parent = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "hydra" in parent
    assert not parent & {"torch", "tensorflow", "keras"}


def test_ls_lists_what_is_recorded(nnbench: Nnbench, tmp_path: Path) -> None:
    assert "No runs recorded" in nnbench("ls").stdout
    nnbench(*TINY)
    run = only_run(tmp_path)
    assert run.run_id[:8] in nnbench("ls").stdout
    assert run.run_id[:8] in nnbench("ls", "numpy", "s0", "--status", "finished").stdout
    assert "No run in results matches (1 recorded)." in nnbench("ls", "torch").stdout


def test_show_and_rm(nnbench: Nnbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nnbench("-m", "seed=0,1", *TINY)
    first, second = read_runs(tmp_path / "results")
    shown = nnbench("show", first.run_id[:5])
    assert "test accuracy" in shown.stdout
    again = shown.stdout.split("Run it again:")[1].replace("\\\n", " ")
    done = nnbench(*shlex.split(again)[1:], "tracking=local", "--plan")
    assert "1 finished" in done.stdout, "the command is the run's own"
    wrong = nnbench("show", "nump b32 s0")
    assert wrong.returncode == 2
    assert "no run of that name, id or folder" in wrong.stderr
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    unanswered = nnbench("rm", second.run_id)
    assert unanswered.returncode == 2
    assert "nothing is deleted; --yes asks nothing" in unanswered.stderr
    assert len(read_runs(tmp_path / "results")) == 2
    assert nnbench("rm", second.run_id, "--yes").returncode == 0
    (left,) = read_runs(tmp_path / "results")
    assert left.run_id == first.run_id


def test_version(nnbench: Nnbench) -> None:
    assert nnbench("--version").stdout == f"nnbench {VERSION}\n"


def test_more_threads_than_cores_are_said_and_recorded(nnbench: Nnbench, tmp_path: Path) -> None:
    done = nnbench(*TINY, "threads=512")
    assert done.returncode == 0, done.stderr
    assert "threads=512 on " in " ".join(done.stdout.split())
    (record,) = (tmp_path / "results" / "runs").glob("*/run.json")
    run = json.loads(record.read_text())
    assert (run["flags"][0]["name"], run["flags"][0]["threads"]) == ("crowded", 512)
    assert run["machine"]["threads"]["environment"]["OPENBLAS_NUM_THREADS"] == "512"
    assert run["peak_memory_bytes"] > 2**24
