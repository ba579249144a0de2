"""Whether somebody is at a run can be asked by many at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from nnbench.records.locks import LOCK_NAME, is_locked, locked


def test_a_run_at_work_is_told_to_all_who_ask(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not list(tmp_path.iterdir()), "asking leaves nothing behind"
    with locked(tmp_path):
        assert is_locked(tmp_path)
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_who_asks_is_not_taken_for_somebody_at_work(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    said: list[bool] = []

    def ask() -> None:
        said.extend(is_locked(tmp_path) for _ in range(5000))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 10_000
    assert not any(said)


def test_something_else_in_the_place_of_the_lock_keeps_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK_NAME)  # whose opening waits for a writer
    assert not is_locked(tmp_path)
    (tmp_path / LOCK_NAME).unlink()
    (tmp_path / LOCK_NAME).mkdir()
    assert not is_locked(tmp_path)


def test_work_begins_though_somebody_is_asking(tmp_path: Path) -> None:
    with (tmp_path / LOCK_NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `is_locked` does, for longer
        threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with locked(tmp_path):
            assert is_locked(tmp_path)
