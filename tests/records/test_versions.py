"""Records of every older version of run.json, made by the code of their time."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.errors import ResultsError
from nnbench.records.folder import Folder
from nnbench.records.run import SCHEMA_VERSION, RunResult
from nnbench.sweeps.plan import Planner
from nnbench.training import checkpoint
from support import TESTS
from support.commands import here

ARCHIVE = TESTS / "records" / "fixtures" / "versions.tar.gz"
VERSIONS = range(1, 6)
ASKED = [
    "data=digits", "arch=mlp", "arch.hidden=[4]", "schedule=constant", "loss=cross_entropy",
    "batch_size=32", "backend=numpy", "seed=1", "tracking=local",
]  # fmt: skip


@pytest.fixture(params=VERSIONS)
def results(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path / "versions" / str(request.param))
    return Path("results")


def of_version(results: Path) -> int:
    return int(results.resolve().parent.name)


def test_the_current_version_is_the_next_one() -> None:
    assert max(VERSIONS) + 1 == SCHEMA_VERSION


def test_it_is_read_and_listed(results: Path) -> None:
    folder = Folder(results)
    runs = folder.runs()
    assert folder.problems == []
    assert [run.schema_version for run in runs] == [of_version(results)] * 2
    assert [run.status for run in runs] == ["finished", "killed"]
    assert runs[0].kept is not None
    listed = here(["ls"])
    assert all(run.run_id[:8] in listed.stdout for run in runs)
    for run in runs:
        assert here(["show", run.run_id]).returncode == 0


def test_whatever_is_written_again_has_the_newest_version_and_is_read(results: Path) -> None:
    """As `sync` and certificates do."""
    for run in Folder(results).runs():
        dataclasses.replace(run, tracking={"mlflow_run_id": "m"}).write()
        assert run.directory is not None
        stored = json.loads((run.directory / "run.json").read_text())
        assert stored["schema_version"] == SCHEMA_VERSION
        again = RunResult.read(run.directory)
        assert again.tracking == {"mlflow_run_id": "m"}
        assert dataclasses.replace(again, tracking=run.tracking) == dataclasses.replace(
            run, schema_version=SCHEMA_VERSION
        )


def test_a_synced_record_is_one_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    for version in VERSIONS:
        shutil.copytree(f"versions/{version}/results/runs", "results/runs", dirs_exist_ok=True)
    before = Folder(Path("results")).runs()
    assert len(before) == 2 * len(VERSIONS)
    done = here(["sync", "--all"])
    assert done.returncode == 0, done.stderr
    folder = Folder(Path("results"))
    after = folder.runs()
    assert folder.problems == []
    assert [run.run_id for run in after] == [run.run_id for run in before]
    assert all(run.tracking["mlflow_run_id"] for run in after)
    assert [run.epochs for run in after] == [run.epochs for run in before]


def test_a_stopped_run_is_resumed(results: Path) -> None:
    """Its code is not today's, which alone keeps it from being resumed: that is put aside."""
    stopped = Folder(results).runs()[-1]
    assert stopped.directory is not None
    epochs = len(stopped.epochs) + 2
    cell = Cell(compose([*ASKED, "epochs=30000"]).values | {"epochs": epochs})
    planner = Planner(results)
    config = stopped.config | {"epochs": epochs}
    kept = dataclasses.replace(stopped, config=config, fingerprint=planner.fingerprint(cell))
    kept.write()
    start, damaged = checkpoint.latest(stopped.directory)
    assert (start is not None) == (of_version(results) >= 4)
    assert damaged == []
    done = here([*ASKED, f"epochs={epochs}"])
    assert done.returncode == 0, done.stderr
    assert "Resuming 1 stopped run" in done.stdout
    run = RunResult.read(stopped.directory)
    assert run.status == "finished"
    assert run.epochs[: len(stopped.epochs)] == stopped.epochs
    assert len(run.epochs) == epochs
    assert run.resumed == (start.epoch if start else 0,)


def test_a_newer_one_is_not_guessed_at(results: Path) -> None:
    run = Folder(results).runs()[0]
    dataclasses.replace(run, schema_version=SCHEMA_VERSION + 1).write()
    assert run.directory is not None
    with pytest.raises(ResultsError, match="Use the newer nnbench"):
        RunResult.read(run.directory)
