"""YAML whose mappings know where they stand, so that a mistake is told with its file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nnbench.errors import ConfigError
from nnbench.schema.files import MOST_DEPTH, Damage, content, reason

MOST_BYTES = 2**20  # of a file: YAML takes a thousand times as much memory
MOST_VALUES = 50_000  # with what aliases stand for


class Located(dict[str, Any]):
    """A mapping of a YAML file that knows its `file`, its `line` and the `lines` of its keys."""

    def __init__(self, file: str = "", line: int = 0) -> None:
        super().__init__()
        self.file, self.line = file, line
        self.lines: dict[str, int] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any], where: Located, key: str) -> Located:
        """Return `values` as if they stood at `key` of `where`."""
        found = cls(where.file, where.lines.get(key, where.line))
        found.update(values)
        return found

    def over(self, first: Located) -> Located:
        """Return a mapping with what is in `first` and then in this one."""
        both = Located(self.file, self.line)
        both.update({**first, **self})
        both.lines = first.lines | self.lines
        return both


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads mappings as Located, refuses a key that is set twice, and takes 1e-3 for a number."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    found = Located(loader.name, node.start_mark.line + 1)
    yield found  # before its values: an alias may refer to it
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        if key in found.lines:
            problem = f"'{key}' is set twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        found.lines[key] = key_node.start_mark.line + 1
        found[key] = loader.construct_object(value_node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: Path) -> Located:
    """Return the mapping that the YAML file `path` holds.

    Raises ConfigError with the file, and the line where YAML knows it.
    """
    shown = _shown(path)
    try:
        text = content(path, MOST_BYTES).decode("utf-8-sig")
        _check_size(text)
        loader = _Loader(text)
        loader.name = shown
        values = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{shown}:{mark.line + 1}" if mark else shown
        raise ConfigError(f"{where}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"{shown}: not valid YAML: it must be UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror}.") from None
    except Damage as error:
        raise ConfigError(f"{shown}: cannot be read: {error}.") from None
    except ValueError as error:  # of a date, or a number of thousands of digits
        why = reason(error).partition(";")[0]
        raise ConfigError(f"{shown}: not valid YAML: {why}.") from None
    except (LookupError, AttributeError):
        raise ConfigError(f"{shown}: not valid YAML: a value is not what its tag says.") from None
    if not isinstance(values, Located):
        raise ConfigError(f"{shown}: must hold KEY: VALUE lines, received {values!r:.40}.")
    return values


def _check_size(text: str) -> None:
    """Raise Damage where a document is too deep or too large, written out without aliases.

    By its events: libyaml itself follows a nesting until the stack is full.
    """
    sizes, open_, known = [0], list[str | None](), dict[str, int]()
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            open_.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), open_.pop()
            sizes[-1] += size
            if anchor:
                known[anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in open_:
                raise Damage(f"*{event.anchor} is within itself")
            sizes[-1] += known.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            if event.anchor:
                known[event.anchor] = 1
        if len(sizes) > MOST_DEPTH:
            raise Damage("it is nested too deeply")
        if sizes[-1] > MOST_VALUES:
            raise Damage(f"it has more than {MOST_VALUES:,} values")


def refused(values: Mapping[str, Any], key: str, message: str) -> ConfigError:
    """Return the error for `key` of `values`, with its file and line where these are known."""
    if not isinstance(values, Located):
        return ConfigError(message)
    return ConfigError(f"{values.file}:{values.lines.get(key, values.line)}: {message}")


def _shown(path: Path) -> str:
    inside = path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else str(path)
