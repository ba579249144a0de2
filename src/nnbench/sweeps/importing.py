"""A program as options of a run: its architecture, loss, optimizer and rates in a folder."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnbench.config.catalogue import options
from nnbench.config.composition import compose
from nnbench.errors import ConfigError, ResultsError
from nnbench.model.recognition import initializer
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.programs import Program, parse, read_program
from nnbench.writing import write

GROUPS = ("arch", "loss", "optimizer", "schedule")
NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Imported:
    """What was read, the files written for it, and the words that choose them in a run."""

    program: Program
    paths: tuple[Path, ...]
    words: tuple[str, ...]


def import_program(word: str, name: str, overrides: Sequence[str], folder: Path) -> Imported:
    """Read and prove `FILE:FUNCTION`; write it as option `name` of four groups into `folder`.

    Nothing is written where it is not understood; then `paths` are empty. Raises ConfigError.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"Received --as {name}; must be a name of letters, digits, _ . and -.")
    if parse(word) is None:
        raise ConfigError(f"Received {word}; must be a program, as in model.py:build.")
    files = {group: folder / group / f"{name}.yaml" for group in GROUPS}
    for group, path in files.items():
        known = options(group).get(name)
        if known is not None and known.path.resolve() != path.resolve():
            raise ConfigError(f"Received --as {name}; there is {group}={name}: take another name.")
    named = {override.partition("=")[0] for override in overrides}
    course = ("data=mnist_5k", "batch_size=32", "shuffle=true", "epochs=3")
    usual = [each for each in course if each.partition("=")[0] not in named]
    regression = ["loss=mse"] if "task=regression" in overrides else []
    cell = compose([*usual, *regression, *overrides])
    with tempfile.TemporaryDirectory() as kept:
        program = read_program(word, cell, [cell.config.seed], Path(kept))
    if not program.understood:
        return Imported(program, (), ())
    settings = program.reading.settings()
    for group, path in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, _yaml(settings[group], f"{group} of {Path(word).name}").encode())
        except OSError as error:
            raise ResultsError(f"Cannot write {path}: {error.strerror or error}.") from None
    words = [f"{group}={name}" for group in GROUPS]
    if init := initializer(program.reading.init):
        words.append(f"init={init}")
    words += ["task=regression"] if program.reading.task == "regression" else []
    return Imported(program, tuple(files.values()), tuple(words))


def _yaml(values: dict[str, Any], title: str) -> str:
    """Return a group's file: JSON is YAML, but for numbers such as 1e-05."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    text = "\n".join([f"# {title}, imported", *lines, ""])
    return re.sub(r"(?<![\w.])(\d+)e([+-]\d+)", r"\1.0e\2", text)
