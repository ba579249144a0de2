"""Files that others wrote, or that are damaged, read as data: bounded, and never as code.

Sizes are checked before memory is taken. Whatever is wrong with a file is a `Damage` with a few
words, to be put into one line with its path and the remedy; a file that cannot be opened at all is
an OSError.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

MOST_TEXT = 64 * 2**20  # bytes of a text file
LITTLE_TEXT = 2**20  # bytes; what it holds takes little memory
MOST_DEPTH = 32  # of lists and mappings in each other
MOST_CHARACTERS = 2**20  # of one text
MOST_MEMORY = 256 * 2**20  # bytes that the values of a text may take, by its marks and letters
MARK_BYTES = 88  # that a value takes at most, besides the letters of a text
LETTER_BYTES = 8  # where letters are no ASCII: a few copies, of 4 bytes each at most
_noted: ContextVar[list[str] | None] = ContextVar("noted", default=None)


class Damage(ValueError):  # noqa: N818 - it names what happened
    """A file does not hold what it should; the message says how in a few words."""


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Collect, while open, the lines about files that somebody did without."""
    found: list[str] = []
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def note(line: str) -> None:
    """Say to who collects it (`noting`) that a damaged file is done without."""
    found = _noted.get()
    if found is not None and line not in found:
        found.append(line)


def content(path: Path | str, most: int = MOST_TEXT) -> bytes:
    """Return the bytes of a plain file. Raises OSError, and Damage for more than `most`."""
    handle = _handle(path, most)
    try:
        found = os.read(handle, os.fstat(handle).st_size + 1)
        while len(found) <= most and (more := os.read(handle, most + 1 - len(found))):
            found += more  # of a file that grows
    finally:
        os.close(handle)
    return found


def json_object(stored: bytes) -> dict[str, Any]:
    """Return the mapping that UTF-8 JSON holds, plain and of sane size. Raises Damage."""
    values = value_of(stored)
    if not isinstance(values, dict):
        raise Damage("it holds no mapping")
    return values


def value_of(stored: bytes) -> Any:
    """Return what UTF-8 JSON holds, of sane size. Raises Damage."""
    if len(stored) > LITTLE_TEXT:
        _check_weight(stored)
    try:
        value = _DECODER.decode(stored.decode())
        if b"\\u" in stored:
            _check_characters(value)
    except Damage:
        raise
    except RecursionError:
        raise Damage("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise Damage("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise Damage(f"not JSON: {error.msg} in line {error.lineno}") from None
    except ValueError as error:  # a number of thousands of digits
        raise Damage(str(error).partition(";")[0]) from None
    return value


def _check_weight(stored: bytes) -> None:
    """Raise Damage where the values of a text would take too much memory."""
    letters = 1 if stored.isascii() and b"\\u" not in stored else LETTER_BYTES
    weight = letters * len(stored) + MARK_BYTES * sum(map(stored.count, (b",", b":", b"[", b"{")))
    if weight > MOST_MEMORY:
        raise Damage(f"its values would take {weight // 2**20:,} MiB of memory")


def _check_characters(value: Any) -> None:
    """Raise Damage where a text has half of a character."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Damage("it has half of a character") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_characters(key)
            _check_characters(item)
    elif isinstance(value, list):
        for item in value:
            _check_characters(item)


def check_plain(value: Any, depth: int = MOST_DEPTH) -> None:
    """Raise Damage unless `value` is plain data: finite numbers of 64 bits, texts, not too deep."""
    kind = type(value)
    if kind is str:
        if len(value) > MOST_CHARACTERS:
            raise Damage(f"a text of {len(value):,} characters")
    elif kind is int:
        if not -(2**63) <= value < 2**63:
            raise Damage(f"a whole number of {value.bit_length()} bits")
    elif kind is float:
        if value - value != 0:
            raise Damage("a number that is not finite")
    elif kind in (dict, list, tuple):
        if depth == 0:
            raise Damage("it is nested too deeply")
        for item in value.values() if kind is dict else value:
            check_plain(item, depth - 1)
    elif value is not None and kind is not bool:
        raise Damage(f"a value of type {kind.__name__}")


def reason(error: Exception) -> str:
    """Return why a file cannot be used, in a few words, without a full stop."""
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    lines = str(error).strip().splitlines()
    return f"{lines[0][:200].rstrip('. ')}" if lines else type(error).__name__


def opened(path: Path, most: int) -> IO[bytes]:
    """Open a plain file of at most `most` bytes. Raises OSError or Damage."""
    return os.fdopen(_handle(path, most), "rb")


def _handle(path: Path | str, most: int) -> int:
    """Open a plain file of at most `most` bytes; a pipe or a device would never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise Damage("it is " + ("a directory" if stat.S_ISDIR(found.st_mode) else "no plain file"))
    if found.st_size > most:
        os.close(handle)
        raise Damage(f"it has {found.st_size:,} bytes, more than the {most:,} that are read")
    return handle


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = next(a for a, b in pairwise(sorted(key for key, _ in pairs)) if a == b)
        raise Damage(f"'{twice[:40]}' is set twice")
    return values


def _no_number(name: str) -> Any:
    raise Damage(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)
