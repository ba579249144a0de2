"""Programs of users' own, each read in a fresh process that has a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench import data
from nnbench.backends.program import framework_of, room_of
from nnbench.backends.proof import Proof, prove
from nnbench.config.run import Cell
from nnbench.errors import ConfigError, reported
from nnbench.model.reading import Reading
from nnbench.records.weights import save_weights
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.workers import environment
from nnbench.training.diagnosing import about_of, material_of, named

BUILD_SECONDS = 180  # to import its framework and the file, and to build
PROVE_SECONDS = 600


@dataclass(frozen=True)
class Program:
    """A side of a diagnosis, called `name`: what was read, the proof of it, and its weights.

    `weights` are files of initial weights by seed, in nnbench's layout. `data` and `task` are what
    it was read with: settings, those of its own `data()` where it has one. `proof` is None where
    there is none to be had: something is not understood, or the side is a configuration.
    """

    name: str
    reading: Reading
    proof: Proof | None
    weights: Mapping[int, Path]
    data: dict[str, Any]
    task: str

    @property
    def understood(self) -> bool:
        """Tell whether its reading may be relied on."""
        if self.reading.framework == "nnbench":
            return True
        return self.reading.understood and self.proof is not None and self.proof.understood


def parse(word: str) -> tuple[Path, str] | None:
    """Return the file and the function of `FILE:FUNCTION`, None for any other word.

    Raises ConfigError where there is no such file.
    """
    file, colon, function = word.rpartition(":")
    if not colon:
        file, function = word, "build"
    if not file.endswith(".py"):
        return None
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(f"Received {word}; there is no file {path}.")
    if not function.isidentifier():
        raise ConfigError(f"Received {word}; name a function, as in {file}:build.")
    return path.resolve(), function


def read_program(
    word: str, cell: Cell, seeds: Sequence[int], folder: Path, *, data_given: bool = False
) -> Program:
    """Read the program `FILE:FUNCTION` on the data and the course of `cell`; keep its weights.

    `data_given`: the data are as said, whatever `data()` the file has. Raises ConfigError, one
    line, for a program that cannot be read at all.
    """
    found = parse(word)
    assert found is not None
    path, function = found
    folder.mkdir(parents=True, exist_ok=True)
    config = cell.config
    job = {
        "file": str(path),
        "function": function,
        "folder": str(folder),
        "seeds": list(seeds),
        "data": cell.values["data"],
        "data_given": data_given,
        "task": config.task,
        "batch_size": config.batch_size,
        "epochs": config.epochs,
        "shuffle": config.shuffle,
        "prove": True,
    }
    said = _asked(job, environment(config), path.name)
    proof = said["proof"]
    return Program(
        word,
        Reading.of_data(said["reading"]),
        Proof(**_proof(proof)) if proof else None,
        {int(seed): Path(file) for seed, file in said["weights"].items()},
        said["data"],
        said["task"],
    )


def read_objects(name: str, built: Any, cell: Cell, seeds: Sequence[int], folder: Path) -> Program:
    """Read objects of this process, of which copies are made; every seed has their weights.

    Raises ConfigError for what cannot be read at all.
    """
    framework = framework_of(built)
    if framework is None:
        raise ConfigError(
            f"Received {name} of type {type(built).__name__}; must be (model, optimizer, loss) of "
            "PyTorch, with a scheduler perhaps, a compiled Keras model, or FILE:FUNCTION."
        )
    config, room = cell.config, room_of(framework)
    dataset = data.load(config.data, kind=config.task, seed=seeds[0])
    course = {"batch_size": config.batch_size, "epochs": config.epochs, "shuffle": config.shuffle}
    material = material_of(dataset, course | {"seeds": list(seeds)})
    own = room.copied(built)
    reading = named(name, lambda: room.read(own, about_of(dataset, config.task, material, None)))
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    if not any(unknown.part in ("layers", "input") for unknown in reading.unknown):
        params = room.weights(own, reading)
        for seed in seeds:
            weights[seed] = folder / f"initial-{seed}.safetensors"
            save_weights(weights[seed], params, name)
    proof = None
    if reading.understood:
        proof = prove(lambda: room.copied(built), room, reading, material)
    return Program(name, reading, proof, weights, cell.values["data"], config.task)


def _proof(said: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(said)
    for name in ("difference", "envelope"):
        values[name] = float("nan") if values[name] is None else values[name]
    return values | {name: tuple(values[name]) for name in ("instead", "notes")}


def _asked(job: dict[str, Any], variables: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return the answer of a fresh process to `job`. Raises its NNBenchError."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "nnbench.training.diagnosing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if "NNBENCH_DEBUG" in os.environ else subprocess.DEVNULL,
        env=dict(variables),
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    limit = _Limit(process)
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        limit.start(BUILD_SECONDS)
        said: dict[str, Any] = {}
        for line in process.stdout:
            said = json.loads(line)
            if said.get("event") != "built":
                break
            limit.start(PROVE_SECONDS)
    finally:
        limit.stop()
        _end(process)
    if limit.passed:
        what = "building" if not said else "being read"
        raise ConfigError(f"{name}: not done with {what} after {limit.passed} s; stopped.")
    if "error" in said:
        raise reported(said["kind"], said["error"])
    if "reading" not in said:
        code = process.returncode
        how = (
            f"was killed by signal {-code}" if code and code < 0 else f"ended with exit code {code}"
        )
        raise ConfigError(f"{name}: its process {how} before it was read.")
    return said


class _Limit:
    """Ends a process that takes longer than it may."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.passed = process, 0
        self._timer: threading.Timer | None = None

    def start(self, seconds: int) -> None:
        """Give it so long from now on."""
        self.stop()
        self._timer = threading.Timer(seconds, self._end, [seconds])
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        """Give it as long as it takes."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, seconds: int) -> None:
        self.passed = seconds
        _end(self.process)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()
