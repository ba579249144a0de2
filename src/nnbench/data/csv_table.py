"""CSV tables: a header, a label column, numbers."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import Csv
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import DataError
from nnbench.spec import TaskKind

IMAGE_COLUMNS = 17  # more columns than this, all integers from 0 to 255: pixels


def load(config: Csv, kind: TaskKind, split_seed: int) -> Raw:
    """Return the table or, with `test_path`, two of the same columns."""
    train, columns, digest = _read(Path(config.path), config.label, kind)
    test = None
    if config.test_path is not None:
        test, others, test_digest = _read(Path(config.test_path), config.label, kind)
        digest = hashlib.sha256(f"{digest}{test_digest}".encode()).hexdigest()
        if others != columns:
            raise DataError(
                f"{config.test_path} has other columns than {config.path}; they must be the same."
            )
    pixels = _are_pixels(train) and (test is None or _are_pixels(test))
    if pixels:
        train, test = _as_bytes(train), test and _as_bytes(test)
    return Raw(
        Path(config.path).stem,
        train,
        test,
        digest,
        scale=1 / 255 if pixels else 1.0,
        test_fraction=config.test_fraction,
    )


def available() -> tuple[bool, str]:
    """A table is the user's own."""
    return True, "data=csv data.path=FILE"


def _read(path: Path, label: str, kind: TaskKind) -> tuple[Split, list[str], str]:
    """Return the split, the names of its columns and the file's digest."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"Cannot read data.path={path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text (byte {error.start}); give a CSV file.") from None
    rows = csv.reader(text.splitlines())
    columns = [name.strip() for name in next(rows, [])]
    at = _label_column(path, columns, label)
    table = np.array(list(_numbers(path, rows, columns)), np.float64)
    if not len(table):
        raise DataError(f"{path} has a header and no rows.")
    inputs = np.delete(table, at, axis=1)
    targets = _targets(path, table[:, at], kind, columns[at])
    return Split(inputs, targets), columns, hashlib.sha256(content).hexdigest()


def _label_column(path: Path, columns: list[str], label: str) -> int:
    if not columns:
        raise DataError(f"{path} is empty; it needs a header with the column {label}.")
    if label not in columns:
        listed = ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")
        raise DataError(
            f"{path} has no column '{label}' (its header: {listed}); set data.label=COLUMN."
        )
    if len(columns) < 2:
        raise DataError(f"{path} has no column besides '{label}'.")
    return columns.index(label)


def _numbers(path: Path, rows: Any, columns: list[str]) -> Iterator[list[float]]:
    """Yield each row as floats; raises DataError with the number of a bad line."""
    for row in rows:
        if not row:
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) != len(columns):
            raise DataError(f"{where}: {len(row)} fields, the header has {len(columns)}.")
        try:
            values = [float(field) for field in row]
        except ValueError:
            raise DataError(f"{where}: {_first_bad(row, columns)} is not a number.") from None
        if not all(value - value == 0 for value in values):
            raise DataError(f"{where}: {_first_bad(row, columns)} is not finite.")
        yield values


def _first_bad(row: list[str], columns: list[str]) -> str:
    for name, field in zip(columns, row, strict=True):
        try:
            value = float(field)
        except ValueError:
            return f"{name}={field.strip()!r}"
        if value - value != 0:
            return f"{name}={field.strip()}"
    raise AssertionError("no bad field")


def _targets(path: Path, values: NDArray[np.float64], kind: TaskKind, name: str) -> NDArray[Any]:
    if kind == "regression":
        return values[:, None].copy()
    bad = np.flatnonzero((values != np.round(values)) | (values < 0))
    if len(bad):
        raise DataError(
            f"{path}, row {bad[0] + 1} after the header: {name}={values[bad[0]]:g}; a class label "
            "must be 0, 1, 2, ... (task=regression takes numbers)."
        )
    return values.astype(np.int64)


def _are_pixels(split: Split) -> bool:
    x = split.inputs
    if x.shape[1] < IMAGE_COLUMNS or x.min() < 0 or x.max() > 255:
        return False
    return bool((x == np.round(x)).all())


def _as_bytes(split: Split) -> Split:
    return Split(split.inputs.astype(np.uint8), split.targets)
