"""What has been measured, a line each as soon as it is known: a bench that was stopped goes on.

The first line says where; on another machine, with other versions or other work, nothing is added.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
SCHEMA = 1


class Other(Exception):  # noqa: N818 - it names what the file is
    """The journal is of something else; the text says what differs."""


class Journal:
    """The lines of a file; `where` is what all of them were measured with.

    Raises Other where the file has lines of another `where`.
    """

    def __init__(self, path: Path, where: dict[str, Any], fresh: bool = False) -> None:
        self.path = path
        if fresh:
            path.unlink(missing_ok=True)
        found = _read(path)
        begun, self.lines = (found[0] if found else None), found[1:]
        where = json.loads(json.dumps(where))
        if begun is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            begun = {"what": "where", "schema": SCHEMA, "where": where, "at": time.time()}
            path.write_text(f"{json.dumps(begun)}\n", "utf-8")
        else:  # what a kill has cut off goes
            whole = "".join(f"{json.dumps(line)}\n" for line in (begun, *self.lines))
            if path.read_text("utf-8") != whole:
                _replace(path, whole)
        if begun.get("schema") != SCHEMA or begun["where"] != where:
            raise Other(", ".join(differing(begun.get("where", {}), where)) or "its schema")
        self.where: dict[str, Any] = where

    def add(self, **line: Any) -> None:
        """Append a line, and have it on the disk."""
        line["at"] = time.time()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)

    def of(self, workload: str, contender: str | None = None) -> Iterator[Line]:
        """Yield the measurements of a workload, those of one contender."""
        for line in self.lines:
            known = (line["what"], line["workload"]) == ("time", workload)
            if known and contender in (None, line["contender"]):
                yield line

    def last(self, workload: str, contender: str, turn: int) -> Line | None:
        """Return the last attempt at a contender in a round, None before the first."""
        found = [line for line in self.of(workload, contender) if line["round"] == turn]
        return found[-1] if found else None

    def failed(self, workload: str, contender: str) -> str | None:
        """Return why a contender was left out, None where it was not."""
        wanted = ("failed", workload, contender)
        found = (li for li in self.lines if (li["what"], li["workload"], li["contender"]) == wanted)
        return next((str(line["why"]) for line in found), None)

    def rounds(self, workload: str, contender: str) -> dict[int, Line]:
        """Return, by round, what counts: undisturbed attempts, all where there is none."""
        lines = {line["round"]: line for line in self.of(workload, contender)}
        undisturbed = {turn: line for turn, line in lines.items() if not line["contended"]}
        return undisturbed or lines


def order(workload: str, contenders: Sequence[str], turn: int) -> list[str]:
    """Return in which order contenders go in a round, counted from 0.

    By chance in every even round and backwards in the next: what changes steadily meanwhile is as
    good for one as for another. The same in every call, so that a stopped round goes on.
    """
    shuffled = sorted(contenders)
    random.Random(f"{workload} {turn // 2}").shuffle(shuffled)
    return shuffled[::-1] if turn % 2 else shuffled


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return `NAME OLD, now NEW` for what differs."""
    names = sorted({*old, *new})
    return [f"{n} {old.get(n)}, now {new.get(n)}" for n in names if old.get(n) != new.get(n)]


def _read(path: Path) -> list[Line]:
    """Return the whole lines of a file: what a kill has cut off is left out."""
    found = []
    text = path.read_text("utf-8") if path.exists() else ""
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)
