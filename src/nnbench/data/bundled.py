"""Scikit-learn's small tables, iris, wine, breast_cancer, diabetes, without importing it."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import Tables
from nnbench.data.dataset import Split
from nnbench.data.packaged import REINSTALL, found
from nnbench.data.prepare import Payload, digest
from nnbench.errors import DataError
from nnbench.schema.deferred import dataclass

FOLDER = "datasets/data"


@dataclass(frozen=True)
class Source:
    """Files whose columns stand side by side, the target last; `sha256` is over them as float64."""

    files: tuple[str, ...]
    skip: int
    shape: tuple[int, int]
    sha256: str
    classes: bool = True


SOURCES = {
    "iris": Source(
        ("iris.csv",),
        1,
        (150, 5),
        "6e592aace77bce225cd6af938de731a5798c8c30ee9cc5f1cd6abdea81e3bb25",
    ),
    "wine": Source(
        ("wine_data.csv",),
        1,
        (178, 14),
        "b6ff7c6847be41ee158bdf2267e98a97e1d240566564154aba1c0cc61f551fc3",
    ),
    "breast_cancer": Source(
        ("breast_cancer.csv",),
        1,
        (569, 31),
        "54cbf95e148c6eed11e8b2ac1637b5f44a8053293412279de71c47b345e9eb50",
    ),
    "diabetes": Source(
        ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
        0,
        (442, 11),
        "839c546b0b4ac02c2e6cbe5e5c92313cefa993446c9733e9b49477cc3f96e104",
        classes=False,
    ),
}


def read(config: Tables) -> Payload:
    """Return a table; inputs float64 `(n, columns)` as measured, targets labels or numbers.

    Raises DataError where it is missing or damaged.
    """
    source = SOURCES[config.name]
    table = load(config.name)
    inputs, target = np.ascontiguousarray(table[:, :-1]), table[:, -1]
    labels = target.astype(np.int64) if source.classes else target[:, None].copy()
    return Payload(
        {"all": Split(inputs, labels)},
        source.sha256,
        f"data={config.name}",
        test_fraction=config.test_fraction,
    )


def load(name: str) -> NDArray[np.float64]:
    """Return the table called `name`, verified. Raises DataError."""
    source = SOURCES[name]
    parts = []
    for file in source.files:
        path = found("sklearn", f"{FOLDER}/{file}", name, "scikit-learn")
        with contextlib.suppress(OSError, ValueError, EOFError, zlib.error):
            stored = path.read_bytes()
            text = gzip.decompress(stored) if file.endswith(".gz") else stored
            delimiter = "," if b"," in text[:200] else None
            parts.append(
                np.loadtxt(io.BytesIO(text), delimiter=delimiter, skiprows=source.skip, ndmin=2)
            )
    with contextlib.suppress(ValueError):
        table = np.hstack(parts) if parts else np.empty((0, 0))
        if table.shape == source.shape and digest(table) == source.sha256:
            return table
    raise DataError(f"{path} is damaged (wrong checksum); reinstall it: {REINSTALL} scikit-learn")
