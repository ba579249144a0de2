"""Whole commands, from the key press to the prompt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Failed
from workloads import Limit

SOURCE = Path(__file__).resolve().parents[2] / "src"
ONE = ("backend=numpy", "epochs=1")
FEW = 9  # runs of a sweep whose cost is compared with that of a sweep of one
SWEEP = ("-m", *ONE, "tracking=local", "parity=false")
PYTHON = {"import numpy": "import numpy", "import mlflow": "import mlflow"}
WORDS: dict[str, tuple[str, ...]] = {
    "nnbench --help": ("--help",),
    "one epoch": (*ONE, "tracking=local"),
    "one epoch with MLflow": ONE,
}
SWEPT = "a sweep's run, beside training and evaluating"
NAMES = (*PYTHON, *WORDS, SWEPT)


@dataclass(frozen=True)
class Absolute:
    """`of` may take at most so many seconds."""

    of: str
    seconds: float


DEMANDS = (
    Limit("one epoch", "import numpy", 8.0),
    Limit("one epoch with MLflow", "import mlflow", 1.2),
    Absolute("nnbench --help", 0.1),
    Absolute(SWEPT, 0.35),
)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return what a command takes, as a journal keeps it. Raises CalledProcessError, Failed."""
    folder = folder.resolve()  # the commands are typed in it
    if name.endswith("MLflow") and not (folder / "results" / "mlflow.db").exists():
        _timed(["-m", "nnbench", *WORDS[name]], folder)  # makes the store, once
    start = time.perf_counter()
    if name == SWEPT:
        wall, spent = _per_run(folder)
    else:
        words = ["-c", PYTHON[name]] if name in PYTHON else ["-m", "nnbench", *WORDS[name]]
        wall, spent = _timed(words, folder)
    return {
        "step_microseconds": 1e6 * wall,
        "processor_seconds": spent,
        "evaluate_seconds": None,
        "contended": False,
        "wall_seconds": time.perf_counter() - start,
    }


def _timed(words: list[str], folder: Path) -> tuple[float, float]:
    """Run Python; return seconds by the wall and by the processor, children included."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *sys.path])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def _per_run(folder: Path) -> tuple[float, float]:
    """Return what one more run of a sweep takes, its training and evaluating taken off."""
    from nnbench.records.folder import read_runs

    results = folder / "swept"
    if results.exists():  # a round before's: nothing would be left to run
        shutil.rmtree(results)
    took = []
    for seeds in ("0", f"range(1,{1 + FEW})"):
        words = ["-m", "nnbench", *SWEEP, f"seed={seeds}", f"results={results}"]
        took.append(_timed(words, folder))
    done = [run for run in read_runs(results) if run.config["seed"] > 0]
    if len(done) != FEW:
        raise Failed(f"{len(done)} of {FEW} runs are on record")
    epochs = [epoch for run in done for epoch in run.epochs]
    wall = sum(run.phases.train_seconds + run.phases.evaluate_seconds for run in done) / FEW
    cpu = sum((e.cpu_seconds or 0.0) + (e.evaluate_cpu_seconds or 0.0) for e in epochs) / FEW
    (one_wall, one_cpu), (few_wall, few_cpu) = took
    # FEW runs against one: FEW - 1 more.
    more = FEW - 1
    return (few_wall - one_wall) / more - wall, (few_cpu - one_cpu) / more - cpu
