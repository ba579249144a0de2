"""NumPy archives: `x_train y_train x_test y_test`, or `x` and `y` to be split."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import Npz
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload
from nnbench.errors import DataError
from nnbench.schema import files

SINGLE = b"\x93NUMPY"  # how a file of one array begins
WANTED = ("x", "y", "x_train", "y_train", "x_test", "y_test")
MOST_BYTES, MOST_PACKED = 256 * 2**20, 100  # images of mostly zeros pack well

Arrays = dict[str, NDArray[Any]]


def read(config: Npz) -> Payload:
    """Return the arrays: inputs uint8 or float64 `(n, ...)`, targets by their dtype.

    Whole-numbered targets `(n,)` are class labels; floating-point targets `(n,)` or `(n, k)` are
    for regression. Raises DataError where the file is damaged or its arrays do not fit.
    """
    path = Path(config.path).expanduser()
    try:
        data = files.content(path, files.MOST_TENSORS)
    except (OSError, files.Damage) as error:
        why = files.reason(error)
        raise DataError(f"Received data.path={path}; cannot read it ({why})") from None
    arrays = _arrays(path, data)
    pairs = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
    if not any(name in arrays for pair in pairs.values() for name in pair):
        pairs = {"all": ("x", "y")}
    missing = [name for pair in pairs.values() for name in pair if name not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}, and "
            "must have x_train, y_train, x_test, y_test, or x and y"
        )
    parts = {name: _split(path, arrays, *pair) for name, pair in pairs.items()}
    if len(parts) > 1:
        _check_alike(path, parts)
    return Payload(
        parts, hashlib.sha256(data).hexdigest(), str(path), test_fraction=config.test_fraction
    )


def _arrays(path: Path, data: bytes) -> Arrays:
    if data.startswith(SINGLE):
        raise DataError(f"{path} is a single array; save several with numpy.savez")
    try:
        return files.arrays(path, MOST_BYTES, MOST_PACKED, WANTED)
    except OSError as error:
        raise DataError(f"Received data.path={path}; cannot read it ({error.strerror})") from None
    except files.Damage as error:
        raise DataError(f"{path} cannot be read as npz: {error}") from None


def _split(path: Path, arrays: Arrays, x_name: str, y_name: str) -> Split:
    x, y = arrays[x_name], arrays[y_name]
    for name, array in ((x_name, x), (y_name, y)):
        if array.dtype.kind not in "biuf":
            raise DataError(f"{path}: {name} has dtype {array.dtype}; must be numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(
                f"{path}: {name} has {int((~np.isfinite(array)).sum())} values that are NaN or "
                "infinite; all must be finite"
            )
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{path}: {x_name} has shape {x.shape}; must be (samples, features...)")
    allowed_axes = (1, 2) if y.dtype.kind == "f" else (1,)
    if y.ndim not in allowed_axes or len(y) != len(x) or y.size == 0:
        raise DataError(
            f"{path}: {y_name} has shape {y.shape} and dtype {y.dtype}; must be ({len(x)},) of "
            f"whole-number labels or ({len(x)},) or ({len(x)}, k) of floats, as {x_name} has "
            f"{len(x)} samples"
        )
    inputs = np.ascontiguousarray(x, np.uint8 if x.dtype == np.uint8 else np.float64)
    if y.dtype.kind == "f":
        return Split(inputs, y.astype(np.float64).reshape(len(y), -1))
    return Split(inputs, y.astype(np.int64))


def _check_alike(path: Path, parts: dict[str, Split]) -> None:
    """Check that train and test fit together: shape of a sample and dtype."""
    for kind in ("inputs", "targets"):
        train, test = (getattr(parts[name], kind) for name in ("train", "test"))
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise DataError(
                f"{path}: {kind} to train on are {train.dtype} {train.shape[1:]} a sample, to "
                f"test on {test.dtype} {test.shape[1:]}; must be alike"
            )
