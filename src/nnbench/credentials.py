"""Passwords and tokens: out of everything that is written, printed, uploaded or logged.

A URI is kept without them (`hidden`). What was typed stays in this process (`remember`) for those
who connect (`usable`); a later process takes it from what is typed then, or from the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

STARS = "***"
# Their values are hidden wherever they turn up.
VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "MYSQL_PWD",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "DATABRICKS_TOKEN",
)  # fmt: skip
URI_VARIABLES = ("MLFLOW_TRACKING_URI",)
QUOTES = "'\""  # in Hydra's grammar
FEWEST = 4  # characters of a password that is looked for by itself: shorter ones are in any text
_WORDS = r"pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?"
_QUERY_NAMES = rf"[\w.-]*(?:{_WORDS}|pass|key|auth|authorization|sig|signature|code|user(?:name)?)"
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>|`]+)")
_ONE_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.+)", re.DOTALL)
_NO_SCHEME = re.compile(r"\A[^\s/:@]{2,}:(?!//).*@(?=[^@/]+)", re.DOTALL)
_PUBLIC = "viewStateShareKey"  # names a view in MLflow's links
_QUERY = re.compile(rf"(?<=[?&;#])(?!{_PUBLIC}=){_QUERY_NAMES}=[^&;#\s'\"]*", re.IGNORECASE)
_WORD = re.compile(
    rf"([\w.-]*(?:{_WORDS})(?:\s*=\s*|['\"]\s*:\s*))('[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(authorization['\"]?\s*[:=]\s*['\"]?\w+\s+)[^\s'\"]+", re.IGNORECASE)
_HOST = re.compile(
    r"(?:[\w-]+\.)+[A-Za-z]{2,}(?::\d+)?|localhost(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?"
)
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")

_typed: dict[str, str] = {}  # what is typed, by what is kept of it
_known: set[str] = set()


def hidden(text: str) -> str:
    """Return `text` fit to be seen: its URIs without user and password, no password or token."""
    text = _clean(text)
    if "=" in text or ":" in text:
        text = _HEADER.sub(rf"\1{STARS}", text)
        text = _WORD.sub(rf"\1{STARS}", text)
    for secret in _secrets():
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", STARS, text)
    return text


def hidden_in(value: Any) -> Any:
    """Return plain data with its URIs fit to be kept; all else as it is."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {key: hidden_in(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden_in(item) for item in value]
    return value


def remember(uri: str) -> str:
    """Keep the credentials of `uri` for this process; return what may be written of it.

    The user of a database stays where it came without a password, for others to be found by.
    """
    whole = _ONE_URI.fullmatch(uri.strip())
    shown = _bare(whole) if whole else _NO_SCHEME.sub("", uri)
    if shown != uri:
        _typed[shown] = uri
        _known.update(_parts(uri))
    return shown


def shown(override: str) -> str:
    """Return an override as it may be seen: without the password of a URI."""
    key, equals, value = override.partition("=")
    if key == "tracking.uri":
        return f"{key}={remember(value.strip(QUOTES))}"
    return f"{key}{equals}{hidden_in(value)}"


def usable(uri: str) -> str:
    """Return `uri` to connect with: as it was typed, or as the environment has it, if either is."""
    shown = remember(uri)
    for name in URI_VARIABLES:
        given = os.environ.get(name, "")
        if given and shown not in _typed and remember(given) == shown:
            _typed[shown] = given
    return _typed.get(shown, uri)


def _clean(text: str) -> str:
    return _URI.sub(_bare, text) if "://" in text else text


def _bare(found: re.Match[str]) -> str:
    """Return a URI without its user information and without the secrets of its query."""
    scheme, rest = found.groups()
    end = "" if not (tail := re.search(r"[.,;:)\]]+$", rest)) else tail.group()
    rest = rest[: len(rest) - len(end)]
    user, at = _user(rest)
    rest = rest[len(at) :] if at else rest
    kept = f"{user}@" if user and ":" not in user and _of_database(scheme) else ""
    if "=" in rest:
        rest = _QUERY.sub("", rest)
        rest = re.sub(r"(?<=[?&;#])[&;]+", "", rest)
        rest = re.sub(r"[?&;]+(?=#|$)|#$", "", rest)
    return f"{scheme}://{kept}{rest}{end}"


def _user(rest: str) -> tuple[str, str]:
    """Return user information, and it with its `@`; empty where there is none.

    A password may hold `/`, `?` and `@`, unquoted: everything up to the last `@` is taken for it,
    unless what comes first is clearly a host (`github.com/a@v1`).
    """
    before, at, _ = rest.rpartition("@")
    if rest.startswith("/"):  # a path: file:///a@b
        return "", ""
    first = re.split(r"[/?#]", before, maxsplit=1)[0]
    if not at or (first != before and _HOST.fullmatch(first)):
        return "", ""
    return before, before + at


def _of_database(uri: str) -> bool:
    return re.split(r"[+:]", uri, maxsplit=1)[0].lower() in _DATABASES


def _parts(uri: str) -> set[str]:
    """Return the passwords and tokens in `uri`, as written and as they are meant."""
    found = set[str]()
    whole = _ONE_URI.fullmatch(uri.strip())
    rest = whole.group(2) if whole else uri
    user, _ = _user(rest)
    name, colon, password = user.partition(":")
    found.add(password if colon else name)
    found |= {text.partition("=")[2] for text in _QUERY.findall(rest)}
    if _of_database(uri):
        found = {each for each in found if f"://{each}@" not in uri}
    meant = {unquote(each) for each in found}
    return {each for each in (*found, *meant, *map(quote, meant), *map(quote_plus, meant)) if each}


def _secrets() -> list[str]:
    """Return what must not be seen, the longest first."""
    given = {os.environ[name] for name in VARIABLES if name in os.environ}
    for name in URI_VARIABLES:
        if "@" in os.environ.get(name, "") or "=" in os.environ.get(name, ""):
            given |= _parts(os.environ[name])
    return sorted((s for s in given | _known if len(s) >= FEWEST), key=len, reverse=True)
