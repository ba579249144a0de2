"""Locks: who is at a run, and who is about to begin one; freed by the system when a process dies.

A worker holds the lock of its run's folder. A process that wants to run a cell first claims the
cell's fingerprint in the results folder, so that two sweeps never begin the same run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from nnbench.errors import ResultsError, RunBusy

LOCK_NAME = ".lock"
CLAIMS_NAME = ".claims"
LINGER_SECONDS = 10.0  # that a worker may outlive the parent that was killed


@contextlib.contextmanager
def locked(directory: Path, seconds: float = LINGER_SECONDS) -> Iterator[None]:
    """Hold the lock of a run's folder; raises RunBusy where another process keeps it.

    It is waited for so many `seconds`.
    """
    lock = FileLock(directory / LOCK_NAME, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise RunBusy(f"Another process is already at work on the run in {directory}.") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(directory: Path) -> bool:
    """Tell whether a process is at the run in `directory`.

    It is asked with a lock that many can hold at a time, so that two who ask do not take each
    other for somebody at work.
    """
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # there is none, or it is none of ours
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno == errno.ENOSYS and _exists(directory)
    finally:
        os.close(lock)
    return False


def _exists(directory: Path) -> bool:
    """Tell the same on a file system without flock, where FileLock makes and removes a file."""
    try:
        with FileLock(directory / LOCK_NAME, timeout=0):
            return False
    except (Timeout, OSError):
        return True


class Claim:
    """The right to run what has this fingerprint, of which there is one in a results folder."""

    def __init__(self, results: Path, fingerprint: str) -> None:
        self._lock = FileLock(results / CLAIMS_NAME / fingerprint, thread_local=False)
        self._results = results

    def take(self) -> bool:
        """Take the claim; tell whether it was free."""
        try:
            (self._results / CLAIMS_NAME).mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise ResultsError(
                f"Cannot write results={self._results}: {error.strerror}; choose a writable "
                "folder with results=DIR."
            ) from None
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()
