"""What there is to choose from: config groups and their options, from every source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nnbench.config.located import load
from nnbench.config.sources import Problem, Source, broken_packages, root, sources
from nnbench.errors import ConfigError
from nnbench.schema.files import Damage, content

# What the file of a backend has to say, unless it takes it from another.
BACKEND_KEYS = ("name", "_target_", "execution", "executions")


@dataclass(frozen=True)
class Option:
    """An option of a config group: one YAML file, whose first comment says what it is."""

    group: str
    name: str
    path: Path
    source: Source

    @property
    def text(self) -> str:
        """Return the first comment."""
        try:
            lines = content(self.path).decode().splitlines()
        except (OSError, Damage, UnicodeDecodeError):  # reading its values says so
            return ""
        comments = [n[2:] for n in lines if n.startswith("# ") and not n.startswith("# @package")]
        return comments[0] if comments else ""

    @property
    def values(self) -> Mapping[str, Any]:
        """Return what the file says, not what it takes from others. Raises ConfigError."""
        return _mapping(self.path, self.path.stat().st_mtime_ns)

    def inherited(self, key: str) -> Any:
        """Return the value of `key`, of this file or of those in its defaults; None without."""
        if key in self.values:
            return self.values[key]
        known = options(self.group)
        parents = [n for n in self.values.get("defaults", ()) if n in known and n != self.name]
        return next((known[n].inherited(key) for n in parents), None)

    def __str__(self) -> str:
        """Return its name, with its origin where that is not nnbench."""
        return f"{self.name} ({self.source.origin})" if self.source.origin else self.name


@cache
def groups() -> list[str]:
    """Return the names of the config groups, in the order of the main defaults list."""
    listed = main_values()["defaults"]
    names = [name for entry in listed if isinstance(entry, dict) for name in entry]
    return [name for name in names if (root() / "conf" / name).is_dir()]


def main_values() -> Mapping[str, Any]:
    """Return what conf/config.yaml says."""
    path = root() / "conf" / "config.yaml"
    return _mapping(path, path.stat().st_mtime_ns)


def options(group: str) -> dict[str, Option]:
    """Return the options of a config group by name, those that can be read."""
    found: dict[str, Option] = {}
    for option, problem in _files(group):
        if problem is None:
            found[option.name] = option
    return dict(sorted(found.items()))


def every_option() -> list[Option]:
    """Return the options of all groups."""
    return [option for group in groups() for option in options(group).values()]


def problems() -> list[Problem]:
    """Return everything that is brought from elsewhere and left out, with the reason."""
    wrong = [
        Problem(option.source.origin, problem)
        for group in groups()
        for option, problem in _files(group)
        if problem is not None
    ]
    return [*broken_packages(), *wrong]


def source_of(group: str, option: str) -> Source:
    """Return the source whose file Hydra takes for an option, nnbench's own where there is none."""
    known = sources()
    files = (s for s in known if s.conf and (s.conf / group / f"{option}.yaml").is_file())
    return next(files, known[0])


def check_backend(source: Source, name: str) -> None:
    """Raise ConfigError where the file of a backend from elsewhere is at fault."""
    assert source.conf is not None
    option = Option("backend", name, source.conf / "backend" / f"{name}.yaml", source)
    if fault := _fault(option):
        raise ConfigError(f"Received backend={name} of {source.origin}: {fault}.")


def distinction(source: Source, option: str, backend: Mapping[str, Any]) -> str | None:
    """Return what tells a `backend` of `source` apart where another has its name too.

    That is the source, or within one the file.
    """
    others = [o for o in options("backend").values() if o.inherited("name") == backend["name"]]
    if any(o.source.name != source.name for o in others):
        return source.name
    within = any(o.inherited("_target_") != backend["_target_"] for o in others)
    return f"{option}.yaml" if within else None


def _files(group: str) -> Iterator[tuple[Option, str | None]]:
    """Yield every option of `group` with what is wrong with it, None for nothing."""
    owners: dict[str, Source] = {}
    for source in sources():
        folder = source.conf / group if source.conf else None
        for path in sorted(folder.glob("*.yaml")) if folder else ():
            option = Option(group, path.stem, path, source)
            if path.stem in owners:
                owner = owners[path.stem].origin or "nnbench"
                yield option, f"{path}: {owner} has {group}={path.stem}; rename the file"
                continue
            owners[path.stem] = source
            yield option, _fault(option) if source.origin else None


def _fault(option: Option) -> str | None:
    """Return what is wrong with an option's file, None for nothing."""
    try:
        values = option.values
        _ = option.text
    except ConfigError as error:
        return str(error).rstrip(".")
    if option.group != "backend" or "defaults" in values:
        return None
    if missing := [key for key in BACKEND_KEYS if key not in values]:
        return f"{option.path}: lacks {', '.join(missing)}"
    executions = values["executions"]
    few = not isinstance(executions, list) or not executions
    return f"{option.path}: executions must be a list, as [plain]" if few else None


@cache
def _mapping(path: Path, changed: int) -> Mapping[str, Any]:
    return load(path)
