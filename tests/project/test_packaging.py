"""The project as a whole: the wheel, the import rules, the size of files."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import nnbench
from nnbench import cli
from support import ROOT

SOURCE = ROOT / "src"
HEAVY = {"torch", "tensorflow", "keras", "mlflow", "pandas", "hydra", "omegaconf", "sklearn"}
# Each framework, and the only packages that may import it.
HOMES = {
    "torch": ("nnbench/backends/torch", "nnbench/backends/keras"),  # Keras runs on it, too
    "tensorflow": ("nnbench/backends/keras",),
    "keras": ("nnbench/backends/keras",),
    "jax": ("nnbench/backends/keras",),
    "cupy": ("nnbench/backends/numpy",),
    "forgeNN": ("nnbench/backends/forgenn",),
}
LONGEST = 300


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
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
        assert (done.stdout, done.returncode) == (f"nnbench {nnbench.__version__}\n", 0)


def test_the_installed_wheel_finds_its_configs_and_trains(site: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "nnbench")
    shown = run(*command, "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert "mnist_5k" in shown.stdout, shown.stderr
    tiny = ("data=synthetic", "data.samples=200", "epochs=2", "batch_size=32", "tracking=local")
    done = run(*command, *tiny, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results" / "runs").glob("*/run.json"))) == 1


def test_remedies_of_an_installed_wheel_name_packages_only(site: Path, tmp_path: Path) -> None:
    code = (
        "from nnbench import installation as i;"
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


def test_import_rules_hold(tmp_path: Path) -> None:
    done = lint_imports(copy_project(tmp_path))
    assert done.returncode == 0, done.stdout


def test_every_import_rule_catches_a_planted_fault(tmp_path: Path) -> None:
    package = copy_project(tmp_path) / "src" / "nnbench"
    plants = {
        "backends/numpy/__init__.py": "import nnbench.backends.torch",
        "model/metrics.py": "import nnbench.records.run",
        "training/worker.py": "import mlflow",
    }
    for name, line in plants.items():
        with (package / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert " 0 kept" in done.stdout, done.stdout


def framework_imports(tree: ast.AST) -> Iterator[str]:
    """Yield the frameworks that a module imports, at any level."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from (name.split(".")[0] for name in names if name.split(".")[0] in HOMES)


def strays(source: Path) -> list[str]:
    """Return `FILE: FRAMEWORK` for every framework imported outside of its own package."""
    found = []
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).as_posix()
        for framework in framework_imports(ast.parse(path.read_text(encoding="utf-8"))):
            if not name.startswith(tuple(f"{home}/" for home in HOMES[framework])):
                found.append(f"{name}: {framework}")
    return found


def test_frameworks_are_imported_in_their_own_packages_only() -> None:
    assert strays(SOURCE) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("nnbench/metrics.py", "import torch"),
        ("nnbench/metrics.py", "def f():\n    import torch.nn as nn"),
        ("nnbench/metrics.py", "try:\n    from keras import ops\nexcept ImportError:\n    pass"),
        ("nnbench/backends/torch/trainer.py", "import numpy\nimport tensorflow as tf"),
        ("nnbench/backends/numpy_layers.py", "import cupy"),
    ],
)
def test_a_framework_imported_elsewhere_is_caught(tmp_path: Path, place: str, line: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    home = tmp_path / "nnbench/backends/keras/ops.py"
    home.parent.mkdir(parents=True)
    home.write_text("import keras\nimport nnbench.torch_notes")
    assert len(strays(tmp_path)) == 1
    assert strays(tmp_path)[0].startswith(place)


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


def test_every_sub_command_exists_and_explains_itself(tmp_path: Path) -> None:
    for name in cli.COMMANDS:
        done = run(
            sys.executable, "-m", "nnbench", name, "--help", cwd=tmp_path, PYTHONPATH=str(SOURCE)
        )
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
