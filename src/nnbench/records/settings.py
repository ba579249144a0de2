"""The settings of a run, out of its configuration: as text, and as the command for them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from nnbench.records import identity
from nnbench.schema import flat

# Not settings: where results go, and what a backend is made of besides its name and execution.
LEFT_OUT = frozenset(
    set(identity.LEFT_OUT)
    | {f"backend.executions{suffix}" for suffix in ("", "_on_cuda", "_of_images")}
    | {f"backend.{key}" for key in ("_target_", "target", "engines", "packages", "extra", "env")}
)
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_NOT_TEXT = re.compile(r"null|true|false|nan|[+-]?inf|[+-]?[0-9.][0-9_.]*(e[+-]?[0-9]+)?", re.I)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of the resolved config by dotted key, those in LEFT_OUT aside."""
    left_out = tuple(f"{key}." for key in LEFT_OUT)
    return {k: v for k, v in flat(config).items() if not f"{k}.".startswith(left_out)}


def as_text(value: Any) -> str:
    """Return a setting as it is typed: `null`, `true`, `[128,64]`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "[" + ",".join(as_text(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{as_text(item)}" for key, item in value.items()) + "}"
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(repr(value), repr(value))


def command(config: Mapping[str, Any]) -> str:
    """Return the command line that asks for `config`, every setting spelled out.

    Groups come first by name, then their values, as Hydra reads them.
    """
    groups: dict[str, list[str]] = {}
    for key, value in config.items():
        if key in LEFT_OUT or value is None:
            continue
        if not isinstance(value, Mapping):
            groups.setdefault("", []).append(_override(key, value))
            continue
        chosen = [_override(key, value["name"])] if "name" in value else []
        rest = {f"{key}.{name}": item for name, item in value.items() if name != "name"}
        groups[key] = chosen + [
            _override(name, item) for name, item in rest.items() if name not in LEFT_OUT
        ]
    lines = [" ".join(group) for group in groups.values() if group]
    return " \\\n  ".join(["nnbench", *lines])


def _override(key: str, value: Any) -> str:
    return (
        shlex.quote(f"{key}={_hydra(value)}") if _needs_shell(value) else f"{key}={_hydra(value)}"
    )


def _needs_shell(value: Any) -> bool:
    return not isinstance(value, bool | int | float) and not _PLAIN.fullmatch(_hydra(value))


def _hydra(value: Any) -> str:
    """Return a value in Hydra's override grammar, text quoted where it could be read otherwise."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or _NOT_TEXT.fullmatch(value)):
        escaped = value.replace('"', '\\"')
        return f'"{escaped}"'
    return as_text(value)
