"""CIFAR-10: 50,000 colour images to train and 10,000 to test, from the published binary archive.

`cifar-10-binary.tar.gz` (https://www.cs.toronto.edu/~kriz/cifar.html) or the folder
`cifar-10-batches-bin` that it unpacks to; records of 1 label and 3,072 bytes, channel by channel.
The Python version of the archive is a pickle and never loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.data import cache, download
from nnbench.data.dataset import Split
from nnbench.data.prepare import Payload
from nnbench.errors import DataError
from nnbench.schema import files
from nnbench.schema.progress import Tell, nobody

ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # of the archive, as published
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
PICKLED = ("cifar-10-python.tar.gz", "cifar-10-batches-py")
PARTS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
MOST_BYTES = 256 * 2**20  # the archive has 162 MiB
RECORDS = 10_000
RECORD_BYTES = 1 + 3 * 32 * 32


def read(root: str | None) -> Payload:
    """Return the images in their published order; inputs uint8 `(n, 32, 32, 3)`.

    Raises DataError where they are damaged, or neither found nor downloaded.
    """
    return load(find(root) or _download(root))


def load(path: Path) -> Payload:
    """Return the images of an archive or folder, verified. Raises DataError."""
    try:
        found = _files(path)
    except DataError as error:
        raise DataError(
            f"{error}; delete it and run 'nnbench data fetch cifar10', or use data=mnist_5k"
        ) from None
    parts = {part: _split([found[name] for name in names]) for part, names in PARTS.items()}
    return Payload(parts, hashlib.sha256(MD5.encode()).hexdigest(), "data=cifar10")


def find(root: str | None) -> Path | None:
    """Return the first archive or folder there is, unverified."""
    paths = (place / name for place in locations(root) for name in (ARCHIVE, FOLDER))
    return next((path for path in paths if path.exists()), None)


def fetch(tell: Tell = nobody) -> Path:
    """Verify what is there or download it; return where it is. Raises DataError."""
    path = find(None)
    if path is not None and path.parent == cached():
        try:
            _files(path)
        except DataError:
            with contextlib.suppress(OSError):  # a folder stays: the archive goes before it
                path.unlink()
            path = None
    path = path or _download(None, tell)
    tell(0, 0, "checking the images")
    load(path)
    return path


def cached() -> Path:
    """Return the folder in the cache where downloads go."""
    return cache.directory() / "cifar10"


def locations(root: str | None) -> list[Path]:
    """Return the folders to look in, in order."""
    bases = [Path(base).expanduser() for base in (root, os.environ.get("NNBENCH_DATA")) if base]
    return [folder for base in bases for folder in (base, base / "cifar10")] + [cached()]


def _files(path: Path) -> dict[str, bytes]:
    """Return the six files by name; those of an archive are read where they are, not unpacked."""
    names = [name for names in PARTS.values() for name in names]
    try:
        if path.is_dir():
            found = {name: files.content(path / name) for name in names}
        else:
            found = _unpacked(path, files.content(path, MOST_BYTES), names)
    except (OSError, files.Damage) as error:
        raise DataError(f"{path} cannot be read: {files.reason(error)}") from None
    for name, content in found.items():
        expected = RECORDS * RECORD_BYTES
        if len(content) != expected:
            raise DataError(
                f"{path} is damaged: {name} has {len(content)} bytes where {expected} belong"
            )
    return found


def _unpacked(path: Path, stored: bytes, names: list[str]) -> dict[str, bytes]:
    if hashlib.md5(stored, usedforsecurity=False).hexdigest() != MD5:
        raise DataError(f"{path} is damaged: wrong checksum")
    try:
        with tarfile.open(fileobj=io.BytesIO(stored), mode="r:gz") as archive:
            members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
            opened = {name: archive.extractfile(members[name]) for name in names}
            return {name: file.read() for name, file in opened.items() if file is not None}
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {str(error) or type(error).__name__}") from None


def _split(contents: list[bytes]) -> Split:
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, RECORD_BYTES)
    images: NDArray[np.uint8] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), records[:, 0].astype(np.int64))


def _download(root: str | None, tell: Tell = nobody) -> Path:
    """Bring the archive into the cache; return it. Raises DataError with the remedy."""
    try:
        download.fetch({ARCHIVE: _files}, MIRRORS, cached(), tell)
        return cached() / ARCHIVE
    except DataError as error:
        places = locations(root)
        pickles = [str(p / name) for p in places for name in PICKLED if (p / name).exists()]
        hint = ""
        if pickles:
            hint = f"{pickles[0]} is the Python version, a pickle, which is never loaded; "
        looked = ", ".join(str(place) for place in places)
        raise DataError(
            f"data=cifar10: no {ARCHIVE} and no {FOLDER} in {looked}; {hint}{error}; put {ARCHIVE} "
            f"into {cached()} or into data.root=FOLDER, or use data=mnist_5k, which is embedded"
        ) from None
