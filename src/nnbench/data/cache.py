"""The user's cache folder: found, written atomically, never trusted."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.errors import ResultsError
from nnbench.files import write_atomically

Arrays = dict[str, NDArray[Any]]


def folder() -> Path:
    """Return NNBENCH_CACHE, or the platform's cache folder for nnbench."""
    if "NNBENCH_CACHE" in os.environ:
        return Path(os.environ["NNBENCH_CACHE"]).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "nnbench"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "nnbench" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "nnbench"


def digest(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 over shapes, dtypes and bytes of `arrays`."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def read(name: str) -> Arrays | None:
    """Return the arrays stored as `name`, None where they are missing or damaged."""
    try:
        with np.load(folder() / name, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def write(name: str, arrays: Arrays) -> None:
    """Store `arrays` as `name`; a cache that cannot be written is no error."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    try:
        folder().mkdir(parents=True, exist_ok=True)
        write_atomically(folder() / name, buffer.getvalue())
    except (OSError, ResultsError):
        pass
