"""The project as a whole: the wheel, the import rules, the size of files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nnbench import __version__, cli
from support import ROOT, SOURCE
from support.commands import PATIENCE, TINY, Nnbench

HEAVY = {"torch", "tensorflow", "keras", "mlflow", "pandas", "hydra", "omegaconf", "sklearn"}
LONGEST = 300


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    done = run(sys.executable, "-m", *build, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("site")
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    done = run(sys.executable, "-m", *pip, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def expected_in_wheel() -> set[str]:
    """Return what belongs into the wheel, by its name there."""
    parts = {
        SOURCE: "",
        ROOT / "conf": "nnbench/conf/",
        ROOT / "experiments": "nnbench/experiments/",
    }
    return {
        f"{place}{path.relative_to(folder).as_posix()}"
        for folder, place in parts.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_module_config_and_experiment_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected_in_wheel()
    assert "nnbench/conf/config.yaml" in names
    assert any(name.startswith("nnbench/experiments/") for name in names)


def test_the_installed_wheel_is_what_runs_and_knows_its_version(site: Path, tmp_path: Path) -> None:
    where = run(
        sys.executable, "-c", "import nnbench; print(nnbench.__file__)", cwd=tmp_path,
        PYTHONPATH=str(site),
    )  # fmt: skip
    assert Path(where.stdout.strip()).parent == site / "nnbench"
    for command in ((sys.executable, "-m", "nnbench"), (site / "bin" / "nnbench",)):
        done = run(*command, "--version", cwd=tmp_path, PYTHONPATH=str(site))
        assert (done.stdout, done.returncode) == (f"nnbench {__version__}\n", 0)


def test_the_installed_wheel_finds_its_configs_and_trains(site: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "nnbench")
    shown = run(*command, "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert "mnist_5k" in shown.stdout, shown.stderr
    done = run(*command, *TINY, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/run.json"))) == 1


def test_remedies_of_an_installed_wheel_name_packages_only(site: Path, tmp_path: Path) -> None:
    code = (
        "from nnbench.config import installation as i;"
        "print(i.checkout(), len(i.requirements()) > 10, i.python_wanted());"
        "[print(i.install_command(extra)) for extra in ('', 'torch', 'keras', 'all')]"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site))
    first, *commands = done.stdout.splitlines()
    assert first == "None True >=3.11"
    assert commands[1].endswith("pip install 'torch>=2.6'")
    assert "'keras>=3.8'" in commands[3]
    assert "'torch>=2.6'" in commands[3]
    assert not re.search(r"install .*nnbench", done.stdout)


# Import rules


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    return run(tool, "--no-cache", cwd=project, PYTHONPATH=str(project / "src"))


def copy_project(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE / "nnbench", folder / "src" / "nnbench", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


DOWN = "Imports run down the house"
APART = "Backends do not know each other"
WORKER = "The process that trains loads neither Hydra nor MLflow, by whatever way"
HOME = "Every large package has one home"
PLANTS = [
    ("model/metrics.py", "import nnbench.records.run", DOWN),
    ("records/run.py", "def f():\n    from nnbench import tracking", DOWN),
    ("api.py", "import nnbench.cli.help", DOWN),  # beside it, not below
    ("common.py", "import nnbench.errors", DOWN),  # a room that the layers do not name
    ("backends/numpy/__init__.py", "import nnbench.backends.torch", APART),
    ("training/worker.py", "import hydra", WORKER),
    ("training/worker.py", "import mlflow", WORKER),
    ("training/runner.py", "import nnbench.config.composition", WORKER),  # imports Hydra
    ("records/run.py", "import nnbench.config.composition", WORKER),  # whom the worker imports
    ("reporting/statistics/times.py", "import torch", HOME),
    ("reporting/statistics/times.py", "def f():\n    import torch.nn as nn", HOME),
    ("model/metrics.py", "try:\n    from keras import ops\nexcept ImportError:\n    pass", HOME),
    ("backends/torch/trainer.py", "import tensorflow as tf", HOME),
    ("backends/arrays.py", "import cupy", HOME),
    ("sweeps/plan.py", "import omegaconf", HOME),
    ("reporting/statistics/times.py", "from mlflow import MlflowClient", HOME),
]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def test_import_rules_hold(copied: Path) -> None:
    done = lint_imports(copied)
    assert done.returncode == 0, done.stdout
    assert all(f"{rule} KEPT" in done.stdout for rule in (DOWN, APART, WORKER, HOME))


# A check takes a second: make test has one of every kind, test-full all.
KINDS = {0, 1, 3, 4, 5, 7, 10}


@pytest.mark.parametrize(
    ("place", "lines", "rule"),
    [pytest.param(*p, marks=[pytest.mark.slow] * (i not in KINDS)) for i, p in enumerate(PLANTS)],
)
def test_an_import_that_breaks_a_rule_is_caught(
    copied: Path, place: str, lines: str, rule: str
) -> None:
    path = copied / "src" / "nnbench" / place
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{lines}\n", encoding="utf-8")
    try:
        done = lint_imports(copied)
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert f"{rule} BROKEN" in done.stdout, done.stdout
    module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert f"nnbench.{module}" in done.stdout


def test_the_root_stays_small() -> None:
    """Who looks for something finds the room from a list that is read at a glance."""
    root = SOURCE / "nnbench"
    packages = [path.parent.name for path in root.glob("*/__init__.py")]
    modules = [path.name for path in root.glob("*.py")]
    assert len(packages) <= 12, packages
    assert len(modules) <= 8, modules


def loaded_by(code: str) -> set[str]:
    """Return the heavy packages that `code` loads in a fresh interpreter."""
    report = "; import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = run(sys.executable, "-c", code + report, cwd=ROOT, PYTHONPATH=str(SOURCE))
    assert done.returncode == 0, done.stderr
    return HEAVY & set(done.stdout.split())


def test_importing_nnbench_loads_nothing_heavy() -> None:
    assert loaded_by("import nnbench; import nnbench.cli") == set()
    assert loaded_by("import nnbench; import omegaconf") == {"omegaconf"}


def test_the_rooms_below_the_command_line_load_nothing_heavy() -> None:
    rooms = ("model.init", "data", "config.run", "records.machine", "sweeps.process",
             "training.worker")  # fmt: skip
    assert loaded_by("; ".join(f"import nnbench.{room}" for room in rooms)) == set()


def test_every_sub_command_exists_and_explains_itself(nnbench: Nnbench) -> None:
    for name in cli.COMMANDS:
        done = nnbench(name, "--help")
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert "Usage: nnbench " + name in done.stdout


# Size of files


def too_long(root: Path) -> list[str]:
    """Return the source files under `root` of LONGEST lines or more; tests list cases."""
    folders = [root / name for name in ("src", "scripts")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path.relative_to(root)}: {n}" for path, n in lengths.items() if n >= LONGEST]


def test_files_stay_short(tmp_path: Path) -> None:
    assert too_long(ROOT) == []
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "fits.py").write_text("x = 1\n" * (LONGEST - 1))
    (tmp_path / "src" / "long.py").write_text("x = 1\n" * LONGEST)
    assert too_long(tmp_path) == ["src/long.py: 300"]


# The Makefile


def test_make_lists_its_targets_and_refuses_an_unfit_python(tmp_path: Path) -> None:
    shown = run("make", "-C", ROOT, "--no-print-directory", cwd=tmp_path).stdout
    for target in ("setup", "demo", "test", "test-full", "lint", "wheel", "clean"):
        assert f"make {target} " in shown
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    refused = run("make", "setup", "PYTHON=false", cwd=tmp_path)
    assert refused.returncode != 0
    assert "false is not Python 3.11 or newer" in refused.stdout
    assert not (tmp_path / ".venv").exists()
