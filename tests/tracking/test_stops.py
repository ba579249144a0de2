"""Stopped again and again, in every way, and asked again: MLflow shows what the records say."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path

import psutil
import pytest

from nnbench.records.folder import read_runs
from support.commands import PATIENCE, begin, kill_group
from support.tracking import assert_mirrored, client_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
STOPS = 40
LONG = ("backend=numpy", "batch_size=8", "schedule=constant", "schedule.lr=0.01", "epochs=150")
KINDS = ("SIGINT", "SIGTERM", "SIGHUP", "worker", "group")


def epochs_on_record(folder: Path) -> int:
    return sum(len(run.epochs) for run in read_runs(folder / "results"))


def stop(folder: Path, command: list[str], kind: str, epochs: int) -> bool:
    """Start the command and stop it after some more epochs; False where it ended before."""
    wanted = epochs_on_record(folder) + epochs
    process = begin(folder, command)
    while process.poll() is None and epochs_on_record(folder) < wanted:
        with contextlib.suppress(Exception):
            process.wait(0.05)
    if process.poll() is not None:
        process.communicate()
        return False
    if kind == "group":
        kill_group(process)
    elif kind == "worker":
        with contextlib.suppress(psutil.Error, IndexError):
            psutil.Process(process.pid).children()[0].kill()
    else:
        os.kill(process.pid, getattr(signal, kind))
    process.communicate(timeout=2 * PATIENCE)
    return True


def all_stops(folder: Path, *words: str) -> None:
    rng = random.Random(4)
    stops, seeds = 0, 1
    while stops < STOPS:
        command = ["-m", *LONG, *words, "seed=" + ",".join(map(str, range(seeds)))]
        if stop(folder, command, KINDS[stops % len(KINDS)], rng.randint(1, 12)):
            stops += 1
        else:
            seeds += 1
    for _ in range(2):  # a worker that was killed may leave a failed run behind
        process = begin(folder, command)
        out, err = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0, out + err


def test_on_sqlite(tmp_path: Path) -> None:
    all_stops(tmp_path)
    assert_mirrored(client_of(tmp_path / "results"), read_runs(tmp_path / "results"))


def test_on_postgresql(tmp_path: Path, postgres: str) -> None:
    all_stops(tmp_path, f"tracking.uri={postgres}")
    assert_mirrored(client_of(postgres), read_runs(tmp_path / "results"))
