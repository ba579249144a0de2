"""One measurement: a contender trains once, in a process of its own, and says how that went."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads import Contender, Workload

from nnbench.api import run as nnbench_run
from nnbench.config.composition import compose
from nnbench.data import mnist
from nnbench.errors import NNBenchError
from nnbench.records import contention
from nnbench.sweeps.workers import environment

EMBEDDED = {"train": 4_000, "test": 1_000}
HERE = Path(__file__).resolve().parent


class Failed(Exception):  # noqa: N818 - it names what happened
    """A contender cannot do a workload; the text says why."""


@dataclass(frozen=True)
class Epoch:
    """One epoch as its process saw it; see `nnbench.training.effort`."""

    train_seconds: float
    cpu_seconds: float | None
    waited_seconds: float | None
    involuntary_switches: int | None


@dataclass(frozen=True)
class Measured:
    """What one process took: its epochs, the first of which warms up, and for evaluating."""

    epochs: tuple[Epoch, ...]
    steps: int
    evaluate_seconds: float | None
    wall_seconds: float  # from the start of the process to its end

    @property
    def step_microseconds(self) -> float:
        """Return the time of a training step, by the median epoch."""
        seconds = [epoch.train_seconds for epoch in self.epochs]
        return 1e6 * statistics.median(seconds[1:] or seconds) / self.steps

    @property
    def contended(self) -> bool:
        """Tell whether other processes took the processor, by the rule for recorded runs."""
        return contention.is_contended(self.epochs)

    def as_data(self) -> dict[str, Any]:
        """Return it for the journal."""
        counted = self.epochs[1:] or self.epochs
        waits = [epoch.waited_seconds for epoch in counted]
        return {
            "step_microseconds": self.step_microseconds,
            "evaluate_seconds": self.evaluate_seconds,
            "contended": self.contended,
            "seconds": [epoch.train_seconds for epoch in counted],
            "cpu_seconds": [epoch.cpu_seconds for epoch in counted],
            "waited_seconds": waits,
            "involuntary_switches": [epoch.involuntary_switches for epoch in counted],
            "steps": self.steps,
            "wall_seconds": self.wall_seconds,
        }


def absent(contender: Contender) -> str | None:
    """Return what a contender needs and this machine does not have, None where it can run."""
    lacks = [name for name in contender.packages if importlib.util.find_spec(name) is None]
    if contender.bare == "c" and shutil.which("cc") is None:
        lacks.append("a C compiler (cc)")
    return ", ".join(lacks) or None


def measure(workload: Workload, contender: Contender, less: list[str], folder: Path) -> Measured:
    """Run a contender once; `less` are overrides that make the work smaller. Raises Failed."""
    usual = [*workload.overrides, *data_set(workload), f"epochs={workload.epochs}"]
    usual.append("tracking=local")
    by_key = {word.partition("=")[0]: word for word in (*usual, *less, f"results={folder}")}
    words = list(by_key.values())
    start = time.perf_counter()
    try:
        if contender.bare is None:
            return _by_nnbench([*words, *contender.overrides], start)
        return _by_hand(contender.bare, [*words, *contender.overrides], start)
    except (NNBenchError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise Failed(said.strip().splitlines()[-1]) from None


def has_mnist() -> bool:
    """Tell whether the real MNIST is at hand; else the embedded digits have to do."""
    return mnist.MNIST.find(None) is not None


def data_set(workload: Workload) -> list[str]:
    """Return the overrides for the data; of the embedded digits there are only so many."""
    if has_mnist():
        return ["data=mnist"]
    asked = dict(word.split("=", 1) for word in workload.overrides)
    most = {f"data.{name}_samples": n for name, n in EMBEDDED.items()}
    return ["data=mnist_5k", *(f"{k}={min(n, int(asked.get(k, n)))}" for k, n in most.items())]


def _by_nnbench(words: list[str], start: float) -> Measured:
    done = nnbench_run(words)
    epochs = tuple(
        Epoch(e.train_seconds, e.cpu_seconds, e.waited_seconds, e.involuntary_switches)
        for e in done.epochs
    )
    steps = math.ceil(done.data["samples"]["train"] / done.config["batch_size"])
    evaluating = statistics.median(e.evaluate_seconds for e in done.epochs)
    return Measured(epochs, steps, evaluating, time.perf_counter() - start)


def _by_hand(loop: str, words: list[str], start: float) -> Measured:
    config = compose(words).config
    job = {"loop": loop, "overrides": words, "epochs": config.epochs}
    done = subprocess.run(
        [sys.executable, str(HERE / "bare.py")],
        input=json.dumps(job),
        env=environment(config) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    epochs = tuple(Epoch(*values) for values in said["epochs"])
    return Measured(epochs, said["steps"], said["evaluate"], time.perf_counter() - start)
