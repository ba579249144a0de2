"""What the project asks to have installed, what is, and the command that closes the gap.

The remedy never names nnbench on a package index: another project has that name there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tomllib
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnbench.errors import MissingPackage

if TYPE_CHECKING:  # imported where they are used: every run loads this module
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

VERSION = "0.2.0"
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "hydra": "hydra-core"}
PACKAGE = Path(__file__).resolve().parents[1]


def checkout() -> Path | None:
    """Return the checkout that nnbench runs from, None when it is an installed wheel."""
    root = PACKAGE.parent.parent
    return root if PACKAGE.parent.name == "src" and (root / "pyproject.toml").is_file() else None


def python_wanted() -> SpecifierSet:
    """Return the versions of Python that the project supports."""
    from packaging.specifiers import SpecifierSet

    root = checkout()
    if root is None:
        return SpecifierSet(metadata.metadata("nnbench")["Requires-Python"])
    return SpecifierSet(_project(root)["requires-python"])


def requirements(extra: str = "") -> list[Requirement]:
    """Return what nnbench itself requires, or what `extra` adds to it, on this platform."""
    from packaging.requirements import Requirement

    root = checkout()
    if root is None:
        declared = [Requirement(line) for line in metadata.requires("nnbench") or []]
        lines = [r for r in declared if ("extra" in str(r.marker)) == bool(extra)]
    else:
        project = _project(root)
        listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
        lines = [Requirement(line) for line in listed]
    here = [r for r in lines if r.marker is None or r.marker.evaluate({"extra": extra})]
    own = [name for r in here if r.name == "nnbench" for name in sorted(r.extras)]
    return [r for r in here if r.name != "nnbench"] + [r for e in own for r in requirements(e)]


def unmet(extra: str = "") -> list[tuple[Requirement, str | None]]:
    """Return the requirements that are not met, with the version installed (None: missing)."""
    found: list[tuple[Requirement, str | None]] = []
    for requirement in requirements(extra):
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found.append((requirement, None))
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            found.append((requirement, installed))
    return found


def install_command(extra: str = "") -> str:
    """Return the command that installs what nnbench, or one of its extras, requires.

    It names the pip of this interpreter and, outside of the checkout, the checkout's path.
    """
    root = checkout()
    if root is None:
        wanted = " ".join(shlex.quote(_bare(r)) for r in requirements(extra))
        return f"{_pip()} install {wanted}"
    project = "." if Path.cwd() == root else str(root)
    what = f"'{project}[{extra}]'" if extra else shlex.quote(project)
    return f"{_pip()} install -e {what} -c {_constraints(root)}"


def need(what: str, *modules: str, otherwise: str = "") -> None:
    """Check that the modules that `what` needs are installed, without importing them.

    Raises MissingPackage with the command that installs the first that is not; `otherwise` is
    what to do without it.
    """
    if error := lacking(what, *modules, otherwise=otherwise):
        raise error


def lacking(what: str, *modules: str, otherwise: str = "") -> MissingPackage | None:
    """Return the error that `need` raises, None where everything is installed."""
    absent = [module for module in modules if find_spec(module) is None]
    return missing(what, absent[0], otherwise) if absent else None


# What no package index has.
ELSEWHERE = {
    "minitorch": "it is on no package index, put the repository github.com/abdimoallim/minitorch "
    "on PYTHONPATH"
}


def lacks(received: str, package: str, extra: str | None) -> MissingPackage:
    """Return the error for what was `received` and needs a package of `extra`."""
    remedy = install_command(extra) if extra else ELSEWHERE.get(package, package)
    return MissingPackage(
        f"Received {received}; the package {package} is not installed. Install it: {remedy}"
    )


def missing(what: str, module: str, otherwise: str = "") -> MissingPackage:
    """Return the error that says what `what` lacks, by the module that could not be imported."""
    name = DISTRIBUTIONS.get(module, module)
    named = [shlex.quote(_bare(r)) for r in requirements() if r.name.lower() == name.lower()]
    command = f"{_pip()} install {named[0] if named else name}"
    if root := checkout():
        command += f" -c {_constraints(root)}"
    return MissingPackage(
        f"{what} needs the package {name}, which is not installed. Install it: {command}"
        + (f"; or {otherwise}" if otherwise else "")
    )


def _constraints(root: Path) -> str:
    return "constraints.txt" if Path.cwd() == root else shlex.quote(str(root / "constraints.txt"))


def _bare(requirement: Requirement) -> str:
    """Return a requirement without its marker."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _pip() -> str:
    """Return `pip` where that is this interpreter's, else this interpreter with `-m pip`."""
    found = shutil.which("pip")
    interpreter = Path(sys.executable)
    if found and Path(found).parent == interpreter.parent:
        return "pip"
    below = interpreter.is_relative_to(Path.cwd())
    shown = os.path.relpath(interpreter) if below else str(interpreter)
    return f"{shlex.quote(shown)} -m pip"


@cache
def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project
