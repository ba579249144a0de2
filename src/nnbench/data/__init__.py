"""The data room: named data sets as splits, with digests. One small file per source."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from nnbench.data.config import DataConfig
from nnbench.data.dataset import Dataset
from nnbench.data.prepare import prepare
from nnbench.errors import DataError
from nnbench.schema import suggest
from nnbench.spec import TaskKind

SOURCES = {
    "mnist_5k": "5,000 real MNIST digits, embedded",
    "mnist": "MNIST, 60,000 and 10,000 digits",
    "digits": "1,797 digits of 8x8 pixels, embedded",
    "synthetic": "made-up data of any size",
    "csv": "a table of your own: data.path=FILE",
    "npz": "NumPy arrays of your own: data.path=FILE",
}


@dataclass(frozen=True)
class Availability:
    """Whether a data set can be used here without a network, and where it is or the remedy."""

    name: str
    description: str
    usable: bool
    where: str


def load(config: DataConfig, *, kind: TaskKind, seed: int) -> Dataset:
    """Load, split and normalise as `config` says; `seed` splits where `split_seed` is None.

    Raises DataError for missing or damaged files, ConfigError where task and data do not fit.
    """
    split_seed = seed if config.split_seed is None else config.split_seed
    source = importlib.import_module(f"nnbench.data.{_module(config.name)}")
    return prepare(source.load(config, kind, split_seed), config, kind, split_seed)


def available() -> list[Availability]:
    """Say for every data set whether it is usable here."""
    found = []
    for name, description in SOURCES.items():
        source = importlib.import_module(f"nnbench.data.{_module(name)}")
        usable, where = source.available()
        found.append(Availability(name, description, usable, where))
    return found


def fetch(name: str) -> Path:
    """Put a data set where runs find it, verified; return its folder or file.

    Raises DataError where it cannot be had, or needs no fetching.
    """
    if name not in SOURCES:
        hint = suggest(name, SOURCES)
        raise DataError(f"Received {name}; there is {', '.join(SOURCES)}{hint}")
    source = importlib.import_module(f"nnbench.data.{_module(name)}")
    if not hasattr(source, "fetch"):
        raise DataError(f"{name} needs no fetching: {SOURCES[name]}.")
    return source.fetch()


def _module(name: str) -> str:
    """Return the module of a source; `csv` is the standard library's name for its own."""
    return "csv_table" if name == "csv" else name
