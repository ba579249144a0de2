"""1,797 digits of 8x8 pixels, values 0 to 16, out of the scikit-learn package."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from nnbench.data import cache
from nnbench.data.config import Digits
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import DataError
from nnbench.spec import TaskKind


def load(config: Digits, kind: TaskKind, split_seed: int) -> Raw:
    """Return all digits `(1797, 64)` uint8."""
    path = _packaged()
    try:
        with gzip.open(path, "rb") as file:
            table = np.loadtxt(file, delimiter=",").astype(np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); reinstall scikit-learn.") from None
    images, labels = table[:, :64].astype(np.uint8), table[:, 64].copy()
    digest = cache.digest(images, labels)
    digits = Split(images, labels)
    return Raw("digits", digits, None, digest, 1 / 16, config.test_fraction)


def available() -> tuple[bool, str]:
    """Say whether the package with the digits is there."""
    try:
        return True, f"in the package scikit-learn ({_packaged().name})"
    except DataError as error:
        return False, str(error)


def _packaged() -> Path:
    """Find the file without importing scikit-learn, which takes a second."""
    spec = importlib.util.find_spec("sklearn")
    for base in (spec and spec.submodule_search_locations) or ():
        path = Path(base) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise DataError("data=digits needs the package scikit-learn; pip install scikit-learn.")
