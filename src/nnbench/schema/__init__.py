"""Read frozen dataclasses from plain data: types, ranges, unknown keys with a suggestion.

The annotations of a dataclass are its schema. `Annotated[int, at_least(1)]` adds a range, a
union of dataclasses is told apart by their `name` field. Used for the run configuration and for
every part of it, in the command line and again in the worker, so that there is one place where a
value is checked. Records and other files are read by it too.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from nnbench.errors import ConfigError
from nnbench.schema.columns import rows_sound
from nnbench.schema.deferred import is_dataclass
from nnbench.schema.files import Damage, check_plain
from nnbench.schema.limits import LARGEST, NAME, UNKNOWN, Limit, Text, above, at_least, within
from nnbench.schema.quick import Sound, quick
from nnbench.schema.typed import closest, suggest, told

__all__ = [
    "NAME", "Text", "above", "at_least", "closest", "convert", "flat", "keys_of", "read", "suggest",
    "to_data", "told", "within",
]  # fmt: skip

T = TypeVar("T")
MISSING = dataclasses.MISSING


def read(cls: type[T], data: Mapping[str, Any], path: str = "") -> T:
    """Build `cls` from `data`, checking every key, type and range.

    Raises ConfigError with the full path of the offending value.
    """
    if type(data) is not dict and not isinstance(data, Mapping):
        given = told(data)
        raise ConfigError(f"Received {path or cls.__name__}={given}; must be a group of values.")
    fields = _fields(cls)  # type: ignore[arg-type]
    if not data.keys() <= fields.keys():
        raise _unknown(next(key for key in data if key not in fields), fields, path)
    values = {}
    for name, (annotation, required, sound) in fields.items():
        if name in data:
            value = data[name]
            values[name] = value if sound(value) else _convert(annotation, value, _join(path, name))
        elif required:
            where = _join(path, name)
            raise ConfigError(f"Missing value for '{where}'; set it with {where}=...")
    return cls(**values)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(key: Any, fields: Iterable[str], path: str) -> ConfigError:
    return ConfigError(
        f"Unknown key '{_join(path, told(key))}'{suggest(told(key), fields)} "
        f"(allowed here: {', '.join(sorted(fields))})"
    )


def convert(annotation: Any, value: Any, path: str) -> Any:
    """Return `value`, which stands at `path`, as `annotation` has it. Raises ConfigError."""
    return value if quick(annotation)(value) else _convert(annotation, value, path)


def to_data(value: Any) -> Any:
    """Turn a dataclass tree back into plain dicts and lists, the inverse of `read`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_data(item) for item in value]
    return value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key; an empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool, Sound]]:
    """Map field names to (annotation, required, quick check) for a dataclass."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        f.name: (
            hints[f.name],
            f.default is MISSING and f.default_factory is MISSING,
            quick(hints[f.name]),
        )
        for f in dataclasses.fields(cls)
    }


def _convert(annotation: Any, value: Any, path: str) -> Any:  # noqa: PLR0911 - a table
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *limits = get_args(annotation)
        return _limited(base, limits, value, path)
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation), value, path)
    if origin is Literal:
        return _one_of(get_args(annotation), value, path)
    if origin is tuple or origin is list:
        found = _sequence(get_args(annotation)[0], value, path)
        return found if origin is tuple else list(found)
    if origin is dict:
        return _mapping({}, get_args(annotation)[1], value, path)
    if is_typeddict(annotation):
        return _mapping(keys_of(annotation), Any, value, path)
    if dataclasses.is_dataclass(annotation):
        return read(annotation, value, path)  # type: ignore[arg-type]
    if isinstance(annotation, type) and issubclass(annotation, tuple):
        return _row(annotation, value, path)
    return _scalar(annotation, value, path)


def _one_of(allowed: tuple[Any, ...], value: Any, path: str) -> Any:
    if value not in allowed:
        hint = suggest(told(value), [str(a) for a in allowed])
        listed = ", ".join(str(a) for a in allowed)
        raise ConfigError(f"Received {path}={told(value)}; must be one of {listed}{hint}")
    return value


def _sequence(item: Any, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        one = f", as in {path}=[{told(value)}]" if isinstance(value, str | int | float) else ""
        raise ConfigError(f"Received {path}={told(value)}; must be a list{one}")
    if isinstance(item, type) and dataclasses.is_dataclass(item):
        if rows_sound({name: field[0] for name, field in _fields(item).items()}, value):
            return tuple(item(*row.values()) for row in value)
        return tuple(read(item, v, f"{path}[{i}]") for i, v in enumerate(value))
    sound = quick(item)
    return tuple(v if sound(v) else _convert(item, v, f"{path}[{i}]") for i, v in enumerate(value))


class Key(NamedTuple):
    """What a key of a mapping is read as."""

    kind: Any
    required: bool
    sound: Sound


@cache
def keys_of(typed: Any) -> dict[str, Key]:
    """Return the keys of a TypedDict, or the fields of a named tuple."""
    found = {}
    for name, hint in get_type_hints(typed, include_extras=True).items():
        required = get_origin(hint) is Required
        kind = get_args(hint)[0] if required else hint
        found[name] = Key(kind, required, quick(kind))
    return found


def _mapping(keys: Mapping[str, Key], others: Any, value: Any, path: str) -> dict[str, Any]:
    """Return a mapping with `keys` as they must be, the required ones there, others as `others`."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"Received {path}={told(value)}; must be a group of values.")
    if lacks := [key for key, (_, required, _) in keys.items() if required and key not in value]:
        raise ConfigError(f"Missing value for '{path}.{lacks[0]}'.")
    found = {}
    for key, item in value.items():
        annotation, _, sound = keys.get(key) or (others, False, quick(others))
        if not sound(item):
            item = _convert(annotation, item, f"{path}.{key}")  # noqa: PLW2901 - as it must be
        found[key] = item
    return found


