"""Asking why two programs differ: both sides are read and proved, and then held together."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose, of_record
from nnbench.config.run import Cell
from nnbench.config.studies import experiments
from nnbench.config.words import split
from nnbench.errors import ConfigError
from nnbench.records.lookup import is_recorded, recorded
from nnbench.reporting.diagnosis.diagnosis import Diagnosis, diagnose
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.configured import read_configuration
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.programs import Program, parse, read_objects, read_program

SEEDS = 3
# What both are trained on and how long, where nothing else is said.
COURSE = ("data=mnist_5k", "batch_size=32", "shuffle=true", "epochs=3")
LIKE = ("backend=numpy", "init=torch_default", "loss=cross_entropy", "schedule=constant",
        "tracking=local", "parity=false")  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """Both sides, read, and the configuration that both are run in: `values`, composed."""

    a: Program
    b: Program
    values: dict[str, Any]
    seeds: tuple[int, ...]


def ask(
    a: Any,
    b: Any,
    overrides: Sequence[str],
    seeds: int,
    results: Path,
    folder: Path,
    observer: Observer,
) -> Diagnosis:
    """Say why `a` and `b` give different results; see `sides` for what they may be.

    Raises ConfigError, one line, for a side that cannot be read at all.
    """
    found = sides(a, b, overrides, seeds, results, folder, observer)
    return diagnose(found.a, found.b, found.values, found.seeds, results, observer)


def sides(
    a: Any,
    b: Any,
    overrides: Sequence[str],
    seeds: int,
    results: Path,
    folder: Path,
    observer: Observer,
) -> Sides:
    """Read both sides: programs `FILE:FUNCTION`, a configuration in quotes, or a recorded run.

    Anything that is no text is a program's own objects, of which copies are taken.

    Raises ConfigError, one line, for a side that cannot be read.
    """
    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    words = (a, b)
    files = [parse(word) if isinstance(word, str) else None for word in words]
    texts = [w for w, file in zip(words, files, strict=True) if isinstance(w, str) and not file]
    if len(texts) == 2:
        raise ConfigError(
            f"Received {a} and {b}; one of them must be a program, as in model.py:build. To "
            "compare two configurations or runs: nnbench explain A B",
            instead=("diagnose", "explain"),
        )
    configured = texts[0] if texts else None
    base = _base(configured, overrides, results)
    first = base.config.seed
    numbers = tuple(range(first, first + seeds))
    names = [
        word if isinstance(word, str) else side for word, side in zip(words, "AB", strict=True)
    ]
    observer.say(f"Reading {names[0]} and {names[1]}, and proving that they were understood.")
    places = [folder / side for side in ("a", "b")]
    brings = [file is not None and _brings_data(file[0]) for file in files]
    given = any(word.startswith("data") for word in overrides) or configured is not None
    found: list[Program | None] = [None, None]
    if any(brings) and not given:
        own = brings.index(True)
        found[own] = read_program(words[own], base, numbers, places[own])
        base = _with_data(base, found[own])
        if all(brings):
            observer.say(f"Both bring data; data() of {words[own]} is used for both.")
    left = [i for i in (0, 1) if found[i] is None]
    with ThreadPoolExecutor(len(left)) as pool:
        reading = [pool.submit(_side, names[i], words[i], base, numbers, places[i]) for i in left]
        for i, each in zip(left, reading, strict=True):
            found[i] = each.result()
    one, other = found
    assert one is not None
    assert other is not None
    return Sides(one, other, base.values, numbers)


def _side(name: str, side: Any, base: Cell, seeds: Sequence[int], folder: Path) -> Program:
    if not isinstance(side, str):
        return read_objects(name, side, base, seeds, folder)
    if parse(side):
        return read_program(side, base, seeds, folder, data_given=True)
    return read_configuration(side, base, seeds, folder)


def _base(configured: str | None, overrides: Sequence[str], results: Path) -> Cell:
    """Return the configuration that both sides are run in: the one named, or the usual course."""
    named = {word.partition("=")[0].split(".")[0] for word in overrides}
    if configured is None:
        added = [word for word in (*COURSE, *LIKE) if word.partition("=")[0] not in named]
        if "task=regression" in overrides and "loss" not in named:
            added = [word for word in added if not word.startswith("loss=")] + ["loss=mse"]
        return compose([*added, *overrides, f"results={results}"])
    if "=" not in configured or is_recorded(configured, results):
        if configured not in experiments():
            values = copy.deepcopy(of_record(recorded(configured, results).config))
            if overrides:
                raise ConfigError(
                    f"Received {' '.join(overrides)} with the recorded run {configured}; its own "
                    "data and course are used: leave them out."
                )
            return Cell.read(values | {"case": None, "name": None, "results": str(results)})
        return compose([f"experiment={configured}", *overrides, f"results={results}"])
    typed = split(configured)
    theirs = {word.partition("=")[0] for word in (*typed, *overrides)}
    added = [word for word in COURSE if word.partition("=")[0] not in theirs]
    return compose([*added, *typed, *overrides, f"results={results}"])


def _with_data(base: Cell, side: Program | None) -> Cell:
    assert side is not None
    values = copy.deepcopy(base.values) | {"data": side.data, "task": side.task}
    if side.task == "regression" and values["loss"]["name"] == "cross_entropy":
        values["loss"] = {"name": "mse"}
        values["arch"] = values["arch"] | {"output_activation": "auto"}
    return Cell.read(values)


def _brings_data(path: Path) -> bool:
    """Tell whether a file has a function `data`; one that is no Python is refused later."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return False
    return any(isinstance(n, ast.FunctionDef) and n.name == "data" for n in tree.body)
