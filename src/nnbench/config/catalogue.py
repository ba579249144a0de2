"""What there is to choose from: config groups and their options, from every source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from nnbench.config.located import Located, load
from nnbench.config.sources import Problem, Source, broken_packages, root, sources
from nnbench.errors import ConfigError
from nnbench.formatting import cut
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import Damage, content

SHOWN_CHARACTERS = 40  # of a value in the help
# What the file of a backend has to say, unless it takes it from another.
BACKEND_KEYS = ("name", "_target_", "execution", "executions")


# Of an option's file no setting: what it is called and made of. A backend's are these two.
NO_SETTINGS = ("defaults", "name", "_target_")
BACKEND_SETTINGS = ("engine", "execution")


class Setting(NamedTuple):
    """The value of a key as its file has it, as it is typed, and what it means."""

    text: str
    meaning: str


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
    def values(self) -> Located:
        """Return what the file says, not what it takes from others. Raises ConfigError."""
        return _mapping(self.path, self.path.stat().st_mtime_ns)

    @property
    def parents(self) -> list[Option]:
        """Return the options of its group that it takes values from."""
        known = options(self.group)
        named = self.values.get("defaults")
        names = [n for n in named if isinstance(n, str)] if isinstance(named, list) else []
        return [known[n] for n in names if n in known and n != self.name]

    def inherited(self, key: str) -> Any:
        """Return the value of `key`, of this file or of those in its defaults; None without."""
        if key in self.values:
            return self.values[key]
        return next((parent.inherited(key) for parent in self.parents), None)

    @property
    def settings(self) -> dict[str, Setting]:
        """Return what a user may set of it, what it takes from others included."""
        found: dict[str, Setting] = {}
        for parent in self.parents:
            found |= parent.settings
        lines = content(self.path).decode("utf-8-sig").splitlines()
        for key, value in self.values.items():
            if _is_set(self.group, key):
                meaning = _comment(lines, self.values.lines[key] - 1)
                old = found[key].meaning if key in found else " | ".join(self.allowed(key) or ())
                found[key] = Setting(_typed(value), meaning or old)
        return found

    def allowed(self, key: str) -> list[str] | None:
        """Return what `key` of a backend may be, where its file says so in another key."""
        known = self.inherited(f"{key}s") if self.group == "backend" else None
        return [str(each) for each in known] if isinstance(known, list) else None

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


def usual(group: str) -> str | None:
    """Return the option of `group` that is taken where none is chosen."""
    listed = (entry for entry in main_values()["defaults"] if isinstance(entry, dict))
    return next((str(entry[group]) for entry in listed if group in entry), None)


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
def _mapping(path: Path, changed: int) -> Located:
    return load(path)


def _is_set(group: str, key: str) -> bool:
    """Tell whether `key`, of a file of `group`, is for users to set."""
    if group == "backend":
        return key in BACKEND_SETTINGS
    return group != "semantics" and key not in NO_SETTINGS  # which sets values of others


def _typed(value: Any) -> str:
    """Return a value as one types it: `null`, `true`, `[128,64]`; of a longer one its beginning."""
    text = json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    return cut(text.replace('"', ""), SHOWN_CHARACTERS)


def _comment(lines: Sequence[str], at: int) -> str:
    """Return the comment on the line `at`, with the lines of comment that follow it."""
    _, mark, comment = lines[at].partition("  # ") if "  # " in lines[at] else ("", "", "")
    if not mark:
        return comment
    words = [comment.strip()]
    for line in lines[at + 1 :]:
        if not re.match(r"\s{8,}# ", line):
            break
        words.append(line.split("# ", 1)[1].strip())
    return " ".join(words)
