"""Notebooks run from the first cell to the last, in an empty folder, and show what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from support import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PATIENCE = 600


def shown(cell: Any) -> str:
    return "".join(
        str(part)
        for output in cell.outputs
        for part in (output.get("text", ""), *(output.get("data") or {}).values())
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": tmp_path}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        assert shown(cell), cell.source
    if path.stem in LESSONS:
        LESSONS[path.stem](*map(shown, code))
    if path.stem == "first_steps":
        run, sweep, runs, report, why, mine, guessed = map(shown, code)
        assert "test accuracy" in run
        assert "numpy b32 s0 digits: finished, test accuracy" in run
        assert "6 of 6 runs" in sweep
        assert "[6/6] " in sweep
        assert "1 of 6 runs already finished" in sweep
        assert "<table" in runs
        assert "numpy" in report
        assert "init" in why
        assert "test accuracy" in mine
        assert "mine.csv read as: fields separated by semicolons" in mine
        assert "'classes': ['large', 'small']" in guessed


def backpropagation(*cells: str) -> None:
    forward, loss, slopes = cells[2], cells[3], cells[6]
    assert float(forward.split(" = ")[1]) == pytest.approx(0.0217, abs=1e-4)
    before, blind = re.findall(r"loss ([\d.]+) +knows nothing: ([\d.]+)", loss)[0]
    assert float(before) > float(blind)  # exercise 2: worse than knowing nothing
    found = re.findall(r": (-?[\d.]+), backpropagation says (-?[\d.]+)", slopes)
    far = [abs(float(a) - float(b)) for a, b in found]
    assert far[1] < far[0]
    assert far[1] < far[2]
    assert "behaves like: the derivative of the activation is taken at its output" in cells[8]


def faster(*cells: str) -> None:
    sweep, parity, times, verdicts, steps = cells
    assert "12 of 12 runs" in sweep
    assert parity.count("parity agrees") == 2
    assert "numpy" in times
    assert verdicts.count("torch against numpy (batch_size=") == 2
    assert steps.count("microseconds a step") == 4


def published(*cells: str) -> None:
    _, claims, verdicts, why = cells
    assert "seeds 0, 1" in claims
    assert "not as published" in claims
    assert [line.split(":")[0] for line in verdicts.splitlines() if line.startswith("nva")] == [
        *("nva-1c", "nva-1d", "nva-2b", "nva-2e")
    ]
    assert "epochs" in why
    assert "backend" in why


LESSONS = {each.__name__: each for each in (backpropagation, faster, published)}


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    source = "import nnbench\nnnbench.run(['backend=nump'])"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = NotebookClient(
        notebook, timeout=PATIENCE, allow_errors=True, resources={"metadata": {"path": tmp_path}}
    )
    (cell,) = client.execute().cells
    (output,) = cell.outputs
    assert output["output_type"] == "error"
    (line,) = output["traceback"]
    assert line.startswith("nnbench: Received backend=nump; must be one of ")
