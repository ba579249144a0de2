"""Overrides as they are typed, checked before Hydra reads them: quotes, lists, values of groups."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnbench.config.catalogue import groups, options, usual
from nnbench.errors import ConfigError
from nnbench.schema import suggest, told

QUOTES = "'\""

KEY = re.compile(r"\+{0,2}[A-Za-z0-9_]+([./@:-][A-Za-z0-9_]+)*", re.ASCII)
CLOSED = {"[": "]", "{": "}", "(": ")"}


def split(text: str) -> list[str]:
    """Return the overrides of a text, taken apart as a shell does. Raises ConfigError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        is_open = "closing" in str(error)
        what = "a quotation mark is not closed" if is_open else "it ends in a backslash"
        raise ConfigError(f"Received {told(text)}; {what}") from None


def check(words: Sequence[str], many: bool = False) -> None:
    """Raise ConfigError, one line, for the first override that cannot be read.

    `many`: a sweep, in which a key may have several values. Flags are left to others.
    """
    parse = _parser()
    for word in words:
        if word.startswith("-"):
            continue
        key, equals, value = word.partition("=")
        bare = key.strip().lstrip("+~")
        if key.lstrip()[:1] == "~":
            raise ConfigError(
                f"Received {told(word)}; a value cannot be deleted: leave ~{told(bare)} out and it "
                "has its default"
            )
        if not equals:
            raise ConfigError(f"Received '{told(word)}'; must be KEY=VALUE, as in batch_size=32")
        if not KEY.fullmatch(key.strip()):
            raise ConfigError(f"Received {told(word)}; there is no such key as '{told(bare)}'")
        parsed = parse(word)
        if parsed is None:
            raise ConfigError(_unreadable(word, key, value))
        if not many and parsed.is_sweep_override():
            raise ConfigError(f"Received {told(word)}; a run takes one value, -m takes several")
        _check_links(word, value)
        if bare == "experiment" and not all(map(_is_name, _values(parsed))):
            raise ConfigError(
                f"Received {told(word)}; must be STUDY/CASE (nnbench --help experiment)"
            )
        if bare in groups():
            for each in _values(parsed):
                if not _is_name(each):
                    raise ConfigError(_no_option(word, bare, each))


def replaced(words: Sequence[str]) -> list[str]:
    """Return a line for each list of a sweep's values that a later word replaces.

    That a later value replaces a single one is what people build on.
    """
    parse = _parser()
    last = {word.partition("=")[0].strip().lstrip("+"): word for word in words}
    return [
        f"{told(last[key])} replaces {told(word)}"
        for word in dict.fromkeys(words)
        if (key := word.partition("=")[0].strip().lstrip("+")) and last[key] != word
        if (found := parse(word)) is not None and found.is_sweep_override()
    ]


def _parser() -> Callable[[str], Any]:
    """Return what reads an override as Hydra does, and gives None for what Hydra cannot read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import RangeSweep
    from hydra.errors import HydraException

    parser = OverridesParser.create()

    def parse(word: str) -> Any:
        with contextlib.suppress(HydraException):
            found = parser.parse_override(word)
            value = found.value()
            if isinstance(value, RangeSweep) and not value.step:
                raise ConfigError(f"Received {told(word)}; the step of a range must not be 0")
            return found
        return None

    return parse


def _check_links(word: str, value: str) -> None:
    """Raise ConfigError for an environment variable that is not set."""
    for name in re.findall(r"\$\{oc\.env:([^,}]*)\}", value):
        if name.strip() not in os.environ:
            told_name = told(name.strip())
            raise ConfigError(
                f"Received {told(word)}; the environment variable {told_name} is not set: export "
                f"{told_name}=..., or say what to take without it: ${{oc.env:{told_name},VALUE}}"
            )


def chosen(group: str, words: Sequence[str]) -> str | None:
    """Return the option of `group` that `words` choose, or that is the default."""
    found = usual(group)
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.lstrip("+") == group:
            found = value
    return found if found in options(group) else None


def in_quotes(value: str) -> str:
    """Return `value` so that Hydra takes it as text."""
    # Backslashes count where a quote follows.
    inner = re.sub(r'(\\*)("|$)', lambda m: 2 * m[1] + ("\\" + m[2]) * bool(m[2]), value)
    return f'"{inner}"'


def _unreadable(word: str, key: str, value: str) -> str:
    received = f"Received {told(word)}"
    if value[:1] in CLOSED:
        mark = CLOSED[value[0]]
        if value.count(value[0]) != value.count(mark):
            return f"{received}; the {value[0]} is not closed"
        return f'{received}; not a list or mapping, in which texts may need quotes, as in ["a b"]'
    if re.match(r"\w+\(", value):
        return f"{received}; no function of Hydra's, as choice(1,2) or range(1,5), reads like this"
    quoted = shlex.quote(f"{key.strip()}={told(in_quotes(value.strip(QUOTES)))}")
    return f"{received}; a text with such characters needs quotes, within the shell's: {quoted}"


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
            if len(value) == 1:
                return f"Received {told(word)}; a run takes one {group}: {group}={value[0]}"
            sweep = f"-m {group}={names}"
            return f"Received {told(word)}; a run takes one {group}, a sweep several: {sweep}"
    listed = ", ".join(map(str, known.values()))
    return f"Received {told(word)}; must be one of {listed}{suggest(str(value), known)}"
