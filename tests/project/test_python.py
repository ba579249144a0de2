"""nnbench from Python: what each function returns, and what an import costs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nnbench
from nnbench.errors import ConfigError
from support.commands import TINY


def test_no_package_has_the_name_of_a_function() -> None:
    names = set(nnbench.__all__) - {"__version__"}
    assert names == {"claims", "diagnose", "explain", "parity", "report", "run", "runs", "sweep"}
    for name in names:
        assert callable(getattr(nnbench, name))
        assert importlib.util.find_spec(f"nnbench.{name}") is None


def test_importing_it_is_light() -> None:
    code = (
        "import sys, nnbench; nnbench.sweep; "
        "print({'numpy', 'pandas', 'hydra', 'torch', 'mlflow', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_overrides_are_a_list_or_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = " ".join([*TINY, "'name=two words'"])
    assert nnbench.run(text).name == nnbench.run([*TINY, "name=two words"]).name
    wrong: list[tuple[Any, str]] = [
        ("device=0", "Received device=0; must be one of auto, cpu, cuda"),
        ("name='x", "Received name='x; a quotation mark is not closed"),
        ("name=x\\", "Received name=x\\; it ends in a backslash"),
        (["batch_size", 32], "Received 32; overrides are texts, as 'batch_size=32'"),
        ({"batch_size": 32}, "Received 'batch_size'; must be KEY=VALUE"),
    ]
    for given, line in wrong:
        with pytest.raises(ConfigError, match="^" + re.escape(line)):
            nnbench.run(given)
    (tmp_path / "model.py").write_text("def build(): ...\n")
    with pytest.raises(ConfigError, match=r"^Received name='x; a quotation mark is not closed$"):
        nnbench.explain("name='x", "backend=numpy")
    with pytest.raises(ConfigError, match=r"^Received name='x; a quotation mark is not closed$"):
        nnbench.diagnose("model.py:build", "name='x")


def test_a_sweep_and_what_is_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One backend of two breaks in its worker; the other's runs are there, and compared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "broken.py").write_text(
        "class Broken:\n def __init__(self, task, splits): raise RuntimeError('it broke')\n"
    )
    broken = "backend._target_=broken.Broken"
    with pytest.raises(ConfigError, match="a sweep takes a list of values"):
        nnbench.sweep(["schedule=constant", "schedule.lr=interval(0.1,1)", *TINY])
    with pytest.raises(ConfigError, match="seed=a; must be an integer"):
        nnbench.sweep(["seed=a,1", *TINY])
    found = nnbench.sweep(["seed=0,1", "batch_size=16,32", *TINY[:3], TINY[4]])
    assert repr(found) == f"<SweepResult {found.name}: 4 of 4 runs>"
    assert (found.left, found.failures, found.signal) == (0, (), None)
    table = found.comparison
    assert list(table.columns[:3]) == ["seed", "batch_size", "status"]
    assert list(table.index) == [run.name for run in found.runs]
    again = nnbench.sweep(["seed=0,1", "batch_size=16,32", *TINY[:3], TINY[4]])
    assert [run.run_id for run in again.runs] == [run.run_id for run in found.runs]
    table = nnbench.runs()
    assert set(table["name"]) == {run.name for run in found.runs}
    assert set(table.index) == {run.run_id for run in found.runs}
    assert set(table["backend"]) == {"numpy"}
    assert table.shape == (4, 11)
    everything = nnbench.runs(all=True)
    assert set(everything["name"]) == {run.name for run in found.runs}
    assert {"optimizer.name", "train_loss", "wall_seconds"} <= set(everything.columns)
    assert "<table" in found._repr_html_()
    failed = nnbench.sweep(["seed=0,5", broken, *TINY])
    assert [type(each.error).__name__ for each in failed.failures] == ["RunFailed"] * 2
    assert repr(failed).endswith(": 0 of 2 runs, 2 failed>")
    report = nnbench.report(["batch_size=16"])
    assert len(report.frames["runs"]) == 2
    assert "<html" in report.html()
    assert report._repr_html_().startswith("<iframe srcdoc=")
    assert report.markdown().startswith("# nnbench report")
    run = found.runs[0]
    assert run.name in run._repr_html_()
    assert repr(run).startswith(f"<RunResult {run.run_id} {run.name}: finished, test accuracy ")
    assert repr(run).endswith("%>")


@pytest.mark.slow
def test_what_an_explanation_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    same = nnbench.explain("seed=1", "seed=1", TINY)
    assert repr(same) == "<Explanation From seed=1 to seed=1: nothing>"
    found = nnbench.explain("loss=bce", "loss=mse", TINY)
    assert [change.name for change in found.changes] == ["loss"]
    accuracy, time = found.gaps
    assert (accuracy.figure, time.figure) == ("test accuracy", "time per epoch")
    assert found.sentences()[0].startswith("test accuracy: ")
    page = found.write(tmp_path / "out")
    assert page.name == "explain.html"
    assert "<title>From loss=" in page.read_text()
    told = page.with_suffix(".md").read_text()
    assert all(line in told for line in found.markdown().splitlines())
    alone = nnbench.explain("backend=numpy", "backend=numpy_reference", TINY)
    assert alone.agreement is not None
    assert [each.outcome for each in alone.agreement.certificates] == ["agrees"]


@pytest.mark.slow
def test_a_model_of_this_process_is_diagnosed_and_left_as_it_is(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)]
    model = torch.nn.Sequential(*layers)
    rule = torch.optim.SGD(model.parameters(), 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = (
        "arch=mlp arch.hidden=[16] loss=cross_entropy optimizer=sgd optimizer.momentum=0.9 "
        "schedule=constant schedule.lr=0.1"
    )
    found = nnbench.diagnose(
        (model, rule, torch.nn.CrossEntropyLoss()),
        other,
        ["data=digits", "data.train_samples=200", "epochs=2", "batch_size=32"],
        seeds=2,
        results=tmp_path,
    )
    assert found.understood
    assert [str(each) for each in found.differences] == ["sgd momentum: 0.0 against 0.9"]
    assert all(before[name].equal(value) for name, value in model.state_dict().items())
    assert not rule.state
