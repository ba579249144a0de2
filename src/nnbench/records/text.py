"""The text of run.json: its digest, its head, its fields.

A record that is over is written with a line for each value: `pieces` tells where those of the
outermost mapping begin. Where each piece is JSON by itself, the whole is the mapping of them, for
JSON has no other reading; where one is not, somebody else wrote the file, and it is parsed as a
whole. So what the records of a folder share is parsed and checked once, and who lists a thousand
of them parses none that are not shown.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from nnbench.credentials import hidden_in
from nnbench.errors import ConfigError
from nnbench.schema import convert, keys_of, told
from nnbench.schema.files import Damage, json_object, value_of

DIGEST_SINCE = 4  # version of run.json
LONGEST_SHARED = 4096  # bytes of a piece that is kept to be met again
MOST_SHARED = 1024  # pieces
MOST_PIECES = 1000  # of a mapping that is taken apart
_KEYS = {depth: re.compile(rb'\n {%d}"(\w+)": ' % depth) for depth in (1, 2)}
_TEXT = rb'("(?:[^"\\\n]|\\.){0,500}"|null)'  # longer ones take more to tell
_FIRST = re.compile(  # of a record as nnbench writes it
    rb'\{\n "run_id": %b,\n "name": %b,\n "status": %b,\n "semantics": %b,\n "fingerprint": %b,'
    rb'\n "created": %b,\n' % ((_TEXT,) * 6)
)
_SWEEP = re.compile(rb'\n "sweep": %b,\n' % _TEXT)
_VERSION = re.compile(rb'\n "schema_version": (\d),?\n')


class Newer(Exception):  # noqa: N818 - it names what was found
    """A record of a version that is not known yet."""


class Form(NamedTuple):
    """What a record is made of: `kinds` of its fields, those `required`, the `newest` version.

    `settings` are the kinds of the keys in its field `config`.
    """

    kinds: dict[str, Any]
    required: frozenset[str]
    newest: int
    settings: Any


class Head(NamedTuple):
    """What a list of runs chooses by."""

    run_id: str
    name: str
    status: str
    created: str
    sweep: str | None


def head(stored: bytes) -> Head | None:
    """Return the head of a record whose digest is right; None where it takes more to tell."""
    first = _FIRST.match(stored)
    sweep = _SWEEP.match(stored, max(stored.rfind(b'\n "sweep": '), 0))
    version = _VERSION.match(stored, max(stored.rfind(b'\n "schema_version": '), 0))
    if not (first and sweep and version) or int(version[1]) < DIGEST_SINCE:
        return None
    if not has_its_digest(stored):
        return None
    try:
        run_id, name, status, _, _, created, swept = map(_text, (*first.groups(), sweep[1]))
    except (Damage, UnicodeDecodeError):
        return None
    if not (run_id and name and status and created):
        return None
    return Head(run_id, name, status, created, swept)


def _text(stored: bytes) -> str | None:
    if stored == b"null":
        return None
    return str(value_of(stored)) if b"\\" in stored else stored[1:-1].decode()


def digest(before: bytes) -> bytes:
    """Return the digest of the text of a record up to its last key, which is `digest`."""
    return hashlib.blake2b(before, digest_size=16).hexdigest().encode()


def has_its_digest(stored: bytes) -> bool:
    """Tell whether the digest at the end of a record is that of the text before."""
    before, _, after = stored.rpartition(b'"digest"')
    return after.strip(b' :"}\r\n\t') == digest(before)


def fields(stored: bytes, form: Form) -> dict[str, Any]:
    """Return the fields of a record. Raises Damage, ConfigError or Newer.

    Records share what they have in common: nobody changes the values of a record.
    """
    try:
        found = _by_pieces(stored, form)
    except (Damage, ConfigError):  # of the whole it is said what is wrong, and where
        found = None
    return _as_a_whole(stored, form) if found is None else found


def pieces(stored: bytes, depth: int = 1) -> dict[str, bytes] | None:
    """Return the texts of a mapping's values by key, where keys begin lines, `depth` spaces in.

    None where it is written in another way, or a key is there twice.
    """
    starts = list(islice(_KEYS[depth].finditer(stored), MOST_PIECES + 1))
    end = stored.rstrip(b"\n").removesuffix(b"\n" + b" " * (depth - 1) + b"}")
    if not 0 < len(starts) <= MOST_PIECES:
        return None
    if stored[: starts[0].start()] != b"{" or len(end) == len(stored):
        return None
    found = {}
    for this, following in pairwise(starts):
        if stored[following.start() - 1 : following.start()] != b",":
            return None
        found[this[1].decode()] = stored[this.end() : following.start() - 1]
    found[starts[-1][1].decode()] = end[starts[-1].end() :]
    return found if len(found) == len(starts) else None


def _by_pieces(stored: bytes, form: Form) -> dict[str, Any] | None:
    """Return the fields of a record that is written as nnbench does; None of others."""
    texts = pieces(stored)
    if texts is None or texts.pop("digest", None) is None or not has_its_digest(stored):
        return None
    version = texts.get("schema_version", b"")
    known = version.isdigit() and DIGEST_SINCE <= int(version[:9]) <= form.newest
    if not known or not form.required <= texts.keys() <= form.kinds.keys():
        return None
    config, keys = pieces(texts.pop("config"), 2), keys_of(form.settings)
    if config is None or any(key.required and name not in config for name, key in keys.items()):
        return None
    found = {name: _checked(form.kinds[name], text, name) for name, text in texts.items()}
    found["config"] = {
        name: _checked(keys[name].kind if name in keys else Any, text, f"config.{name}")
        for name, text in config.items()
    }
    return found


def _as_a_whole(stored: bytes, form: Form) -> dict[str, Any]:
    """Return the fields of any record. Raises Damage, ConfigError or Newer."""
    values = json_object(stored)
    version = values.get("schema_version")
    if type(version) is not int or version < 1:
        raise Damage("it has no version")
    if version > form.newest:
        raise Newer(version)
    if version >= DIGEST_SINCE and not has_its_digest(stored):
        raise Damage("its digest does not match")
    values.pop("digest", None)
    if unknown := [told(name) for name in values if name not in form.kinds]:
        raise Damage(f"it has '{unknown[0]}', which no record has")
    if lacks := form.required - values.keys():
        raise Damage(f"it lacks {', '.join(sorted(lacks))}")
    flags = values.get("flags")
    if isinstance(flags, list):  # sentences, before version 5
        values["flags"] = [{"name": "said", "text": f} if isinstance(f, str) else f for f in flags]
    values = hidden_in(values) if _may_hold_uri(stored) else values
    return {name: convert(form.kinds[name], value, name) for name, value in values.items()}


def _checked(kind: Any, text: bytes, name: str) -> Any:
    """Return what a piece holds, as `kind` has it. Raises Damage or ConfigError."""
    return (_shared if len(text) <= LONGEST_SHARED else _read)(kind, text, name)


def _read(kind: Any, text: bytes, name: str) -> Any:
    value = value_of(text)
    return convert(kind, hidden_in(value) if _may_hold_uri(text) else value, name)


_shared = lru_cache(maxsize=MOST_SHARED)(_read)


def _may_hold_uri(stored: bytes) -> bool:
    """Tell whether a text may have a URI in it, be it escaped."""
    return b"://" in stored or b"\\" in stored
