"""Where configuration and studies come from: nnbench itself, folders, installed packages."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from nnbench.errors import ConfigError
from nnbench.schema.deferred import dataclass

ENTRY_POINTS = "nnbench.plugins"
_typed: list[Path] = []  # --config-dir, in this process


@dataclass(frozen=True)
class Source:
    """A place that brings config groups (`conf`), studies (`experiments`) or both.

    `name` is the package's or the folder's, empty for nnbench itself; `origin` has the package's
    version too. `code`: what it brings may name code, as a backend does.
    """

    name: str = ""
    origin: str = ""
    conf: Path | None = None
    experiments: Path | None = None
    code: bool = True


@dataclass(frozen=True)
class Problem:
    """What a source brings and is left out, and why."""

    origin: str
    text: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.text}"


@cache
def root() -> Path:
    """Return the folder that holds `conf/` and `experiments/`: the checkout's, or the package's."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package, package.parents[1]):
        if (folder / "conf" / "config.yaml").is_file():
            return folder
    raise ConfigError(f"No conf/config.yaml beside {package}; reinstall nnbench.")


def search_in(folder: str) -> None:
    """Let `--config-dir FOLDER` bring config groups, studies and code to this process.

    Raises ConfigError where there is no such folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"Received --config-dir {folder}; no such folder.")
    if path not in _typed:
        _typed.append(path)


def python_path() -> str:
    """Return PYTHONPATH for the processes that import backends: typed folders come last."""
    kept = [os.environ.get("PYTHONPATH", ""), *(str(path.resolve()) for path in _typed)]
    return os.pathsep.join(filter(None, kept))


def sources() -> list[Source]:
    """Return every source, nnbench first; where two bring one name the earlier has it."""
    own = Source("", "", root() / "conf", root() / "experiments")
    typed = [Source(str(p), str(p), p.resolve(), p.resolve() / "experiments") for p in _typed]
    here = Source("./experiments", "./experiments", None, Path.cwd() / "experiments", code=False)
    found: list[Source] = []
    seen: set[Path] = set()
    for each in (own, *typed, *_packages()[0], here):
        folders = [
            f if f and f.is_dir() and f not in seen else None for f in (each.conf, each.experiments)
        ]
        seen.update(folder for folder in folders if folder)
        if any(folders):
            found.append(replace(each, conf=folders[0], experiments=folders[1]))
    return found


def experiments_folders() -> list[Path]:
    """Return the folders of studies, `STUDY/study.yaml` each; of one name the first counts."""
    return [source.experiments for source in sources() if source.experiments]


def source_of_study(study: Path) -> Source:
    """Return the source that a study.yaml belongs to."""
    return next(s for s in sources() if s.experiments == study.parent.parent)


def broken_packages() -> list[Problem]:
    """Return a problem for each package whose entry point leads nowhere."""
    return list(_packages()[1])


@cache  # what is installed stays as it is while a process lives; looking takes a moment
def _packages() -> tuple[tuple[Source, ...], tuple[Problem, ...]]:
    """Return the sources of installed packages by name, and what is wrong with others."""
    found, problems = [], []
    points = metadata.entry_points(group=ENTRY_POINTS)
    for point in sorted(points, key=lambda p: (p.dist.name if p.dist else "", p.name)):
        name = point.dist.name if point.dist else point.name
        origin = f"{name} {point.dist.version}" if point.dist else name
        try:
            folder = _locate(point.value)
        except (ImportError, ValueError) as error:
            text = f"entry point {point.name} = {point.value}: {error}"
            problems.append(Problem(origin, text))
            continue
        conf, experiments = folder / "conf", folder / "experiments"
        if not conf.is_dir() and not experiments.is_dir():
            problems.append(Problem(origin, f"{folder} has neither conf/ nor experiments/"))
        found.append(Source(name, origin, conf, experiments))
    return tuple(found), tuple(problems)


def _locate(package: str) -> Path:
    """Return the folder of a package without importing it or what it is in.

    Raises ImportError or ValueError, with the reason.
    """
    first, *inner = package.split(".")
    spec = importlib.util.find_spec(first)
    name = first
    for part in inner:
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations) if spec else None
    if spec is None:
        raise ImportError(f"there is no package {package}")
    if not spec.submodule_search_locations:
        raise ImportError(f"{package} is a module; must be a package, a folder with __init__.py")
    return Path(next(iter(spec.submodule_search_locations))).resolve()
