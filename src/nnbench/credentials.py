"""Passwords and tokens: out of everything that is written, printed, uploaded or logged.

A URI is kept without them (`remember`, `hidden_in`). What was typed stays in this process for those
who connect (`usable`); a later process takes it from what is typed then, or from the environment.
Text is shown (`hidden`) without what looks like one, and without those that this process knows.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

STARS = "***"
URI_VARIABLE = "MLFLOW_TRACKING_URI"
QUOTES = "'\""  # in Hydra's grammar
FEWEST = 4  # characters of a password that is looked for by itself: shorter ones are in any text
LONG = 8  # characters from which it is looked for inside of words too
# Variables whose values are hidden wherever they turn up, and those that only a store needs.
_VARIABLE = re.compile(
    r"(?:PASS(?:WORD|WD|PHRASE)|_PWD|SECRET|TOKEN|(?:API|ACCESS|SECRET)_?KEY)$", re.IGNORECASE
)
_OF_STORES = re.compile(r"MLFLOW_TRACKING_(?:URI|USERNAME|PASSWORD|TOKEN)|PGPASSWORD|MYSQL_PWD")
_WORDS = r"pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?"
_NAME = re.compile(
    rf"[\w.-]*(?:{_WORDS}|pass|key|auth|authorization|sig|signature|code|user(?:name)?)",
    re.IGNORECASE,
)
_PUBLIC = "viewStateShareKey"  # names a view in MLflow's links
_SCHEME = r"(?:[A-Za-z][A-Za-z0-9+.-]*:)+//"
_URI = re.compile(rf"({_SCHEME})([^\s'\"<>|`]+)")
_WHOLE = re.compile(rf"({_SCHEME}|)(.*)", re.DOTALL)
_WORD = re.compile(
    rf"([\w.-]*(?:{_WORDS})(?:\s*=\s*|['\"]\s*:\s*))('[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\b(authorization['\"]?\s*[:=]\s*['\"]?\w+\s+|(?:Basic|Bearer)\s+(?=\S{8}))[^\s'\"]+",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?:[\w-]+\.)+[A-Za-z]{2,}(?::\d+)?|localhost(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?"
    r"|[\d.]+(?::\d+)?"
)
_DATABASES = re.compile(r"(?:postgresql|postgres|mysql|mariadb|mssql|oracle)\b")

_typed: dict[str, str] = {}  # what is typed, by what is kept of it
_known: set[str] = set()


def hidden(text: str) -> str:
    """Return `text` fit to be seen: its URIs without user and password, no password or token."""
    text = _clean(text)
    if "=" in text or ":" in text or " " in text:
        text = _HEADER.sub(rf"\1{STARS}", text)
        text = _WORD.sub(rf"\1{STARS}", text)
    return _without(text, _secrets())


def hidden_in(value: Any) -> Any:
    """Return plain data with its URIs fit to be kept; all else as it is."""
    if isinstance(value, str):
        if "://" not in value and "@" not in value:
            return value
        return _without(_clean(value), [each for each in _secrets() if not each.isalpha()])
    if isinstance(value, Mapping):
        return {key: hidden_in(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden_in(item) for item in value]
    return value


def remember(uri: str) -> str:
    """Keep the credentials of `uri` for this process; return what may be written of it.

    The user of a database stays where it came without a password, for others to be found by.
    """
    kept = _bare(*_whole(uri), "?#")
    if kept != uri:
        _typed[kept] = uri
        _known.update(_parts(uri))
    return kept


def notice(word: str) -> None:
    """Keep what is secret in an argument, as it was typed, out of all that is said from now on."""
    value = word.partition("=")[2] if re.match(r"[\w.+~-]+=", word) else word
    if "://" in value or re.search(r":[^@]+@", value):
        _known.update(_parts(value.strip(QUOTES)), *map(_parts, _uris(value)))


def shown(override: str) -> str:
    """Return an override as it may be seen: without the password of a URI."""
    key, equals, value = override.partition("=")
    if key.lstrip("+") == "tracking.uri":
        return f"{key}={remember(value.strip(QUOTES))}"
    fit = hidden if key.lstrip("+").startswith("tracking") else hidden_in
    return f"{key}{equals}{fit(value)}"


def usable(uri: str) -> str:
    """Return `uri` to connect with: as it was typed, or as the environment has it, if either is."""
    kept = remember(uri)
    given = os.environ.get(URI_VARIABLE, "")
    if given and kept not in _typed and remember(given) == kept:
        _typed[kept] = given
    return _typed.get(kept, uri)


def without_stores(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables without those that only who connects to a store needs."""
    return {key: value for key, value in environment.items() if not _OF_STORES.fullmatch(key)}


def _clean(text: str) -> str:
    if "://" not in text:
        return text
    return _URI.sub(lambda found: _bare(found.group(1), found.group(2), "/?#"), text)


