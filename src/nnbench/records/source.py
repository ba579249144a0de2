"""Digests of the source that trains a run: nnbench's own, and that of the backend it uses.

An edit of what only lists, draws or reports leaves finished runs finished; an edit of what trains,
a third party's backend included, makes them other runs. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from nnbench.config.installation import VERSION
from nnbench.config.sources import python_path

PACKAGE = Path(__file__).resolve().parents[1]

# What a worker loads to train, whichever backend it uses.
TRAINS = (
    "backends/*.py", "config/run.py", "data/**/*.py", "model/**/*.py", "records/weights.py",
    "schema/**/*.py", "training/**/*.py",
)  # fmt: skip
# What it loads besides, and why an edit there leaves the figures of a run as they are.
LEFT_OUT = {
    "__init__.py": "names what the package offers",
    "backends/*/": "of the backend in use alone: the digest of the backend",
    "config/": "what a user may set; the result, the configuration, is compared itself",
    "credentials.py": "hides passwords in what is written",
    "errors.py": "words",
    "formatting.py": "words",
    "records/": "writes down what came out",
    "writing.py": "writes files whole or not at all",
}
INSTALLED = ("site-packages", "dist-packages")
NO_CODE = ("conf", "experiments", "__pycache__")  # configuration is compared as it resolves
LARGE = 32 * 2**20  # bytes: such a file counts by its size


def training_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 over nnbench's own source that trains, backends' packages aside."""
    files = {path for pattern in TRAINS for path in package.glob(pattern)}
    return digest(package, files)


def package_digest(package: Path = PACKAGE) -> str:
    """Return the SHA-256 over the names and contents of all .py files of `package`."""
    return digest(package, package.rglob("*.py"))


def backend_source(target: str, package: Path = PACKAGE) -> dict[str, Any]:
    """Return what provides the backend `target`, a dotted name: package, version, and a digest.

    A backend of nnbench is its package below `backends`. Of a third party's it is the package of
    `target`, or its module with the modules beside it that it imports, and what both take from
    nnbench's own backends; `imports` has the versions of the installed packages that they import.
    `digest` is None where there is no source to be found.
    """
    top, *inner = target.split(".")[:-1] or [target]
    if top == "nnbench":
        own = list(_own(package, inner))
        found = digest(package, own) if own else None
        return {"package": top, "version": VERSION, "digest": found, "imports": {}}
    parts: list[str] = []
    installed: set[str] = set()
    for root, files in _third_party(top, package, installed):
        parts.append(digest(root, files))
    whole = hashlib.sha256("".join(parts).encode()).hexdigest() if parts else None
    return {
        "package": top,
        "version": _version(top) if parts else None,
        "digest": whole,
        "imports": {name: _version(name) for name in sorted(installed)},
    }


def digest(root: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 over the names, relative to `root`, and the contents of `files`."""
    found = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
        size = path.stat().st_size
        found.update(f"{name}\0{size}\0".encode())
        if size <= LARGE:
            found.update(path.read_bytes())
    return found.hexdigest()


def _own(package: Path, inner: Iterable[str]) -> Iterator[Path]:
    """Yield the files of a module or package of nnbench itself."""
    place = package.joinpath(*inner)
    yield from place.rglob("*.py") if place.is_dir() else place.parent.glob(f"{place.name}.py")


def _third_party(top: str, package: Path, installed: set[str]) -> Iterator[tuple[Path, list[Path]]]:
    """Yield what the module `top` is made of, as (root, files): itself, what it imports nearby.

    What it imports of other distributions is added to `installed`.
    """
    waiting, seen = [top], {"nnbench"}
    while waiting:
        name = waiting.pop(0)
        if name.startswith("nnbench."):
            if own := sorted(_own(package, name.split(".")[1:3])):
                yield package, own
            continue
        spec = _find(name)
        if spec is None:
            continue
        if name != top and _is_installed(spec):
            installed.add(name)
            continue
        for folder, files in _files(spec):
            yield folder, files
            for each in files:
                new = sorted(set(_imports(each)) - seen) if each.suffix == ".py" else []
                seen.update(new)
                waiting += new


def _find(name: str) -> ModuleSpec | None:
    """Return where a worker finds the module `name`, without importing anything."""
    path = [*filter(None, python_path().split(os.pathsep)), *sys.path]
    try:
        return PathFinder.find_spec(name, path) or importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _is_installed(spec: ModuleSpec) -> bool:
    """Tell whether a module is of another distribution: its version tells then."""
    places = [spec.origin or "", *(spec.submodule_search_locations or ())]
    return any(part in INSTALLED for place in places for part in Path(place).parts)


def _files(spec: ModuleSpec) -> Iterator[tuple[Path, list[Path]]]:
    """Yield the files of a module, or of each folder of a package, with the folder they are in."""
    for place in map(Path, spec.submodule_search_locations or ()):
        found = []
        for folder, folders, names in os.walk(place):
            folders[:] = [f for f in folders if f not in NO_CODE and not f.startswith(".")]
            found += [Path(folder, n) for n in names if not n.endswith(".pyc") and n[0] != "."]
        yield place.parent, [path for path in found if path.is_file()]
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield Path(spec.origin).parent, [Path(spec.origin)]


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, by their first name; those of nnbench by three."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            first, *rest = name.split(".")
            if first == "nnbench" and rest[:1] in (["backends"], ["testing"]):
                yield ".".join([first, *rest[:2]])
            elif first != "nnbench" and first not in sys.stdlib_module_names:
                yield first


def _version(top: str) -> str | None:
    """Return the version of the distribution that brings the package `top`, if one does."""
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        return next((each.version for each in metadata.distributions() if _brings(each, top)), None)


def _brings(distribution: metadata.Distribution, top: str) -> bool:
    """Tell whether a distribution brings the package or module `top`.

    Found as `metadata.packages_distributions` finds it for all of them at once, in a twentieth of
    the time: PyTorch alone has 12,000 files.
    """
    if declared := (distribution.read_text("top_level.txt") or "").split():
        return top in declared
    files = distribution.read_text("RECORD") or ""
    ends = r"(/|(\.[\w-]+)*\.(py|so|pyd),)"
    return re.search(f"^{re.escape(top)}{ends}", files, re.MULTILINE) is not None
