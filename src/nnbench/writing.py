"""Files that are either the old or the new, never half, with the permissions that the user wants.

A process that is killed leaves the file that it was writing: it is named after the process, and who
writes in that folder next removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path


def _host() -> str:
    """Return a name for the processes that this one can see: a container has its own."""
    seen = platform.node()
    with contextlib.suppress(OSError):
        seen += os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(seen.encode(), digest_size=3).hexdigest()


_HOST = _host()
_LEFT = re.compile(r"\..*\.([0-9a-f]{6})-(\d+)-[0-9a-f]{6}(\.\w+)?")
LONG_SECONDS = 2 * 86400.0  # longer than anybody takes for a file
_NAME_CHARACTERS = 80  # of the final name that the temporary one has


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new, empty file beside `path`; it takes its place once all went well.

    Processes may do so side by side; a reader sees the old file or the new one, never a part.
    Raises OSError where the folder cannot be written.
    """
    clear(path.parent)
    new = path.with_name(_temporary(path))
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield new
        os.replace(new, path)
    except OSError as error:  # a full disk names no file
        error.filename = error.filename or str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(new)


def write(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step. Raises OSError; the old content then remains."""
    with replacing(path) as new:
        new.write_bytes(content)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a new folder in `folder`; its files take their places once all are whole.

    Raises OSError where they cannot be written; what was in `folder` then remains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with scratch(folder) as new:
        yield new
        for path in sorted(new.rglob("*")):
            place = folder / path.relative_to(new)
            if path.is_dir():
                place.mkdir(exist_ok=True)
            else:
                os.replace(path, place)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder in `folder`, for a while. Raises OSError."""
    clear(folder)
    new = folder / _temporary(folder / "new")
    new.mkdir()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove from `folder` what processes of this machine left that have ended, or days ago."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = _LEFT.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                if not found or _may_live(found.group(1), int(found.group(2)), entry):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _temporary(path: Path) -> str:
    name = path.name[:_NAME_CHARACTERS]
    return f".{name}.{_HOST}-{os.getpid()}-{secrets.token_hex(3)}{path.suffix}"


def _may_live(host: str, number: int, entry: os.DirEntry[str]) -> bool:
    """Tell whether the process that made `entry` may still be there; of others by its age."""
    if host != _HOST:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime < LONG_SECONDS
    import psutil

    return psutil.pid_exists(number)
