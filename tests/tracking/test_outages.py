"""Tracking servers that stop, PostgreSQL, and eight processes on one fresh store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnbench.records.folder import read_runs
from support import ROOT
from support.commands import PATIENCE, Nnbench, begin, started, wait_for
from support.servers import Server
from support.tracking import assert_mirrored, client_of

pytestmark = pytest.mark.timeout(600)
OUTAGE_SECONDS = float(os.environ.get("NNBENCH_OUTAGE_SECONDS", "15"))
EPOCHS = "backend=numpy", "batch_size=8", "schedule=constant", "schedule.lr=0.01"


def epochs_at(uri: str) -> bool:
    client = client_of(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    return any(run.data.metrics for run in client.search_runs(experiments))


def beside_the_run(nnbench: Nnbench, results: Path, command: list[str]) -> float:
    """Return what a process takes besides its run where the server is there all the time.

    Starting, and bringing and checking thousands of metrics.
    """
    began = time.monotonic()
    done = nnbench(*command, "seed=1", f"results={results}")
    wall = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(results)
    return wall - run.phases.wall_seconds


@pytest.mark.slow
@pytest.mark.parametrize("returns", [True, False])
def test_a_server_that_stops_holds_nobody_up(
    server: Server, nnbench: Nnbench, tmp_path: Path, returns: bool
) -> None:
    """The run takes its normal time and 5 s at most; `nnbench sync` brings what is missing."""
    epochs = f"epochs={round(120 * (OUTAGE_SECONDS + 15))}"
    command = [*EPOCHS, epochs, f"tracking.uri={server.uri}"]
    beside = beside_the_run(nnbench, tmp_path / "before", command)
    began = time.monotonic()
    process = begin(tmp_path, command)
    started(process, tmp_path)
    wait_for(lambda: epochs_at(server.uri), process)
    server.stop()
    stopped = time.monotonic()
    if returns:
        while time.monotonic() < stopped + OUTAGE_SECONDS and process.poll() is None:
            time.sleep(0.1)
        server.start()
    out, err = process.communicate(timeout=2 * PATIENCE)
    wall = time.monotonic() - began
    assert process.returncode == 0, out + err
    (run,) = read_runs(tmp_path / "results")
    assert run.status == "finished"
    own = run.phases.wall_seconds
    assert wall - own < beside + 5.0
    assert run.phases.track_seconds < 0.1 * own + 1.0
    if not returns:
        assert "nnbench sync" in err
        assert err.count("\n") == 1
        refused = nnbench("sync")
        assert refused.returncode == 1
        assert "did not take the run" in refused.stderr
        server.start()
    synced = nnbench("sync")
    assert synced.returncode == 0, synced.stderr
    runs = [*read_runs(tmp_path / "results"), *read_runs(tmp_path / "before")]
    assert_mirrored(client_of(server.uri), runs)
    assert "Nothing is missing" in nnbench("sync").stdout


@pytest.mark.slow
def test_runs_recorded_locally_can_be_brought_later(
    server: Server, nnbench: Nnbench, tmp_path: Path
) -> None:
    nnbench("-m", "seed=0,1", *EPOCHS, "epochs=3", "tracking=local")
    assert "Nothing is missing" in nnbench("sync").stdout
    done = nnbench("sync", "--all", "--uri", server.uri)
    assert done.returncode == 0, done.stderr
    assert_mirrored(client_of(server.uri), read_runs(tmp_path / "results"))


def eight_runs(folder: Path, *words: str) -> None:
    """Start eight runs at the same time; all must succeed without a word on stderr."""
    processes = [begin(folder, [*EPOCHS, "epochs=5", f"seed={seed}", *words]) for seed in range(8)]
    for process in processes:
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + err
        assert err == ""


@pytest.mark.slow
def test_eight_runs_on_a_fresh_store(tmp_path: Path) -> None:
    eight_runs(tmp_path)
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 8
    assert_mirrored(client_of(tmp_path / "results"), runs)


@pytest.mark.slow
def test_eight_runs_on_postgresql(tmp_path: Path, postgres: str) -> None:
    eight_runs(tmp_path, f"tracking.uri={postgres}")
    assert_mirrored(client_of(postgres), read_runs(tmp_path / "results"))


@pytest.mark.slow
def test_a_sweep_on_slurm(tmp_path: Path) -> None:
    """`scripts/slurm_check` says itself whether it went well."""
    if any(shutil.which(name) is None for name in ("slurmctld", "slurmd", "munged")):
        pytest.skip("SLURM is not installed (Debian: apt install slurm-wlm munge)")
    script = ROOT / "scripts" / "slurm_check"
    done = subprocess.run(
        [sys.executable, script, "--out", tmp_path / "slurm.md"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Runs that went on from a checkpoint" in (tmp_path / "slurm.md").read_text()
