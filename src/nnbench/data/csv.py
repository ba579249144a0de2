"""Tables in text files: which column is the label, which are inputs, what is missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nnbench.data import targets
from nnbench.data.config import Csv
from nnbench.data.dataset import Split
from nnbench.data.delimited import Table, is_number, read_table
from nnbench.data.prepare import Payload, are_pixels, identity
from nnbench.data.text import few
from nnbench.errors import DataError
from nnbench.model.losses import TaskKind
from nnbench.schema import suggest

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("label", "labels", "target", "targets", "class", "classes", "y")
ALSO_LABELS = ("category", "species", "variety", "outcome", "diagnosis", "survived", "output")
INDICES = ("", "index", "id", "row", "rowid", "row_id", "unnamed: 0", "no", "nr", "rownames")
FEW_CLASSES = 30
WORDS = 0.5  # of a column that make it one of words, not of numbers with a typing error


def read(config: Csv, kind: TaskKind) -> Payload:
    """Return the table, and that of `test_path` if there is one.

    Inputs are uint8 `(n, columns)` where every one is a whole number from 0 to 255 and they look
    like images (more than 16 columns, values beyond 127), else float64; NaN where a value is
    missing and `missing=mean`. Raises DataError with the path, the line and the value.
    """
    tables = {"train" if config.test_path else "all": read_table("data.path", config.path, config)}
    if config.test_path:
        tables["test"] = read_table("data.test_path", config.test_path, config)
        _check_same_columns(tables["train"], tables["test"])
    first = next(iter(tables.values()))
    guessed = dict(first.guessed)
    labels = _labels(first, config, kind, guessed)
    dropped = _dropped(first, config, labels, guessed)
    columns = [c for c in first.columns if c not in (*labels, *dropped)]
    if not columns:
        raise DataError(f"{first.path} has no column besides {few(labels)}; it needs inputs too")
    rows = {name: _whole_rows(t, columns, labels, config, guessed) for name, t in tables.items()}
    inputs = {n: _inputs(t, columns, rows[n], config.missing) for n, t in tables.items()}
    if are_pixels(list(inputs.values())):
        inputs = {name: x.astype(np.uint8) for name, x in inputs.items()}
    found = _targets(tables, labels, rows, kind, guessed)
    parts = {name: Split(inputs[name], found[name]) for name in tables}
    digests = [table.sha256 for table in tables.values()]
    digest = digests[0]
    if len(digests) > 1:
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Payload(
        parts,
        identity(digest, guessed),
        config.path,
        test_fraction=config.test_fraction,
        guessed=guessed,
    )


def _labels(table: Table, config: Csv, kind: TaskKind, guessed: dict[str, Any]) -> list[str]:
    """Return the columns that hold the label: one, or several of one-hot labels or numbers."""
    if config.label is not None:
        wanted = [config.label] if isinstance(config.label, str) else list(config.label)
        return [_named("data.label", name, table) for name in wanted]
    lower = {column.lower(): column for column in reversed(table.columns)}
    names = [lower[word] for word in (*LABELS, *ALSO_LABELS) if word in lower]
    found = names[0] if names and table.header else _guessed_label(table, kind)
    if found != "label":
        guessed["label"] = found
    return [found]


def _guessed_label(table: Table, kind: TaskKind) -> str:
    """Return the column that can be told to be the label. Raises DataError where several can."""
    columns = [c for c in table.columns if not _is_index(table, c)]
    if kind == "regression":
        return columns[-1]
    words = [column for column in columns if _holds_words(table.frame[column])]
    if len(words) == 1:
        return words[0]
    if one_hot := _one_hot_columns(table, columns):
        raise DataError(
            f"{table.path} has no label column, but {few(one_hot)} look like a one-hot label; "
            f"say data.label=[{','.join(one_hot)}]"
        )
    ends = list(dict.fromkeys([columns[0], columns[-1]]))
    fit = [column for column in ends if _is_class_like(table.frame[column])]
    others = [c for c in columns[1:-1] if not _is_class_like(table.frame[c])]
    if len(fit) == 1 and not words and (others or len(columns) < 3):
        return fit[0]
    what = few(fit or words) if fit or words else "none of its columns"
    raise DataError(
        f"{table.path}: which column is the label? {what} may be; name it with data.label=NAME "
        f"(columns: {few(table.columns)})"
        + ("" if fit or words else "; a file without labels cannot be trained on")
    )


def _named(setting: str, name: str, table: Table) -> str:
    """Return the column called `name`, or at that position, from 0 or, negative, from the end."""
    if name in table.columns:
        return name
    if name.lstrip("-").isdigit() and -len(table.columns) <= int(name) < len(table.columns):
        return table.columns[int(name)]
    raise DataError(
        f"Received {setting}={name}; {table.path} has {few(table.columns)}"
        f"{suggest(name, table.columns)}"
    )


def _dropped(table: Table, config: Csv, labels: list[str], guessed: dict[str, Any]) -> list[str]:
    """Return the columns that are no inputs: those named, or else what only numbers the rows."""
    if config.drop is not None:
        return [_named("data.drop", name, table) for name in config.drop]
    others = [column for column in table.columns if column not in labels]
    found = [column for column in others if _is_index(table, column) or _is_empty(table, column)]
    if found:
        guessed["dropped"] = found
    return found


def _is_index(table: Table, column: str) -> bool:
    """Tell whether a column numbers or names the rows: its name, or its place and values, say so.

    Such as `id`, or the first column where it counts 0, 1, 2 without a name.
    """
    values = table.frame[column]
    if table.header and column.lower() in INDICES:
        return bool(values.is_unique) and not values.isna().any() and values.dtype.kind in "iuO"
    if table.header or column != table.columns[0] or values.dtype.kind != "i" or len(values) < 10:
        return False
    return bool((values.diff().iloc[1:] == 1).all()) and values.iloc[0] in (0, 1)


def _is_empty(table: Table, column: str) -> bool:
    return table.header and column == "" and bool(table.frame[column].isna().all())


def _holds_words(values: pd.Series) -> bool:
    """Tell whether most of a column is words, not numbers."""
    if values.dtype.kind in "iufb":
        return False
    some = values.dropna()
    return bool(len(some)) and sum(not is_number(str(v)) for v in some) > WORDS * len(some)


def _is_class_like(values: pd.Series) -> bool:
    """Tell whether a column may hold class labels: words or whole numbers that repeat."""
    some = values.dropna()
    if values.dtype.kind == "f" and not (some == np.floor(some)).all():
        return False
    return 2 <= some.nunique() <= min(FEW_CLASSES, max(2, len(some) // 2))


def _one_hot_columns(table: Table, columns: list[str]) -> list[str]:
    """Return the last columns of zeros with one 1 in every row, none where there are not."""
    flags: list[str] = []
    for column in reversed(columns):
        values = table.frame[column]
        if values.dtype.kind not in "iufb" or not values.isin((0, 1)).all():
            break
        flags.insert(0, column)
    rows = table.frame[flags].to_numpy()
    ones = rows[:, ::-1].cumsum(axis=1, dtype=np.int64)  # in the last column, the last two, ...
    widths = [i + 1 for i in range(1, len(flags)) if (ones[:, i] == 1).all()]
    return flags[-max(widths) :] if widths else []


def _whole_rows(
    table: Table, columns: list[str], labels: list[str], config: Csv, guessed: dict[str, Any]
) -> NDArray[np.bool_]:
    """Return which rows are used: all, or those without a missing value."""
    missing = table.frame[[*columns, *labels]].isna()
    unlabelled = missing[labels].any(axis=1).to_numpy()
    bad = missing.any(axis=1).to_numpy()
    kept: NDArray[np.bool_] = np.ones(len(bad), dtype=bool)
    if not bad.any():
        return kept
    if config.missing == "error" or (config.missing == "mean" and unlabelled.any()):
        row = int(np.flatnonzero(unlabelled if config.missing == "mean" else bad)[0])
        column = missing.columns[missing.iloc[row].to_numpy()][0]
        line, fields = table.line(row)
        received = repr(fields[table.columns.index(column)])
        remedy = "data.missing=drop leaves such rows out"
        if column not in labels:
            remedy += ", data.missing=mean fills in the column's mean"
        raise DataError(
            f"{table.path}:{line}: received {received} in column {column!r}, a missing value "
            f"({int(bad.sum())} rows of {len(bad)} have some); {remedy}"
        )
    before = guessed.get("missing", {"rows": 0})["rows"]
    guessed["missing"] = {"rows": before + int(bad.sum()), "done": config.missing}
    if config.missing == "mean":
        return kept
    if bad.all():
        raise DataError(f"{table.path} has a missing value in every row; none is left to use")
    return ~bad


def _inputs(
    table: Table, columns: list[str], rows: NDArray[np.bool_], missing: str
) -> NDArray[np.float64]:
    """Return the inputs float64 `(n, columns)`, all finite but for NaN where one is missing."""
    for column in columns:
        if table.frame[column].dtype.kind not in "iufb":
            _reject_words(table, column)
    values: NDArray[np.float64] = table.frame.loc[rows, columns].to_numpy(np.float64)
    odd = np.argwhere(np.isinf(values))
    if len(odd):
        row, position = (int(i) for i in odd[0])
        line, fields = table.line(int(np.flatnonzero(rows)[row]))
        received = repr(fields[table.columns.index(columns[position])])
        raise DataError(
            f"{table.path}:{line}: received {received} in column {columns[position]!r}; "
            "must be a finite number"
        )
    return np.ascontiguousarray(values)


def _reject_words(table: Table, column: str) -> NoReturn:
    values = table.frame[column]
    if _holds_words(values):
        words = [str(word) for word in values.dropna().unique()]
        raise DataError(
            f"{table.path}: column {column!r} holds words ({few(words)}); inputs must be numbers. "
            f"Leave it out with data.drop=[{column}], or make numbers of them"
        )
    frame_row = next(i for i, v in enumerate(values) if isinstance(v, str) and not is_number(v))
    line, fields = table.line(frame_row)
    received = fields[table.columns.index(column)]
    raise DataError(
        f"{table.path}:{line}: received {received!r} in column {column!r}; must be a number"
    )


def _targets(
    tables: dict[str, Table],
    labels: list[str],
    rows: dict[str, NDArray[np.bool_]],
    kind: TaskKind,
    guessed: dict[str, Any],
) -> dict[str, NDArray[Any]]:
    """Return class indices int64 `(n,)`, or numbers to predict float64 `(n, labels)`."""
    frames = {name: table.frame.loc[rows[name], labels] for name, table in tables.items()}
    if kind == "regression":
        for name, table in tables.items():
            for column in labels:
                if frames[name][column].dtype.kind not in "iufb":
                    _reject_words(table, column)
        return {name: frame.to_numpy(np.float64).copy() for name, frame in frames.items()}
    if len(labels) == 1:
        columns = {name: frame[labels[0]].to_numpy() for name, frame in frames.items()}

        def place(name: str, row: int) -> str:
            if row < 0:
                return f"{next(iter(tables.values())).path}: column {labels[0]!r} has"
            line, _ = tables[name].line(int(np.flatnonzero(rows[name])[row]))
            return f"{tables[name].path}:{line}: column {labels[0]!r}:"

        return targets.classes(columns, place, guessed)
    found = {name: targets.from_one_hot(frame.to_numpy()) for name, frame in frames.items()}
    if any(part is None for part in found.values()):
        raise DataError(
            f"Received data.label=[{','.join(labels)}]; several columns of a class label must be "
            "one-hot, zeros with one 1 in every row (for numbers to predict: task=regression)"
        )
    guessed["classes"] = labels
    return {name: part.astype(np.int64) for name, part in found.items() if part is not None}


def _check_same_columns(train: Table, test: Table) -> None:
    if train.columns == test.columns:
        return
    odd = [c for c in train.columns if c not in test.columns]
    extra = [c for c in test.columns if c not in train.columns]
    if odd or extra:
        what = f"lacks {few(odd)}" if odd else f"has {few(extra)} more"
    else:
        what = "has them in another order"
    raise DataError(f"{test.path} must have the columns of {train.path}; it {what}")
