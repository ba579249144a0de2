"""A results folder of version 0.1.0 is read, listed, reported, and found by its settings."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from nnbench.config.composition import compose
from nnbench.records import identity
from nnbench.records.folder import Folder, read_runs
from nnbench.training import checkpoint
from support import TESTS
from support.commands import Nnbench

ARCHIVE = TESTS / "records" / "fixtures" / "results_0.1.0.tar.gz"
COMMON = [
    "data=digits", "arch=mlp", "arch.hidden=[8]", "schedule=constant", "tracking=local"
]  # fmt: skip
SHORT = [*COMMON, "loss=cross_entropy", "epochs=3", "batch_size=32"]
STOPPED = [*COMMON, "loss=cross_entropy", "epochs=20000", "backend=numpy_reference"]
ASKED = {
    "rd34552312938": [*SHORT, "backend=numpy", "seed=0"],
    "ra9ff752ea864": [*SHORT, "backend=torch", "seed=0"],
    "r7e78608a087e": [*SHORT, "backend=numpy", "seed=1"],
    "r22cc32648700": [*SHORT, "backend=torch", "seed=1"],
    "r3b964a0a7b78": [
        *COMMON, "loss=mse", "arch.output_activation=linear", "schedule.lr=1e6", "epochs=3",
        "batch_size=32",
    ],
    "rea7ce53d9465": [*SHORT, "backend=torch", "semantics=native"],
    "r33009997fb60": STOPPED,
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "results"


def test_every_record_is_read(results: Path) -> None:
    runs = read_runs(results)
    assert Counter(run.status for run in runs) == {"finished": 5, "diverged": 1, "killed": 1}
    assert {run.run_id for run in runs} == ASKED.keys()
    for run in runs:
        assert run.machine["versions"]["nnbench"] == "0.1.0"
        assert run.kept is not None
    twins = Folder(results, "parity").runs()
    assert [run.status for run in twins] == ["finished"] * 2
    certified = {run.run_id: run.parity for run in runs if run.parity}
    assert {each["outcome"] for each in certified.values()} == {"pass"}
    assert len(certified) == 2


def test_the_same_words_still_mean_the_same_run(results: Path) -> None:
    """Composed today, each configuration has the fingerprint that was recorded.

    But for what the record says of source, versions and machine, of which it is made too.
    """
    for run in read_runs(results):
        cell = compose(ASKED[run.run_id])
        assert identity.deciding(cell.values) == identity.deciding(run.config)
        payload = run.data["digests"]["payload"]
        assert identity.fingerprint(cell.values, run.machine, payload, None) == run.fingerprint
        other = cell.values | {"batch_size": 7}
        assert identity.fingerprint(other, run.machine, payload, None) != run.fingerprint


def test_it_is_listed_shown_and_reported(nnbench: Nnbench, results: Path) -> None:
    listed = nnbench("ls", "--last", "0")
    assert listed.returncode == 0, listed.stderr
    assert "left out" not in listed.stdout + listed.stderr
    for run_id in ASKED:
        assert run_id[:8] in listed.stdout
    shown = nnbench("show", "r33009997fb60")
    assert shown.returncode == 0, shown.stderr
    assert "constant: killed" in " ".join(shown.stdout.split())
    done = nnbench("report")
    assert done.returncode == 0, done.stderr
    text = " ".join((results / "report" / "report.md").read_text().split())
    assert "parity pass: torch against numpy" in text
    assert "left out, killed: numpy reference b1 s0" in text
    for run_id in ASKED:
        assert run_id in text


def test_the_stopped_run_is_planned_anew_and_nothing_is_changed(
    nnbench: Nnbench, results: Path
) -> None:
    """Another version computes with other code: its runs are never taken for our own."""
    before = {path: path.read_bytes() for path in results.rglob("*.json")}
    plan = nnbench(*STOPPED, "--plan")
    assert plan.returncode == 0, plan.stderr
    text = " ".join(plan.stdout.split())
    assert "1 to run" in text
    assert {path: path.read_bytes() for path in results.rglob("*.json")} == before
    stopped = next(run for run in read_runs(results) if run.status == "killed")
    assert stopped.directory is not None
    start, damaged = checkpoint.latest(stopped.directory)
    assert damaged == []
    assert start is not None
    assert (start.epoch, start.step) == (25, 0)
    assert len(stopped.epochs) == 25


def test_a_record_that_was_changed_is_told(nnbench: Nnbench, results: Path) -> None:
    record = next(results.glob("runs/torch-b32-s1-*/run.json"))
    values = json.loads(record.read_text())
    values["epochs"][0]["test_accuracy"] = 0.99
    record.write_text(json.dumps(values, indent=1))
    assert len(read_runs(results)) == 6
    assert "its digest does not match" in " ".join(nnbench("ls").stderr.split())
