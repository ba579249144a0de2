"""Read frozen dataclasses from plain data: types, ranges, unknown keys with a suggestion.

The annotations of a dataclass are its schema. `Annotated[int, at_least(1)]` adds a range, a
union of dataclasses is told apart by their `name` field. Used for the run configuration and for
every part of it, in the command line and again in the worker, so that there is one place where a
value is checked.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nnbench.errors import ConfigError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of allowed numbers; `low_open` and `high_open` exclude the end itself."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'greater than' if self.low_open else 'at least'} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'less than' if self.high_open else 'at most'} {self.high:g}")
        return " and ".join(parts)


def at_least(low: float) -> Range:
    """Allow `low` and everything above it."""
    return Range(low=low)


def above(low: float) -> Range:
    """Allow everything above `low`, not `low` itself."""
    return Range(low=low, low_open=True)


def within(low: float, high: float, *, high_open: bool = False) -> Range:
    """Allow the interval from `low` to `high`."""
    return Range(low=low, high=high, high_open=high_open)


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the closest allowed word, or nothing."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def read(cls: type[T], data: Mapping[str, Any], path: str = "") -> T:
    """Build `cls` from `data`, checking every key, type and range.

    Raises ConfigError with the full path of the offending value.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"Received {path or cls.__name__}={data!r}; must be a group of values.")
    fields = _fields(cls)  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            where = f"{path}.{key}" if path else str(key)
            raise ConfigError(
                f"Unknown key '{where}'{suggest(str(key), fields)} "
                f"(allowed here: {', '.join(sorted(fields))})"
            )
    values = {}
    for name, (annotation, required) in fields.items():
        where = f"{path}.{name}" if path else name
        if name in data:
            values[name] = _convert(annotation, data[name], where)
        elif required:
            raise ConfigError(f"Missing value for '{where}'; set it with {where}=...")
    return cls(**values)


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
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Map field names to (annotation, required) for a dataclass."""
    hints = get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    }


def _convert(annotation: Any, value: Any, path: str) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *limits = get_args(annotation)
        return _limited(base, limits, value, path)
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation), value, path)
    if origin is Literal:
        allowed = get_args(annotation)
        if value not in allowed:
            hint = suggest(str(value), [str(a) for a in allowed])
            listed = ", ".join(str(a) for a in allowed)
            raise ConfigError(f"Received {path}={value}; must be one of {listed}{hint}")
        return value
    if origin is tuple:
        return _sequence(get_args(annotation)[0], value, path)
    if dataclasses.is_dataclass(annotation):
        return read(annotation, value, path)  # type: ignore[arg-type]
    return _scalar(annotation, value, path)


def _sequence(item: Any, value: Any, path: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigError(f"Received {path}={value}; must be a list, as in {path}=[{value}]")
    return tuple(_convert(item, v, f"{path}[{i}]") for i, v in enumerate(value))


def _union(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in options:
        return None
    options = tuple(o for o in options if o is not type(None))
    if len(options) == 1:
        return _convert(options[0], value, path)
    if not all(dataclasses.is_dataclass(option) for option in options):
        return _either(options, value, path)
    by_name = {name: option for option in options for name in _tags(option)}
    if isinstance(value, str) and value in by_name:
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"Received {path}={value!r}; must be a group of values with a name, one of "
            f"{', '.join(by_name)}{suggest(str(value), by_name)}"
        )
    name = value.get("name")
    if name not in by_name:
        hint = suggest(str(name), by_name)
        raise ConfigError(f"Received {path}.name={name}; must be one of {', '.join(by_name)}{hint}")
    return read(by_name[name], value, path)


def _either(options: tuple[Any, ...], value: Any, path: str) -> Any:
    """Read `value` as the first of several plain kinds that it fits."""
    wanted = []
    for option in options:
        try:
            return _convert(option, value, path)
        except ConfigError as error:
            wanted.append(str(error).rpartition("; must be ")[2].rstrip("."))
    raise ConfigError(f"Received {path}={value}; must be {' or '.join(wanted)}.")


def _tags(option: type) -> tuple[str, ...]:
    """Return the values that an option's `name` field allows."""
    return get_args(_fields(option)["name"][0])


def _limited(base: Any, limits: list[Range], value: Any, path: str) -> Any:
    ranges = " and ".join(str(limit) for limit in limits)
    try:
        converted = _convert(base, value, path)
    except ConfigError as error:
        if get_origin(base) is None:
            raise ConfigError(f"{str(error).rstrip('.')}, {ranges}.") from None
        raise
    if converted is not None and not all(converted in limit for limit in limits):
        raise ConfigError(f"Received {path}={value}; must be {ranges}.")
    return converted


_NOUNS: dict[type, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def _scalar(kind: type, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    accepted = {
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        bool: isinstance(value, bool),
        str: isinstance(value, str | int) and not isinstance(value, bool),
    }[kind]
    if not accepted or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"Received {path}={value}; must be {_NOUNS[kind]}.")
    return kind(value)
