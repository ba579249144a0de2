"""Overrides as they are typed, checked before Hydra reads them: quotes, lists, values of groups."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnbench.config.catalogue import groups, options, usual
from nnbench.errors import ConfigError
from nnbench.schema import suggest, told

KEY = re.compile(r"[~+]*[\w./@-]+")
CLOSED = {"[": "]", "{": "}", "(": ")"}


def check(words: Sequence[str], parse: Callable[[str], Any], many: bool) -> None:
    """Raise ConfigError, one line with the remedy, for the first override that cannot be read.

    `parse` returns Hydra's override, None where it cannot. `many`: a sweep, in which a key may
    have several values. Flags, and words that are no KEY=VALUE, are left to others.
    """
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or word.startswith("-") or not KEY.fullmatch(key):
            continue
        parsed = parse(word)
        if parsed is None:
            raise ConfigError(_unreadable(word, key, value))
        if not many and parsed.is_sweep_override():
            raise ConfigError(_many(word, key, value))
        group = key.lstrip("+")
        if group in groups():
            for each in _values(parsed):
                if not _is_name(each):
                    raise ConfigError(_no_option(word, group, each))


def chosen(group: str, words: Sequence[str]) -> str | None:
    """Return the option of `group` that `words` choose, or that is the default."""
    found = usual(group)
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.lstrip("+") == group:
            found = value
    return found if found in options(group) else None


def quoted(key: str, value: str) -> str:
    """Return KEY=VALUE so that a shell and Hydra take VALUE as text."""
    # Backslashes count where a quote follows.
    inner = re.sub(r'(\\*)("|$)', lambda m: 2 * m[1] + ("\\" + m[2]) * bool(m[2]), value)
    return shlex.quote(f'{key}="{inner}"')


def _unreadable(word: str, key: str, value: str) -> str:
    received = f"Received {told(word)}"
    if value[:1] in CLOSED:
        mark = CLOSED[value[0]]
        if value.count(value[0]) != value.count(mark):
            return f"{received}; the {value[0]} is not closed, as in {shlex.quote(word + mark)}"
        return f'{received}; not a list or mapping: quote its texts, as in ["a b"]'
    if re.match(r"\w+\(", value):
        return f"{received}; no function of Hydra's, as choice(1,2) or range(1,5), reads like this"
    bare = value.strip("'\"")
    return f"{received}; some of its characters need quotes: {quoted(key, bare)}"


def _many(word: str, key: str, value: str) -> str:
    where = f"for a sweep over them: nnbench -m {shlex.quote(word)}"
    if key.lstrip("+") in groups() or "(" in value:
        return f"Received {told(word)}; a run takes one value, {where}"
    as_list = shlex.quote(f"{key}=[{value}]")
    return (
        f"Received {told(word)}; a run takes one value, {where}; "
        f"for a list: {as_list}; for a text with commas: {quoted(key, value)}"
    )


def _values(parsed: Any) -> Iterator[Any]:
    """Yield the value of an override, those of a choice one by one."""
    value = parsed.value()
    if parsed.is_sweep_override():
        yield from getattr(value, "list", ())
    elif not parsed.is_delete():
        yield value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or isinstance(getattr(value, "text", None), str)


def _no_option(word: str, group: str, value: Any) -> str:
    known = options(group)
    if isinstance(value, list | tuple) and value:
        names = ",".join(str(getattr(each, "text", each)) for each in value)
        if all(_is_name(each) for each in value):
            one = f"{group}={value[0]}"
            if len(value) == 1:
                return f"Received {told(word)}; a run takes one {group}: {one}"
            sweep = f"nnbench -m {group}={names}"
            return f"Received {told(word)}; a run takes one {group}, for a sweep: {sweep}"
    listed = ", ".join(map(str, known.values()))
    return f"Received {told(word)}; must be one of {listed}{suggest(str(value), known)}"
