"""Other data, another source, another version: what `explain`, `report` and `claims` say first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench.records.folder import read_runs
from nnbench.records.run import RunResult
from nnbench.records.text import digest
from support import TESTS
from support.commands import TINY, Nnbench, here

Done = subprocess.CompletedProcess[str]
SOURCE = TESTS.parent / "src"
NPZ = ["data=npz", "data.path=a.npz", "epochs=3", "batch_size=8", "tracking=local"]
OWN = {
    "own/backend/mine.yaml": """
# NumPy, by somebody else
name: mine
_target_: mine.Mine
execution: reference
executions: [reference]
packages: [theirs]
""",
    "own/mine.py": """
import theirs
from nnbench.backends.numpy import NumpyTrainer

class Mine(NumpyTrainer):
    pass
""",
    "lib/theirs/__init__.py": "",
    "lib/theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
}


def first_line(done: Done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def write_data(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.random((60, 4), dtype=np.float32)
    y = (x[:, 0] > 0.5) if seed == 0 else generator.integers(0, 2, 60)
    y = y.astype(np.int64)
    np.savez("a.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])


def edit(run: RunResult, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what is on record of a run; its digest fits."""
    assert run.directory is not None
    path = run.directory / "run.json"
    values = json.loads(path.read_text())
    change(values)
    text = json.dumps(values | {"digest": ""}, indent=1)
    before, key, after = text.encode().rpartition(b'"digest": "')
    path.write_bytes(b"%b%b%b%b" % (before, key, digest(before), after))


def test_data_that_was_overwritten_between_two_runs(nnbench: Nnbench, tmp_path: Path) -> None:
    write_data(0)
    assert nnbench(*NPZ, "name=A").returncode == 0
    write_data(1)
    assert nnbench(*NPZ, "name=B").returncode == 0
    old, new = (run.data["digests"]["payload"][:12] for run in read_runs(tmp_path / "results"))
    done = nnbench("explain", "A", "B")
    said = f"A and B differ in what is recorded besides their settings: data: {old} against {new}."
    assert first_line(done) == said
    assert (
        f"A cannot be repeated to its recorded figures: its data have changed: digest {new} (was "
        f"{old})." in done.stdout
    )
    assert "B cannot be repeated" not in done.stdout
    # With a setting between them too, the ends are run again, and the old one is another now.
    assert nnbench(*NPZ, "name=C", "shuffle=true").returncode == 0
    done = nnbench("explain", "A", "C")
    assert first_line(done).startswith("A and C differ in what is recorded besides their settings")
    repeated = ["A was recorded with test accuracy", "A was recorded with test loss"]
    assert any(words in done.stdout for words in repeated)
    assert done.stdout.index("A was recorded with") < done.stdout.index("From A to C")
    assert "A cannot be repeated" in (tmp_path / "results" / "explain" / "explain.md").read_text()
    (tmp_path / "a.npz").unlink()
    done = nnbench("explain", "A", "B")
    assert "A cannot be repeated to its recorded figures: " in done.stdout


