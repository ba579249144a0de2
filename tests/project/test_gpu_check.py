"""The proof on a GPU, run where there is none, in an environment that has hardly anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from support import ROOT

GPU_CHECK = ROOT / "scripts" / "gpu_check"
LEFT_OUT = (
    *("hydra", "omegaconf", "mlflow", "keras", "tensorflow", "mlxtend", "pooch", "threadpoolctl"),
    *("nnbench", "_editable_impl", "tensorboard"),
)


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """Return the interpreter of an environment without the packages in `LEFT_OUT`."""
    home = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (site,) = home.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = entry.name.lower()
        if not name.startswith(LEFT_OUT) and not name.endswith(".pth"):
            (site / entry.name).symlink_to(entry)
    return home / "bin" / "python"


def environment() -> dict[str, str]:
    """Return this environment without what leads to the packages of this one."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.slow
def test_gpu_check_needs_neither_hydra_nor_mlflow_nor_keras(
    bare_python: Path, tmp_path: Path
) -> None:
    names = ("hydra", "mlflow", "keras", "tensorflow")
    gone = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    asked = subprocess.run(
        [bare_python, "-c", gone], capture_output=True, text=True, check=True, env=environment()
    )
    assert asked.stdout.strip() == "[]"
    done = subprocess.run(
        [bare_python, GPU_CHECK, "--device", "cpu", "--quick", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=290,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first = done.stdout.splitlines()[0]
    for name in names:
        assert name in first.partition("lacks")[2]
    said = json.loads((tmp_path / "out" / "gpu.json").read_text())
    outcomes = {part["name"]: {row["outcome"] for row in part["rows"]} for part in said["parts"]}
    assert outcomes["kit"] == {"passed"}
    assert "measured" in outcomes["timings"]
    assert outcomes["engines"] == outcomes["commands"] == {"skipped"}
    assert "No module" not in done.stderr


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_ends_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, GPU_CHECK, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 2, done.stdout
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith("gpu_check: Received device=cuda; ") for line in lines)
    assert all("use device=cpu" in line for line in lines)
    assert not (tmp_path / "gpu.md").exists()
