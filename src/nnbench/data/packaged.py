"""Tables of small integers that come inside an installed package, read without importing it."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import io
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.data.prepare import digest
from nnbench.errors import DataError
from nnbench.schema.deferred import dataclass

REINSTALL = "pip install --force-reinstall --no-deps"
Table = NDArray[np.uint8]


@dataclass(frozen=True)
class PackagedTable:
    """A gzipped CSV without header: pixels, then the label.

    `dataset` is what a user calls it, `module` has the `file` and is never imported,
    `distribution` is what to install. `sha256` is over the table `shape` as uint8, row by row.
    """

    dataset: str
    module: str
    file: str
    distribution: str
    shape: tuple[int, int]
    sha256: str

    def path(self) -> Path | None:
        """Return where the file is, None where it is missing."""
        return located(self.module, self.file)

    def intact(self, table: Table) -> bool:
        """Tell whether `table` is what was published."""
        return (
            table.shape == self.shape and table.dtype == np.uint8 and digest(table) == self.sha256
        )

    def read(self) -> Table:
        """Return the table. Raises DataError where it is missing or damaged."""
        path = found(self.module, self.file, self.dataset, self.distribution)
        table: Table = np.empty((0, 0), np.uint8)
        with contextlib.suppress(OSError, ValueError, EOFError, zlib.error):
            if text := gzip.decompress(path.read_bytes()):
                table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
        if not self.intact(table):
            raise DataError(
                f"{path} is damaged (wrong checksum); reinstall it: {REINSTALL} {self.distribution}"
            )
        return table


def located(module: str, file: str) -> Path | None:
    """Return where a file of an installed package is; importing the package would cost a second."""
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / file
        if path.is_file():
            return path
    return None


def found(module: str, file: str, dataset: str, distribution: str) -> Path:
    """Return where a file of an installed package is. Raises DataError where it is missing."""
    path = located(module, file)
    if path is not None:
        return path
    there = importlib.util.find_spec(module) is not None
    raise DataError(
        f"data={dataset} needs the package {distribution}, which "
        + (
            f"lacks {Path(file).name}. Reinstall it: {REINSTALL} "
            if there
            else "is not installed. Install it: pip install "
        )
        + distribution
    )
