"""YAML whose mappings know where they stand, so that a mistake is told with its file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nnbench.errors import ConfigError
from nnbench.schema.files import Damage, content


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
        loader = _Loader(content(path).decode("utf-8-sig"))
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
    except RecursionError:
        raise ConfigError(f"{shown}: not valid YAML: it is nested too deeply.") from None
    if not isinstance(values, Located):
        raise ConfigError(f"{shown}: must hold KEY: VALUE lines, received {values!r:.40}.")
    return values


def refused(values: Mapping[str, Any], key: str, message: str) -> ConfigError:
    """Return the error for `key` of `values`, with its file and line where these are known."""
    if not isinstance(values, Located):
        return ConfigError(message)
    return ConfigError(f"{values.file}:{values.lines.get(key, values.line)}: {message}")


def _shown(path: Path) -> str:
    inside = path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else str(path)
