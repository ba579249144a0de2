"""Files from the network: two mirrors, one try each, every file checked before it is kept."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

from nnbench import writing
from nnbench.data import cache
from nnbench.errors import DataError
from nnbench.formatting import memory
from nnbench.schema.progress import Tell, nobody

# Without a network a user learns so within ten seconds: the first file of a mirror has to be
# there in time. Resolving a name and trying a host's addresses in turn have no limit of their own.
FIRST_FILE_SECONDS = 4.5
CONNECT_SECONDS, READ_SECONDS = 3.0, 4.0

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

Check = Callable[[Path], object]


def fetch(
    files: Mapping[str, Check], mirrors: Sequence[str], folder: Path, tell: Tell = nobody
) -> None:
    """Bring `files` (name to check) from `mirrors` into `folder`; put the smallest first.

    A check raises DataError for a damaged file. A mirror that fails is not asked again; what it
    delivered is kept. Raises DataError saying how each mirror failed.
    """
    failures = []
    missing = dict(files)
    for mirror in mirrors:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with writing.scratch(folder) as scratch:
                failure = _fetch_from(mirror, missing, scratch, folder, tell)
        except OSError as error:
            raise cache.unwritable(error) from None
        if failure is None:
            return
        failures.append(f"{urlsplit(mirror).netloc}: {failure}")
    raise DataError(f"no download ({'; '.join(failures)})")


def _fetch_from(
    mirror: str, missing: dict[str, Check], scratch: Path, folder: Path, tell: Tell
) -> str | None:
    """Bring what is `missing`, taking from it what has arrived; return why that failed.

    Raises OSError where the disk is at fault.
    """
    seconds: float | None = FIRST_FILE_SECONDS
    for name, check in list(missing.items()):
        try:
            path = _within(
                seconds, functools.partial(_retrieve, mirror + name, scratch / name, tell)
            )
            check(path)
        except DataError as error:
            return str(error).removeprefix(f"{scratch}{os.sep}")
        except OSError as error:  # requests' errors are OSErrors too
            if error.errno in DISK_ERRORS:
                raise
            response = getattr(error, "response", None)
            return type(error).__name__ if response is None else f"HTTP {response.status_code}"
        with writing.replacing(folder / name) as new:
            shutil.copyfile(path, new)  # pooch's own is readable by its user alone
        del missing[name]
        seconds = None
    return None


class _Arriving:
    """What pooch tells how many bytes of a file have arrived."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell = name, tell
        self.total = self._here = 0  # pooch sets the total

    def update(self, size: int) -> None:
        """So many bytes more have arrived."""
        self._here = min(self._here + size, self.total or self._here + size)
        of = f" of {memory(self.total)}" if self.total else ""
        self._tell(self._here, self.total, f"{self._name}, {memory(self._here)}{of}")

    def reset(self) -> None:
        """The file is here; pooch counts once more."""
        self._here = 0

    def close(self) -> None:
        """Nothing more comes."""


def _retrieve(url: str, path: Path, tell: Tell = nobody) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    tell(0, 0, f"asking {urlsplit(url).netloc} for {path.name}")
    downloader = pooch.HTTPDownloader(
        timeout=(CONNECT_SECONDS, READ_SECONDS), progressbar=_Arriving(path.name, tell)
    )
    # No hash for pooch: mirrors may compress anew; what was compressed is checked by the caller.
    pooch.retrieve(url, known_hash=None, fname=path.name, path=path.parent, downloader=downloader)
    return path


def _within(seconds: float | None, action: Callable[[], Path]) -> Path:
    """Return what `action` does; raise TimeoutError when it takes longer than `seconds`.

    The thread is left behind then; as a daemon it does not keep the process alive.
    """
    future: Future[Path] = Future()

    def act() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    return future.result(seconds)
