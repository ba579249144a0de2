"""Data sets: `load` one for a run; `catalog` says what is usable here and brings the others.

Each source is a file of its own that returns a `Payload`; `prepare` does what all have in common.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from nnbench.data.config import (
    BreastCancer,
    Cifar10,
    Csv,
    DataConfig,
    Diabetes,
    Digits,
    FashionMnist,
    Iris,
    Mnist,
    Mnist5k,
    Npz,
    Sequences,
    Synthetic,
    Wine,
)
from nnbench.data.dataset import ArraySpec, Dataset, Split
from nnbench.model.losses import TaskKind

if TYPE_CHECKING:
    from nnbench.data.prepare import Payload

__all__ = ["ArraySpec", "Dataset", "Split", "load", "outline"]


def load(config: DataConfig, *, kind: TaskKind, seed: int) -> Dataset:
    """Return the data set of `config`, split, cut and normalised for a task of `kind`.

    `seed` is the run's; it decides splits where `config.split_seed` is None. Raises DataError or
    ConfigError.
    """
    from nnbench.data import prepare

    return prepare.build(_payload(config, kind, seed), config, kind, seed)


def outline(config: DataConfig, *, kind: TaskKind, seed: int) -> Dataset:
    """Return what `load` does without the samples; read once in a process for each data set."""
    return _outline(config, kind, seed if isinstance(config, Synthetic | Sequences) else 0)


@functools.cache
def _outline(config: DataConfig, kind: TaskKind, seed: int) -> Dataset:
    return replace(load(config, kind=kind, seed=seed), splits={})


def _payload(config: DataConfig, kind: TaskKind, seed: int) -> Payload:  # noqa: PLR0911 - a table
    from nnbench.data import bundled, cifar10, csv, digits, mnist, mnist_5k, npz, prepare, sequences
    from nnbench.data import synthetic as made_up

    match config:
        case Mnist5k():
            return mnist_5k.read()
        case Mnist() | FashionMnist():
            payload = mnist.SOURCES[config.name].read(config.root)
            return prepare.only(payload, config.only, config.test_fraction)
        case Cifar10():
            return cifar10.read(config.root)
        case Digits():
            return digits.read(config)
        case Iris() | Wine() | BreastCancer() | Diabetes():
            return bundled.read(config)
        case Csv():
            return csv.read(config, kind)
        case Npz():
            return npz.read(config, kind)
        case Synthetic():
            return made_up.read(config, kind, seed)
        case Sequences():
            return sequences.read(config, seed)
