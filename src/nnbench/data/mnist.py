"""MNIST and its kin: 60,000 images to train and 10,000 to test, from four IDX files.

They are looked for in `data.root`, in `$NNBENCH_DATA` (each time the folder itself or one of the
set's own name in it) and in the user's cache; else downloaded into the cache.
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
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody

Files = Mapping[str, Path]
T10K_LABELS, TRAIN_LABELS = "t10k-labels-idx1-ubyte", "train-labels-idx1-ubyte"
T10K_IMAGES, TRAIN_IMAGES = "t10k-images-idx3-ubyte", "train-images-idx3-ubyte"
PARTS = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (T10K_IMAGES, T10K_LABELS)}


@dataclass
class IdxSource:
    """A data set of four IDX files, called as those of MNIST.

    `sums` are the files' names with their checksums, the smallest first: a mirror that is out of
    reach should show it soon. `folders` are the names of its own folder; where `alone`, nobody
    else's files can lie in the base folder itself.
    """

    name: str
    sums: Mapping[str, idx.Checksum]
    mirrors: tuple[str, ...]
    folders: tuple[str, ...]
    alone: bool
    otherwise: str

    def read(self, root: str | None) -> Payload:
        """Return the images in their published order; inputs uint8 `(n, 28, 28)`.

        Raises DataError where they are damaged, or neither found nor downloaded.
        """
        return self.load(self.find(root) or self._download(root))

    def load(self, files: Files) -> Payload:
        """Return the images in `files`, every one verified. Raises DataError."""
        parts = {}
        for part, names in PARTS.items():
            images, labels = (self.verified(name, files[name]) for name in names)
            parts[part] = Split(images, labels.astype(np.int64))
        published = "".join(self.sums[name].value for name in sorted(self.sums))
        return Payload(parts, hashlib.sha256(published.encode()).hexdigest(), f"data={self.name}")

    def find(self, root: str | None) -> Files | None:
        """Return the files of the first place that has all four, unverified."""
        found = (self.files_in(folder) for folder in self.locations(root))
        return next((files for files in found if len(files) == len(self.sums)), None)

    def fetch(self, tell: Tell = nobody) -> Path:
        """Verify the files or download them; return their folder. Raises DataError.

        Damaged files in the cache are replaced; those elsewhere are the user's, and an error.
        """
        files = self.find(None)
        if files is not None and (folder := next(iter(files.values())).parent) != self.cached():
            self.load(files)
            return folder
        for name, path in self.files_in(self.cached()).items():
            try:
                self.verified(name, path)
            except DataError:
                path.unlink(missing_ok=True)
        if len(self.files_in(self.cached())) < len(self.sums):
            self._download(None, tell)
        return self.cached()

    def cached(self) -> Path:
        """Return the folder in the cache where downloads go."""
        return cache.directory() / self.name

    def locations(self, root: str | None) -> list[Path]:
        """Return the folders to look in, in order."""
        found = []
        for base in (root, os.environ.get("NNBENCH_DATA")):
            if base:
                folder = Path(base).expanduser()
                found += [folder] if self.alone or base == root else []
                found += [folder / name for name in self.folders]
        return [*found, self.cached()]

    def files_in(self, folder: Path) -> Files:
        """Return which of the files `folder` has, gzipped or not, by their standard names."""
        found = {}
        for name in self.sums:
            spellings = (name, name.replace("-idx", ".idx"))
            for path in (folder / f"{s}{suffix}" for s in spellings for suffix in ("", ".gz")):
                if path.is_file():
                    found[name] = path
                    break
        return found

    def verified(self, name: str, path: Path) -> NDArray[np.uint8]:
        """Return the array of the file called `name`. Raises DataError with the remedy."""
        try:
            return self._array(name, path)
        except DataError as error:
            raise DataError(
                f"{error}; delete it and run 'nnbench data fetch {self.name}', or use "
                f"{self.otherwise}"
            ) from None

    def _array(self, name: str, path: Path) -> NDArray[np.uint8]:
        axes = int(name[name.index("idx") + 3])
        return idx.read(path, axes, self.sums[name])

    def _download(self, root: str | None, tell: Tell = nobody) -> Files:
        """Complete the cache; return its files. Raises DataError saying where they were sought."""
        have = self.files_in(self.cached())
        wanted = {f"{n}.gz": functools.partial(self._array, n) for n in self.sums if n not in have}
        try:
            download.fetch(wanted, self.mirrors, self.cached(), tell)
            return self.files_in(self.cached())
        except DataError as error:
            looked = ", ".join(self._state(folder) for folder in self.locations(root))
            raise DataError(
                f"data={self.name}: no files in {looked}; {error}; use {self.otherwise}, which is "
                f"embedded, or put {', '.join(f'{name}.gz' for name in self.sums)} into "
                f"{self.cached()} or into data.root=FOLDER"
            ) from None

    def _state(self, folder: Path) -> str:
        """Name a folder that is not complete, and what it lacks if it has some of the files."""
        have = self.files_in(folder)
        lacks = ", ".join(name for name in self.sums if name not in have)
        return f"{folder} (lacks {lacks})" if have else str(folder)


SHA256 = {  # of the files after decompression
    T10K_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    T10K_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}
MNIST = IdxSource(
    "mnist",
    {name: idx.Checksum(value) for name, value in SHA256.items()},
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    ("mnist",),
    True,
    "data=mnist_5k",
)
# Zalando published MD5 sums of the gzipped files (github.com/zalandoresearch/fashion-mnist); of
# files that are unpacked, only the form can be verified. Their names are those of MNIST.
FASHION_MNIST = IdxSource(
    "fashion_mnist",
    {
        T10K_LABELS: idx.Checksum("bb300cfdad3c16e7a12a480ee83cd310", (10_000,)),
        TRAIN_LABELS: idx.Checksum("25c81989df183df01b3e8a0aad5dffbe", (60_000,)),
        T10K_IMAGES: idx.Checksum("bef4ecab320f06d8554ea6380940ec79", (10_000, 28, 28)),
        TRAIN_IMAGES: idx.Checksum("8d4fb7e6c68d591d4c3dfef9ec88bf0d", (60_000, 28, 28)),
    },
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    ("fashion_mnist", "fashion"),
    False,
    "data=mnist_5k",
)
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}
