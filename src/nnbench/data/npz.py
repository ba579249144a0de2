"""NumPy archives: `x_train y_train x_test y_test`, or `x y` to be split."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import Npz
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import DataError
from nnbench.spec import TaskKind

Arrays = dict[str, NDArray[Any]]


def load(config: Npz, kind: TaskKind, split_seed: int) -> Raw:
    """Return the archive's splits; nothing in it is ever unpickled."""
    path = Path(config.path)
    arrays = _read(path)
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        train, test = (_split(path, arrays, f"_{part}", kind) for part in ("train", "test"))
        if train.inputs.shape[1:] != test.inputs.shape[1:]:
            raise DataError(f"{path}: x_train and x_test differ in the shape of a sample.")
    elif {"x", "y"} <= arrays.keys():
        train, test = _split(path, arrays, "", kind), None
    else:
        raise DataError(
            f"{path} has {', '.join(arrays) or 'nothing'}; it needs x_train y_train x_test y_test, "
            "or x and y."
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    scale = 1 / 255 if train.inputs.dtype == np.uint8 else 1.0
    return Raw(path.stem, train, test, digest, scale, config.test_fraction)


def available() -> tuple[bool, str]:
    """An archive is the user's own."""
    return True, "data=npz data.path=FILE"


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {str(name): archive[name] for name in archive}
    except FileNotFoundError:
        raise DataError(f"Cannot read data.path={path}: No such file or directory.") from None
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no readable .npz of plain arrays ({reason}).") from None


def _split(path: Path, arrays: Arrays, end: str, kind: TaskKind) -> Split:
    x, y = arrays[f"x{end}"], arrays[f"y{end}"]
    if x.ndim < 2 or len(x) != len(y) or not len(x):
        raise DataError(
            f"{path}: x{end} has shape {x.shape}, y{end} {y.shape}; they must be (n, ...) and "
            "(n,) or (n, k), with n at least 1."
        )
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiub":
            raise DataError(f"{path}: {name}{end} has dtype {array.dtype}; it must be numbers.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: {name}{end} has values that are not finite.")
    inputs = x if x.dtype == np.uint8 else x.astype(np.float64)
    if y.dtype.kind in "iub" and kind == "classification":
        return Split(inputs, _flat_labels(path, y, end))
    targets = y.astype(np.float64)
    return Split(inputs, targets[:, None] if targets.ndim == 1 else targets)


def _flat_labels(path: Path, y: NDArray[Any], end: str) -> NDArray[np.int64]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(f"{path}: y{end} has shape {y.shape}; class labels must be (n,).")
    return y.astype(np.int64)
