"""Tables in CSV files: a header, a label column and numbers, as in Kaggle's MNIST.

NumPy parses the file; where it fails or a value is out of order, the rows are walked one by one
with the csv module to name the line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import Csv
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload
from nnbench.errors import DataError
from nnbench.model.losses import TaskKind
from nnbench.schema import files, suggest

MIN_PIXELS = 16


@dataclass(frozen=True)
class Table:
    """A parsed file: `values` float64 `(rows, columns)`, all finite."""

    path: Path
    text: str
    columns: list[str]
    values: NDArray[np.float64]
    sha256: str


def read(config: Csv, kind: TaskKind) -> Payload:
    """Return the table, and that of `test_path` if there is one.

    Inputs are uint8 `(n, columns)` where every one is a whole number from 0 to 255 and they look
    like images (more than 16 columns, values beyond 127), else float64. Raises DataError with the
    path, the line and the value.
    """
    tables = {"train" if config.test_path else "all": _table("data.path", config.path)}
    if config.test_path:
        tables["test"] = _table("data.test_path", config.test_path)
        _check_same_columns(tables["train"], tables["test"])
    split = {name: _inputs_and_targets(t, config.label, kind) for name, t in tables.items()}
    images = _are_images([inputs for inputs, _ in split.values()])
    parts = {
        name: Split(inputs.astype(np.uint8) if images else inputs, targets)
        for name, (inputs, targets) in split.items()
    }
    digests = [table.sha256 for table in tables.values()]
    digest = digests[0]
    if len(digests) > 1:
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Payload(parts, digest, config.path, test_fraction=config.test_fraction)


def _table(setting: str, name: str) -> Table:
    path = Path(name).expanduser()
    try:
        data = files.content(path, files.MOST_TENSORS)
    except (OSError, files.Damage) as error:
        why = files.reason(error)
        raise DataError(f"Received {setting}={path}; cannot read it ({why})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; data=csv reads plain CSV files") from None
    columns = _header(path, text)
    return Table(
        path, text, columns, _values(path, text, columns), hashlib.sha256(data).hexdigest()
    )


def _header(path: Path, text: str) -> list[str]:
    row = next(_rows(path, text), None)
    if row is None:
        raise DataError(f"{path} is empty; it needs a header line and rows of numbers")
    columns = [field.strip() for field in row[1]]
    if _numbers(columns) is not None:
        raise DataError(
            f"{path}:{row[0]}: the first line is all numbers, {_few(columns)}; "
            "it must be a header that names the columns"
        )
    for column in columns:
        if columns.count(column) > 1:
            raise DataError(f"{path}:{row[0]}: column {column!r} appears twice in the header")
    return columns


def _values(path: Path, text: str, columns: list[str]) -> NDArray[np.float64]:
    """Return the rows below the header, float64 `(rows, columns)`."""
    lines = io.StringIO(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no rows is said below
            values = np.loadtxt(
                lines, delimiter=",", skiprows=1, comments=None, quotechar='"', ndmin=2
            )
    except ValueError:
        values = np.empty((0, 0))
    if len(values) and values.shape[1] == len(columns) and np.isfinite(values).all():
        return values
    return _values_line_by_line(path, text, columns)


def _values_line_by_line(path: Path, text: str, columns: list[str]) -> NDArray[np.float64]:
    """Parse slowly; raise DataError for the first bad row."""
    values = []
    rows = _rows(path, text)
    next(rows)
    for line, fields in rows:
        if len(fields) != len(columns):
            raise DataError(
                f"{path}:{line}: received {len(fields)} fields, {_few(fields)}; "
                f"must be {len(columns)} as in the header"
            )
        numbers = _numbers(fields)
        if numbers is None:
            position = next(i for i, field in enumerate(fields) if _numbers([field]) is None)
            what = repr(fields[position]) if fields[position].strip() else "nothing"
            raise DataError(
                f"{path}:{line}: received {what} in column {columns[position]!r}; must be a number"
            )
        values.append(numbers)
    if not values:
        raise DataError(f"{path} has a header and no rows; it needs rows of numbers")
    return np.array(values, dtype=np.float64)


def _inputs_and_targets(
    table: Table, label: str, kind: TaskKind
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return inputs `(n, columns)` and targets, int64 `(n,)` or float64 `(n, 1)`."""
    if label not in table.columns:
        tabbed = [name for name, mark in (("';'", ";"), ("tabs", "\t")) if mark in table.columns[0]]
        hint = f"; fields must be separated by commas, not {tabbed[0]}" if tabbed else ""
        raise DataError(
            f"Received data.label={label}; {table.path} has {_few(table.columns)}"
            f"{hint or suggest(label, table.columns)}"
        )
    position = table.columns.index(label)
    inputs = np.delete(table.values, position, axis=1)
    if inputs.shape[1] == 0:
        raise DataError(f"{table.path} has no column besides {label!r}; it needs inputs too")
    target = table.values[:, position]
    if kind == "regression":
        return inputs, target[:, None].copy()
    wrong = np.flatnonzero((target < 0) | (target != np.floor(target)) | (target >= 2**31))
    if len(wrong):
        _reject_label(table, position, int(wrong[0]))
    return inputs, target.astype(np.int64)


def _reject_label(table: Table, position: int, row: int) -> NoReturn:
    rows = _rows(table.path, table.text)
    line, fields = [next(rows) for _ in range(row + 2)][-1]
    remedy = "" if float(fields[position]) < 0 else " (for numbers to predict: task=regression)"
    raise DataError(
        f"{table.path}:{line}: received {fields[position].strip()!r} in "
        f"column {table.columns[position]!r}; a class label must be a whole number from 0{remedy}"
    )


def _are_images(inputs: list[NDArray[np.float64]]) -> bool:
    """Tell 8-bit images from a table of small whole numbers, such as flags or counts."""
    return (
        inputs[0].shape[1] > MIN_PIXELS
        and all(x.min() >= 0 and x.max() <= 255 and (x == np.floor(x)).all() for x in inputs)
        and max(x.max() for x in inputs) > 127
    )


def _check_same_columns(train: Table, test: Table) -> None:
    if train.columns == test.columns:
        return
    odd = [c for c in train.columns if c not in test.columns]
    extra = [c for c in test.columns if c not in train.columns]
    if odd or extra:
        what = f"lacks {_few(odd)}" if odd else f"has {_few(extra)} more"
    else:
        what = "has them in another order"
    raise DataError(f"{test.path} must have the columns of {train.path}; it {what}")


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row that is not blank."""
    reader = csv.reader(io.StringIO(text))
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from None


def _numbers(fields: list[str]) -> list[float] | None:
    """Return the finite numbers that `fields` spell, None if one does not."""
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return None
    spelt = "_" not in "".join(fields)  # Python takes 1_000 for a number, CSV does not
    return numbers if spelt and all(map(math.isfinite, numbers)) else None


def _few(names: list[str]) -> str:
    """List the first few of `names`, cut short."""
    listed = ", ".join(name if len(name) <= 24 else name[:21] + "..." for name in names[:5])
    return listed if len(names) <= 5 else f"{listed}, ... ({len(names)} in all)"