def _row(kind: Any, value: Any, path: str) -> Any:
    """Return a named tuple from a list."""
    hints = keys_of(kind)
    if not isinstance(value, list | tuple) or len(value) != len(hints):
        raise ConfigError(f"Received {path}={told(value)}; must be {', '.join(hints)}.")
    pairs = zip(hints.items(), value, strict=True)
    return kind(*(convert(hint, item, f"{path}.{name}") for (name, (hint, _, _)), item in pairs))


def _union(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in options:
        return None
    options = tuple(o for o in options if o is not type(None))
    if len(options) == 1:
        return _convert(options[0], value, path)
    if not all(is_dataclass(option) for option in options):
        return _either(options, value, path)
    by_name = _by_name(options)
    if isinstance(value, str) and value in by_name:
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"Received {path}={told(repr(value))}; must be a group of values with a name, one of "
            f"{', '.join(by_name)}{suggest(str(value), by_name)}"
        )
    name = value.get("name")
    if not isinstance(name, str) or name not in by_name:
        hint = suggest(told(name), by_name)
        allowed = ", ".join(by_name)
        raise ConfigError(f"Received {path}.name={told(name)}; must be one of {allowed}{hint}")
    return read(by_name[name], value, path)


def _either(options: tuple[Any, ...], value: Any, path: str) -> Any:
    """Read `value` as the first of several plain kinds that it fits."""
    wanted = []
    for option in options:
        try:
            return _convert(option, value, path)
        except ConfigError as error:
            wanted.append(str(error).rpartition("; must be ")[2].rstrip("."))
    raise ConfigError(f"Received {path}={told(value)}; must be {' or '.join(wanted)}.")


@cache
def _by_name(options: tuple[type, ...]) -> dict[str, type]:
    """Map the values that the options' `name` fields allow to the options.

    A value that is given is the only one: most options are told apart without being completed.
    """
    found = {}
    for option in options:
        own = vars(option).get("name")
        names = (own,) if isinstance(own, str) else get_args(_fields(option)["name"][0])
        found.update(dict.fromkeys(names, option))
    return found


def _limited(base: Any, limits: list[Limit], value: Any, path: str) -> Any:
    if UNKNOWN in limits and value is None:
        return None
    limits = [limit for limit in limits if limit is not UNKNOWN]
    ranges = " and ".join(str(limit) for limit in limits)
    try:
        converted = _convert(base, value, path)
    except ConfigError as error:
        if get_origin(base) is None:
            raise ConfigError(f"{str(error).rstrip('.')}, {ranges}.") from None
        raise
    if converted is not None and not all(converted in limit for limit in limits):
        raise ConfigError(f"Received {path}={told(value)}; must be {ranges}.")
    return converted


_NOUNS: dict[type, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def _scalar(kind: type, value: Any, path: str) -> Any:
    if kind is Any:
        try:
            check_plain(value)
        except Damage as error:
            raise ConfigError(f"Received {path}={told(value)}: {error}.") from None
        return value
    accepted = {
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        bool: isinstance(value, bool),
        str: isinstance(value, str | int) and not isinstance(value, bool),
    }[kind]
    large = isinstance(value, int) and abs(value) > LARGEST
    if large and accepted and kind is not str:
        raise ConfigError(f"Received {path}={told(value)}; must be at most {LARGEST} (64 bits).")
    if not accepted or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"Received {path}={told(value)}; must be {_NOUNS[kind]}.")
    return kind(value)