def _uris(text: str) -> list[str]:
    return [found.group() for found in _URI.finditer(text)]


def _whole(uri: str) -> tuple[str, str]:
    """Return the scheme, up to its slashes, and the rest of what is a URI as a whole."""
    found = _WHOLE.fullmatch(uri.strip())
    assert found is not None  # it matches all text
    return found.group(1), found.group(2)


def _without(text: str, secrets: list[str]) -> str:
    """Return `text` without these; short ones are left where they are parts of words."""
    for secret in secrets:
        if len(secret) >= LONG:
            text = text.replace(secret, STARS)
        elif secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", STARS, text)
    return text


def _bare(scheme: str, rest: str, ends: str) -> str:
    """Return a URI without its user information and without the secrets of its query.

    What is no URI for the lack of a scheme loses all up to its last `@`.
    """
    end = "" if not (tail := re.search(r"[.,;:)\]]+$", rest)) else tail.group()
    rest = rest[: len(rest) - len(end)]
    user, at = _user(scheme, rest, ends)
    rest = rest[len(at) :]
    kept = f"{user}@" if user and ":" not in user and _DATABASES.match(scheme) else ""
    place, *pairs = re.split(r"([?&;#])", rest)
    mark = ""
    for before, pair in zip(pairs[::2], pairs[1::2], strict=True):
        mark = before if before in "?#" or not mark else mark
        if pair and not _is_secret(pair):
            place, mark = place + (mark or before) + pair, before if before == "#" else "&"
    return f"{scheme}{kept}{place}{end}"


def _user(scheme: str, rest: str, ends: str) -> tuple[str, str]:
    """Return user information, and it with its `@`; empty where there is none.

    A password may hold `/`, `?` and `@`, unquoted: everything up to the last `@` is taken for it,
    unless what comes before one of `ends` is clearly a host (`github.com/a@v1`).
    """
    before, at, _ = rest.rpartition("@")
    local = scheme.startswith(("sqlite", "file")) and rest.startswith("/")
    if not at or local or (not scheme and re.match(r"/(?!/)|\.", rest)):
        return "", ""
    first = re.split(f"[{ends}]", before, maxsplit=1)[0]
    if first != before and _HOST.fullmatch(first):
        return "", ""
    return before, before + at


def _is_secret(pair: str) -> bool:
    """Tell whether a part of a query holds a secret, by its name or inside of its value."""
    name, equals, value = unquote(pair).partition("=")
    return bool(equals and name != _PUBLIC and _NAME.fullmatch(name)) or bool(_WORD.search(value))


def _parts(uri: str) -> set[str]:
    """Return the passwords and tokens in `uri`, as written and in all the ways they are told."""
    scheme, rest = _whole(uri)
    user, at = _user(scheme, rest, "?#")
    name, colon, password = user.partition(":")
    only_name = not colon and _DATABASES.match(scheme)
    found = {password if colon else "" if only_name else name}
    if not scheme:  # and perhaps half of one, `http:/`
        found |= {user[i + 1 :] for i, each in enumerate(user) if each == ":"}
    for pair in re.split(r"[?&;#]", rest[len(at) :])[1:]:
        if _is_secret(pair):
            found.add(pair.partition("=")[2])
            found |= {each.group(2) for each in _WORD.finditer(unquote(pair.partition("=")[2]))}
    told = {way for each in found if each for way in _ways(each)}
    pairs = {f"{n}:{p}" for n in (name, unquote(name)) for p in (password, unquote(password)) if p}
    return told | {base64.b64encode(pair.encode()).decode() for pair in pairs}


def _ways(secret: str) -> set[str]:
    """Return a secret as it is written and meant, in a URI, in JSON and in a program's text.

    Its parts too: a driver that misreads a password tells what it takes for a host.
    """
    found = {secret, unquote(secret), unquote_plus(secret)}
    found |= {part for part in re.split(r"[@/?#:%&;\s]+", secret) if len(part) >= LONG}
    coded = {way(each) for each in found for way in (quote, quote_plus)}
    coded |= {quote(each, safe="") for each in found}
    coded |= {way(each)[1:-1] for each in found for way in (json.dumps, repr)}
    return found | coded


def _secrets() -> list[str]:
    """Return what must not be seen, the longest first."""
    found = set(_known)
    for name, value in os.environ.items():
        if _VARIABLE.search(name):
            found |= _ways(value)
        elif name == URI_VARIABLE:
            found |= _parts(value)
        elif "://" in value and "@" in value:
            found = found.union(*map(_parts, _uris(value)))
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{n}", "") for n in ("USERNAME", "PASSWORD"))
    if password:
        found.add(base64.b64encode(f"{user}:{password}".encode()).decode())
    return sorted((each for each in found if len(each) >= FEWEST), key=len, reverse=True)
