"""Labels as people write them, words, numbers from 1, one-hot rows, as class indices from 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import DataError

MANY = 0.5  # classes per sample above which numbers are rather quantities
FEW = 30  # classes that are never too many
REGRESSION = "for numbers to predict: task=regression"

Values = NDArray[Any]
Parts = dict[str, Values]
Place = Callable[[str, int], str]


def classes(parts: Parts, where: Place, guessed: dict[str, Any]) -> Parts:
    """Return labels `(n,)` of every part as int64 class indices.

    Words count in sorted order, as do whole numbers that are not 0 to k-1; the mapping is noted
    in `guessed`. `where(part, row)` names the place of a label in messages, with a colon behind.
    """
    values = {name: _plain(part) for name, part in parts.items()}
    if any(part.dtype.kind in "OU" for part in values.values()):
        values = {name: _words(part) for name, part in values.items()}
    else:
        for name, part in values.items():
            odd = np.flatnonzero(part != np.floor(part))
            if len(odd):
                row = int(odd[0])
                raise DataError(
                    f"{where(name, row)} received {float(part[row]):g} as a class label; must be "
                    f"a whole number or a word ({REGRESSION})"
                )
        values = {name: part.astype(np.int64) for name, part in values.items()}
    known = np.unique(np.concatenate(list(values.values())))
    samples = sum(map(len, values.values()))
    if len(known) > FEW and len(known) > MANY * samples:
        raise DataError(
            f"{where('', -1)} {len(known)} different labels in {samples} samples, such as "
            f"{_listed(known[:3])}; classes must repeat ({REGRESSION})"
        )
    if known.dtype.kind == "i" and known[0] >= 0 and _is_range(known):
        return values
    guessed["classes"] = [str(label) for label in known]
    return {name: np.searchsorted(known, part).astype(np.int64) for name, part in values.items()}


def from_one_hot(rows: Values) -> Values | None:
    """Return the class of each row of `(n, k)` zeros with one 1, None where a row is not so."""
    if rows.ndim != 2 or rows.shape[1] < 2 or rows.dtype.kind not in "biuf":
        return None
    if not ((rows == 0) | (rows == 1)).all() or not (rows.sum(axis=1) == 1).all():
        return None
    found: Values = rows.argmax(axis=1)
    return found


def _is_range(known: Values) -> bool:
    """Tell whether the labels are 0 to k-1, as they are."""
    return bool(known[0] == 0 and known[-1] == len(known) - 1)


def _plain(part: Values) -> Values:
    """Return truth values as 0 and 1, and objects as what they are."""
    if part.dtype.kind == "b":
        return part.astype(np.int64)
    if part.dtype.kind == "S":
        return np.char.decode(part, "utf-8", "replace")
    return part


def _words(part: Values) -> Values:
    return np.array([_word(value) for value in part.tolist()], dtype=str)


def _word(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _listed(known: Values) -> str:
    return ", ".join(str(value) for value in known)
