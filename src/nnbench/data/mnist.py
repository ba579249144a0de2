"""MNIST: 60,000 and 10,000 digits, from files or from a mirror, checked either way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from nnbench.data import cache, idx
from nnbench.data.config import Mnist
from nnbench.data.dataset import Split
from nnbench.data.prepare import Raw
from nnbench.errors import DataError
from nnbench.spec import TaskKind

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# SHA-256 of the decompressed files.
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
TIMEOUT_SECONDS = 4.0


def load(config: Mnist, kind: TaskKind, split_seed: int) -> Raw:
    """Return both published splits; images `(n, 28, 28)` uint8."""
    found = find(config.root) or _download(config.root)
    arrays = {name: idx.read(found[name], sha) for name, sha in FILES.items()}
    splits = [
        Split(arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"].astype(int))
        for part in ("train", "t10k")
    ]
    payload = hashlib.sha256("".join(FILES.values()).encode()).hexdigest()
    return Raw("mnist", splits[0], splits[1], payload, scale=1 / 255)


def available() -> tuple[bool, str]:
    """Say where the files are."""
    found = find(None)
    if found is None:
        return False, "nnbench data fetch mnist, or NNBENCH_DATA=DIR with the four IDX files"
    return True, f"in {next(iter(found.values())).parent}"


def fetch() -> Path:
    """Find or download the files, check them, return their folder."""
    found = find(None) or _download(None)
    for name, sha in FILES.items():
        idx.read(found[name], sha)
    return next(iter(found.values())).parent


def find(root: str | None) -> dict[str, Path] | None:
    """Return the path of each file in the first folder that has all, None where none has."""
    for folder in _folders(root):
        found = {name: path for name in FILES for path in _spellings(folder, name)[:1]}
        if len(found) == len(FILES):
            return found
    return None


def _folders(root: str | None) -> Iterator[Path]:
    """Yield where files may lie, in order: data.root, NNBENCH_DATA, the cache."""
    for base in (root, os.environ.get("NNBENCH_DATA"), str(cache.folder())):
        if base:
            yield Path(base).expanduser() / "mnist"
            yield Path(base).expanduser()


def _spellings(folder: Path, name: str) -> list[Path]:
    """Return the existing files of `name`: gzipped or not, `-idx` or `.idx`."""
    stems = (name, name.replace("-idx", ".idx"))
    paths = [folder / f"{stem}{end}" for stem in stems for end in ("", ".gz")]
    return [path for path in paths if path.is_file()]


def _download(root: str | None) -> dict[str, Path]:
    """Fetch the four files into the cache; raises DataError where no mirror answers."""
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    folder = cache.folder() / "mnist"
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, progressbar=False)
    for mirror in MIRRORS:
        try:
            for name in FILES:
                pooch.retrieve(
                    mirror + name + ".gz",
                    known_hash=None,  # the payload is checked, by its own SHA-256
                    fname=name + ".gz",
                    path=folder,
                    downloader=downloader,
                )
            return {name: folder / f"{name}.gz" for name in FILES}
        except (requests.RequestException, OSError, ValueError):
            continue
    wanted = f"data.root={root}" if root else "NNBENCH_DATA=DIR"
    raise DataError(
        "data=mnist has no files here and no mirror answers; use data=mnist_5k (embedded), or put "
        f"the four IDX files (train-images-idx3-ubyte.gz ...) into {folder} or {wanted}."
    )
