"""The facts of a run by dotted key: everything that its record holds and is not known harmless."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nnbench.formatting import cut
from nnbench.records.flags import TOLD
from nnbench.records.machine import OWN_PACKAGES
from nnbench.records.run import RunResult
from nnbench.records.settings import settings
from nnbench.reporting.comparison.treatment import EXPECTED, rule

NOT_RECORDED = "not recorded"
NOT_SET = "not set"
VARIABLES = "machine.environment"
SHOWN = 100  # characters of a value
DIGEST = 12  # of a digest
SEEDED = ("synthetic", "sequences")  # data that is drawn anew for each seed

PLAIN = (str, int, float, bool, type(None))  # of which most leaves are

Facts = dict[str, Any]


def facts(run: RunResult) -> Facts:
    """Return the facts of `run`, settings aside: these make groups, and are told by them.

    Lists of plain values are one fact, other lists one for each element. Left out are variables
    that the backend's own `env` sets, and flags that have notes of their own. Facts that every
    record has today and this one lacks are `NOT_RECORDED`.
    """
    found: Facts = dict.fromkeys(EXPECTED, NOT_RECORDED)
    for field in dataclasses.fields(run):
        if field.name not in ("config", "directory", "flags"):
            _gather(getattr(run, field.name), field.name, found)
    # Those that only want telling are told by name.
    found["flags"] = tuple(str(flag) for flag in run.flags if not isinstance(flag, TOLD))
    known = settings(run.config)
    typed: Facts = {}
    _gather(run.config, "config", typed)
    for key, value in typed.items():
        path = key.removeprefix("config.")
        if path not in known or path.startswith("backend.") or rule(key).what == "apart":
            found[key] = value
    if "environment" in run.machine:
        found[VARIABLES] = "recorded"
    backend = run.config.get("backend") or {}
    for pair in backend.get("env") or ():
        name, _, value = str(pair).partition("=")
        if found.get(f"{VARIABLES}.{name}") == value:
            del found[f"{VARIABLES}.{name}"]
    for package in (*OWN_PACKAGES, *(backend.get("packages") or ())):
        found.setdefault(f"machine.versions.{package}", NOT_RECORDED)
    return found | _rates(run)


def absent(key: str, others: Mapping[str, Any]) -> str:
    """Return what it means that a run with the facts `others` has none by this key."""
    return NOT_SET if key.startswith(f"{VARIABLES}.") and VARIABLES in others else NOT_RECORDED


def is_drawn(run: RunResult) -> bool:
    """Tell whether the data of `run` is drawn anew for each seed."""
    return run.data.get("name") in SEEDED


def two(first: Any, second: Any) -> tuple[str, str]:
    """Return two different values as short texts that differ: cut around where they part."""
    texts = [_text(value) for value in (first, second)]
    at = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), 0)
    if at > SHOWN - DIGEST:
        texts = [f"...{text[at - DIGEST :]}" for text in texts]
    return cut(texts[0], SHOWN), cut(texts[1], SHOWN)


def _text(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    text = str(value)
    is_digest = len(text) >= 40 and all(c in "0123456789abcdef" for c in text)
    return text[:DIGEST] if is_digest else text


def _gather(value: Any, key: str, found: Facts) -> None:
    """Put the leaves below `key` that are not harmless into `found`."""
    kind = type(value)
    if kind is dict or (kind not in PLAIN and isinstance(value, Mapping)):
        for name, item in value.items():
            _gather(item, f"{key}.{name}", found)
    elif rule(key).what == "harmless":
        return
    elif kind in PLAIN or not isinstance(value, list | tuple):
        found[key] = value
    elif any(type(v) not in PLAIN and isinstance(v, Mapping | list | tuple) for v in value):
        for i, item in enumerate(value):
            _gather(item, f"{key}.{i}", found)
    else:
        found[key] = tuple(
            v if type(v) in PLAIN or not dataclasses.is_dataclass(v) else str(v) for v in value
        )


def _rates(run: RunResult) -> Facts:
    """Return the learning rate of each epoch, but where figures decide it, or when a run ends."""
    plateau = (run.config.get("schedule") or {}).get("name") == "plateau"
    complete = len(run.epochs) == run.config.get("epochs")
    if plateau or not complete:
        return {}
    return {"epochs.learning_rate": tuple(epoch.learning_rate for epoch in run.epochs)}