def test_a_third_partys_edit_and_its_new_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real second version of a package: as importlib.metadata finds it, not as a record says."""
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'lib'}:{SOURCE}")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.syspath_prepend(tmp_path / "lib")

    def nnbench(*words: str) -> Done:
        return here([*words, "--config-dir", "own"])

    sweep = ["-m", "backend=mine", "seed=0,1", *TINY]
    assert nnbench(*sweep).returncode == 0
    mine = tmp_path / "own" / "mine.py"
    mine.write_text(mine.read_text() + "\n# another formula\n")
    again = nnbench("-m", "backend=mine", "seed=0", *TINY, "name=edited")
    told = "New run, not the finished one of the same settings: another source of mine"
    assert first_line(again) == told
    old = next(run for run in read_runs(tmp_path / "results") if run.config["seed"] == 0)
    line = first_line(nnbench("explain", old.run_id, "edited"))
    assert line.startswith(f"{old.run_id} and edited differ in what is recorded besides")
    assert "backend_source.digest: " in line
    assert "differ besides their settings in backend_source.digest" in first_line(nnbench("report"))
    (tmp_path / "lib" / "theirs-1.0.dist-info").rename(tmp_path / "lib" / "theirs-1.1.dist-info")
    metadata = tmp_path / "lib" / "theirs-1.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    newer = nnbench("-m", "backend=mine", "seed=0", *TINY, "name=newer")
    assert "theirs=1.1 (was 1.0)" in first_line(newer)
    line = first_line(nnbench("explain", "edited", "newer"))
    assert "versions.theirs: 1.0 against 1.1 (another version may compute otherwise)" in line


@pytest.mark.slow
def test_a_changed_version_on_record(nnbench: Nnbench, tmp_path: Path) -> None:
    study = tmp_path / "experiments" / "ask"
    study.mkdir(parents=True)
    (study / "study.yaml").write_text(
        "title: Ask\nquestion: Is one as good as the other?\n"
        "common: {data: synthetic, data.samples: 200, epochs: 2, batch_size: 32, tracking: local}\n"
        "cases:\n  one: {backend: numpy}\n  two: {backend: numpy_reference}\n"
        "claims:\n  - {id: a-1, statement: equal, unit: points, claimed: 0, within: 5,\n"
        "     measure: {matched: one.accuracy - two.accuracy}}\n"
    )
    first = nnbench("claims", "ask", "--seeds", "2")
    assert first.returncode == 0, first.stderr
    assert "Caution" not in first.stdout
    runs = read_runs(tmp_path / "results")
    one, two = (
        next(r for r in runs if r.config["case"] == f"ask/{case}" and r.config["seed"] == 1)
        for case in ("one", "two")
    )
    edit(two, lambda values: values["machine"]["versions"].update(numpy="1.26.0"))
    said = "versions.numpy"
    assert first_line(nnbench("report")) == (
        f"Caution: runs compared here differ besides their settings in {said}."
    )
    done = nnbench("explain", one.run_id, two.run_id)
    assert "versions.numpy: " in first_line(done)
    assert "against 1.26.0 (another version may compute otherwise)." in first_line(done)
    assert f"{two.run_id} cannot be repeated to its recorded figures: numpy=" in done.stdout
    line = first_line(nnbench("claims", "ask", "--seeds", "2", "--recorded"))
    assert line.startswith("ask: Caution: 1 of 4 runs cannot be repeated to the recorded figures: ")
    assert "(was 1.26.0)" in line
    done = nnbench("claims", "ask", "--seeds", "2", "--recorded", "--out", "claims.md")
    assert "Caution: versions.numpy: " in (tmp_path / "claims.md").read_text()


def test_an_end_that_diverged_or_was_stopped(nnbench: Nnbench, tmp_path: Path) -> None:
    wild = ["loss=mse", "arch.output_activation=linear", "schedule=constant", "schedule.lr=1e6"]
    assert nnbench(*TINY, "name=tame").returncode == 0
    nnbench(*TINY, *wild, "name=wild")
    tame, wild_run = read_runs(tmp_path / "results")
    assert wild_run.status == "diverged"
    done = nnbench("explain", "wild", "wild")
    assert first_line(done) == "wild diverged: its loss was no longer finite after 1 of 2 epochs."
    edit(tame, lambda values: values.update(status="failed"))
    done = nnbench("explain", "tame", "tame")
    assert first_line(done) == "tame is no finished run (failed after 2 of 2 epochs)."


@pytest.mark.parametrize("words", [["seed=0", "seed=1"]])
def test_where_nothing_is_recorded_nothing_is_said(nnbench: Nnbench, words: list[str]) -> None:
    done = nnbench("explain", *words, *TINY[:-1])
    assert "besides" not in done.stdout
    assert "cannot be repeated" not in done.stdout
