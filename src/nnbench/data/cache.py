"""The user's cache of data files: where it is, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nnbench import writing
from nnbench.errors import DataError


def directory() -> Path:
    """Return the cache folder, which need not exist.

    `$NNBENCH_CACHE`, else `$XDG_CACHE_HOME/nnbench`, else `~/.cache/nnbench`.
    """
    if own := os.environ.get("NNBENCH_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "nnbench"
    try:
        return Path.home() / ".cache" / "nnbench"
    except RuntimeError:  # no home folder: a container with a user id of its own
        return Path(tempfile.gettempdir()) / f"nnbench-{os.getuid()}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new file for the cache; it becomes `path` once all went well.

    What killed processes left there goes. Raises OSError where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing.replacing(path) as new:
        yield new


def unwritable(error: OSError) -> DataError:
    """Return what to tell the user when `error` came from writing to the cache."""
    where = error.filename2 or error.filename
    return DataError(
        f"Cannot write to the cache {directory()} ({error.strerror or error}"
        f"{f': {where}' if where else ''}); clear it, or set NNBENCH_CACHE to a "
        "folder that can be written"
    )
