"""Notebooks run from the first cell to the last, in an empty folder, and show what they say."""

from __future__ import annotations

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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": tmp_path}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        assert shown(cell), cell.source
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
