"""Tables in text files as people have them: what separates fields, whether there is a header.

Everything that is guessed here can be set in `data=csv`. pandas parses; where a row is out of
order, the rows are walked one by one with the csv module to name its line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from nnbench.data.config import Csv
from nnbench.data.text import content, decoded, few, reject_other_texts
from nnbench.errors import DataError, MissingPackage
from nnbench.schema.deferred import dataclass

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", ";", "\t", "|", " ")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
MISSING = ("", "NA", "N/A", "n/a", "na", "NaN", "nan", "null", "NULL", "None", "?", "#N/A")
LOOKED_AT = 50  # rows to guess from
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE)
WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Table:
    """A parsed file: `frame` has a column per name, of numbers or of words.

    `guessed` holds what was not said in the configuration and is not the usual: `delimiter`,
    `decimal`, `encoding`, `header`, `empty_column`.
    """

    path: Path
    text: str
    delimiter: str
    header: bool
    frame: pd.DataFrame
    sha256: str
    guessed: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.frame.columns)

    def line(self, row: int) -> tuple[int, list[str]]:
        """Return the number of the line of the row at `row` (from 0), and its fields."""
        rows = records(self.path, self.text, self.delimiter)
        return next(itertools.islice(rows, row + self.header, None))


def read_table(setting: str, name: str, config: Csv) -> Table:
    """Return the table in the file `name`, which the user gave as `setting`.

    Raises DataError with the path, the line and the value; MissingPackage without pandas.
    """
    if find_spec("pandas") is None:
        raise MissingPackage(
            "data=csv needs the package pandas, which is not installed. Install it: "
            "pip install pandas"
        )
    path = Path(name).expanduser()
    stored = content(setting, path)
    guessed: dict[str, Any] = {}
    text = decoded(path, stored, guessed)
    head = [fields for _, fields in itertools.islice(records(path, text, "\0"), LOOKED_AT)]
    if not head:
        raise DataError(f"{path} is empty; it must have rows of numbers with a label")
    reject_other_texts(path, head[0][0])
    delimiter = _delimiter(path, text, config, guessed)
    rows = list(itertools.islice(records(path, text, delimiter), LOOKED_AT))
    decimal = _decimal([fields for _, fields in rows], delimiter, config, guessed)
    header = _header([fields for _, fields in rows], decimal, config, guessed)
    columns = _columns(path, *rows[0], header, decimal)
    _check_widths(path, text, delimiter, columns)
    frame = _frame(path, text, delimiter, decimal, header, columns)
    if frame.empty:
        raise DataError(f"{path} has a header and no rows; it must have rows of numbers")
    sha256 = hashlib.sha256(stored).hexdigest()
    return Table(path, text, delimiter, header, frame, sha256, guessed)


def records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row that is not blank."""
    plain = delimiter == "\0"
    source = (line.strip() for line in io.StringIO(text)) if delimiter == " " else io.StringIO(text)
    reader = csv.reader(
        source,
        delimiter=delimiter,
        skipinitialspace=True,
        quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
    )
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield reader.line_num, [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from None


def is_number(field: str, decimal: str = ".") -> bool:
    """Tell whether `field` spells a number, finite or not."""
    return NUMBER.fullmatch(field.replace(decimal, ".")) is not None


def _delimiter(path: Path, text: str, config: Csv, guessed: dict[str, Any]) -> str:
    """Return what separates fields: the mark that cuts most rows into equally many, above one."""
    if config.delimiter is not None:
        return {"\\t": "\t", "tab": "\t", "space": " "}.get(config.delimiter, config.delimiter)

    def agreement(mark: str) -> tuple[float, int]:
        rows = itertools.islice(records(path, text, mark), LOOKED_AT)
        widths = [len(fields) for _, fields in rows]
        usual = max(set(widths), key=widths.count)
        return (widths.count(usual) / len(widths) if usual > 1 else 0.0), usual

    scores = {mark: agreement(mark) for mark in DELIMITERS}
    best = max(share for share, _ in scores.values())
    if best == 0.0:
        raise DataError(f"{path} has one column; it must have a label and inputs")
    # Spaces stand between words, and commas in numbers: of equals, the first that is more telling.
    order = (";", "\t", "|", ",", " ") if _reads_as_european(path, text) else DELIMITERS
    found = next(mark for mark in order if scores[mark][0] == best)
    if found != ",":
        guessed["delimiter"] = NAMES[found]
    return found


def _reads_as_european(path: Path, text: str) -> bool:
    """Tell whether all fields between semicolons or tabs are numbers with decimal commas."""
    for mark in (";", "\t"):
        rows = [fields for _, fields in itertools.islice(records(path, text, mark), 1, LOOKED_AT)]
        cells = [field for fields in rows for field in fields if len(fields) > 1]
        if any(WITH_COMMA.fullmatch(cell) for cell in cells):
            return True
    return False


def _decimal(rows: list[list[str]], delimiter: str, config: Csv, guessed: dict[str, Any]) -> str:
    if config.decimal is not None:
        return config.decimal
    cells = [field for fields in rows for field in fields]
    with_comma = delimiter != "," and any(WITH_COMMA.fullmatch(cell) for cell in cells)
    if with_comma and not any("." in cell and is_number(cell) for cell in cells):
        guessed["decimal"] = ","
        return ","
    return "."


def _header(rows: list[list[str]], decimal: str, config: Csv, guessed: dict[str, Any]) -> bool:
    """Tell whether the first row names the columns: it differs in kind from those below."""
    if config.header is not None:
        return config.header
    first, below = rows[0], rows[1:]

    def spells_value(cell: str) -> bool:
        return cell in MISSING or is_number(cell, decimal)

    counted = [str(i) for i in range(len(first))]
    names = first[1:] if first[0] == "" else first
    if names in (counted, counted[: len(names)], [str(i + 1) for i in range(len(names))]):
        return True  # as pandas writes columns that have no name
    worded = [i for i, cell in enumerate(first) if not spells_value(cell)]
    for i in worded:
        if below and all(len(row) <= i or spells_value(row[i]) for row in below):
            return True
    if len(worded) == len([cell for cell in first if cell != ""]):
        return True
    guessed["header"] = False
    return False


def _columns(path: Path, line: int, first: list[str], header: bool, decimal: str) -> list[str]:
    if not header:
        return [str(i) for i in range(len(first))]
    columns = list(first)
    for column in columns:
        if columns.count(column) > 1 and column:
            raise DataError(f"{path}:{line}: column {column!r} appears twice in the header")
    if columns.count("") > 1:
        raise DataError(f"{path}:{line}: {columns.count('')} columns have no name in the header")
    return columns


def _check_widths(path: Path, text: str, delimiter: str, columns: list[str]) -> None:
    """Raise DataError for the first row that has more or fewer fields than `columns`."""
    if '"' not in text and delimiter != " ":
        wanted = len(columns) - 1
        if all(line.count(delimiter) == wanted for line in text.split("\n") if line.strip()):
            return
    for line, fields in records(path, text, delimiter):
        if len(fields) != len(columns):
            raise DataError(
                f"{path}:{line}: received {len(fields)} fields, {few(fields)}; "
                f"must be {len(columns)} as in the first line"
            )


def _frame(
    path: Path, text: str, delimiter: str, decimal: str, header: bool, columns: list[str]
) -> pd.DataFrame:
    import pandas as pd

    # From 3.1 on the default parser is exact, and says so where the argument is given.
    old = Version(pd.__version__) < Version("3.1")
    exact: dict[str, Any] = {"float_precision": "round_trip"} if old else {}
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if delimiter == " " else delimiter,
            decimal=decimal,
            names=columns,
            header=0 if header else None,
            index_col=False,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(MISSING),
            **exact,
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from None
