"""MNIST: 60,000 digits to train and 10,000 to test, from its four IDX files.

They are looked for in `data.root`, in `$NNBENCH_DATA` (each time the folder itself or `mnist` in
it) and in the user's cache; else downloaded into the cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.data import cache, download, idx
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload
from nnbench.errors import DataError

# SHA-256 of the files after decompression, the smallest first: a mirror that is out of reach
# should show it soon.
SHA256 = {
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

Files = Mapping[str, Path]


def read(root: str | None) -> Payload:
    """Return the digits in their published order; inputs uint8 `(n, 28, 28)`.

    Raises DataError where they are damaged, or neither found nor downloaded.
    """
    files = find(root)
    if files is None:
        _download(root)
        files = files_in(cached())
    return load(files)


def load(files: Files) -> Payload:
    """Return the digits in `files`, every one verified. Raises DataError."""
    parts = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = verified(f"{prefix}-images-idx3-ubyte", files[f"{prefix}-images-idx3-ubyte"])
        labels = verified(f"{prefix}-labels-idx1-ubyte", files[f"{prefix}-labels-idx1-ubyte"])
        parts[part] = Split(images, labels.astype(np.int64))
    published = hashlib.sha256("".join(SHA256[name] for name in sorted(SHA256)).encode())
    return Payload(parts, published.hexdigest(), "data=mnist")


def find(root: str | None) -> Files | None:
    """Return the files of the first place that has all four, unverified."""
    found = (files_in(folder) for folder in locations(root))
    return next((files for files in found if len(files) == len(SHA256)), None)


def fetch() -> Path:
    """Verify the files or download them; return their folder. Raises DataError.

    Damaged files in the cache are replaced; those elsewhere are the user's, and an error.
    """
    files = find(None)
    if files is not None and (folder := next(iter(files.values())).parent) != cached():
        load(files)
        return folder
    for name, path in files_in(cached()).items():
        try:
            verified(name, path)
        except DataError:
            path.unlink(missing_ok=True)
    if len(files_in(cached())) < len(SHA256):
        _download(None)
    return cached()


def cached() -> Path:
    """Return the folder in the cache where downloads go."""
    return cache.directory() / "mnist"


def locations(root: str | None) -> list[Path]:
    """Return the folders to look in, in order."""
    bases = [Path(base).expanduser() for base in (root, os.environ.get("NNBENCH_DATA")) if base]
    return [folder for base in bases for folder in (base, base / "mnist")] + [cached()]


def files_in(folder: Path) -> Files:
    """Return which of the files `folder` has, gzipped or not, by their standard names."""
    found = {}
    for name in SHA256:
        spellings = (name, name.replace("-idx", ".idx"))
        for path in (folder / f"{s}{suffix}" for s in spellings for suffix in ("", ".gz")):
            if path.is_file():
                found[name] = path
                break
    return found


def verified(name: str, path: Path) -> NDArray[np.uint8]:
    """Return the array of the file called `name`. Raises DataError with the remedy."""
    try:
        return _array(name, path)
    except DataError as error:
        raise DataError(
            f"{error}; delete it and run 'nnbench data fetch mnist', or use data=mnist_5k"
        ) from None


def _array(name: str, path: Path) -> NDArray[np.uint8]:
    axes = int(name[name.index("idx") + 3])
    return idx.read(path, axes, SHA256[name])


def _download(root: str | None) -> None:
    """Complete the cache. Raises DataError saying where files were looked for, and what else."""
    have = files_in(cached())
    wanted = {f"{n}.gz": functools.partial(_array, n) for n in SHA256 if n not in have}
    try:
        download.fetch(wanted, MIRRORS, cached())
    except DataError as error:
        looked = ", ".join(_state(folder) for folder in locations(root))
        raise DataError(
            f"data=mnist: no files in {looked}; {error}; use data=mnist_5k, which is embedded, "
            f"or put {', '.join(f'{name}.gz' for name in SHA256)} into {cached()} or into "
            "data.root=FOLDER"
        ) from None


def _state(folder: Path) -> str:
    """Name a folder that is not complete, and what it lacks if it has some of the files."""
    have = files_in(folder)
    lacks = ", ".join(name for name in SHA256 if name not in have)
    return f"{folder} (lacks {lacks})" if have else str(folder)
