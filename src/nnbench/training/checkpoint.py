"""Checkpoints: where a run is, in files that are whole or not used.

A digest in the metadata shows a flipped bit or a cut-off end. A new file is written beside the old
ones: after a power failure the newest may be damaged, then the one before it serves.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import NO_STATS, State, TrainStats
from nnbench.config.run import CheckpointConfig
from nnbench.errors import ResultsError
from nnbench.model.init import Params
from nnbench.model.network import ParamKey
from nnbench.records.files import write_atomically
from nnbench.records.parts import Size
from nnbench.records.run import CHECKPOINTS_NAME
from nnbench.schema import archives, at_least, files, read
from nnbench.schema.deferred import dataclass
from nnbench.training.effort import NONE, UNKNOWN, Effort

FOLDER_NAME = CHECKPOINTS_NAME
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Position:
    """Where a run is: `step` steps into `epoch`, with what this part of the epoch came to so far.

    `late` of its `seconds` passed after `train` had returned.
    """

    epoch: int = 0
    step: int = 0
    stats: TrainStats = NO_STATS
    seconds: float = 0.0
    effort: Effort = NONE
    late: float = 0.0


@dataclass(frozen=True)
class Checkpoint(Position):
    """A position with all that is needed to go on from there: `state` is the Trainer's.

    `visited` holds the trajectory, one sample for each whole epoch; `best` is the best epoch so
    far and its weights, where they are kept.
    """

    state: State = field(default_factory=dict)
    visited: list[Params] = field(default_factory=list)
    best: tuple[int, Params] | None = None

    @property
    def position(self) -> Position:
        """Return where it is, without what it takes to go on."""
        return Position(**{each.name: getattr(self, each.name) for each in fields(Position)})

    def save(self, directory: Path, keep: int) -> None:
        """Write into the run's `directory`; of all that are there leave the newest `keep`.

        Raises ResultsError when the disk refuses; the older ones then remain.
        """
        from safetensors.numpy import save

        tensors = {f"state/{key}": value for key, value in self.state.items()}
        if self.visited:
            for key in self.visited[0]:
                tensors[f"visited/{key}"] = np.stack([sample[key] for sample in self.visited])
        if self.best:
            tensors |= {f"best/{key}": value for key, value in self.best[1].items()}
        tensors = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.stats.loss_sum,
            "samples": self.stats.samples,
            "correct": self.stats.correct,
            "seconds": self.seconds,
            "effort": asdict(self.effort),
            "late": self.late,
            "best": self.best[0] if self.best else None,
        }
        text = json.dumps(facts)
        metadata = {"facts": text, "digest": _digest(text, tensors)}
        folder = directory / CHECKPOINTS_NAME
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ResultsError(f"Cannot make {folder}: {error.strerror}.") from None
        path = folder / f"{self.epoch:07d}-{self.step:09d}{SUFFIX}"
        write_atomically(path, save(tensors, metadata=metadata))
        for old in _files(directory)[keep:]:
            old.unlink(missing_ok=True)


def latest(directory: Path) -> tuple[Checkpoint | None, list[Path]]:
    """Return the newest whole checkpoint of a run, None without one, and the damaged newer ones."""
    damaged: list[Path] = []
    for path in _files(directory):
        try:
            return _read(path), damaged
        except Exception:  # whatever a damaged file makes of the reader
            damaged.append(path)
    return None, damaged


def remove(directory: Path) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(directory / CHECKPOINTS_NAME, ignore_errors=True)


class Pace:
    """Tells when the next checkpoint is due."""

    def __init__(self, config: CheckpointConfig) -> None:
        self.config = config
        self._last = time.monotonic()

    def due(self, whole_epochs: int | None) -> bool:
        """Tell whether one is due now, after `whole_epochs` (None: within an epoch)."""
        every = self.config.every
        if every is None:
            return False
        if self.config.unit == "epochs":
            return whole_epochs is not None and whole_epochs % every == 0
        return time.monotonic() - self._last >= every

    def saved(self) -> None:
        """Count from now."""
        self._last = time.monotonic()


def _files(directory: Path) -> list[Path]:
    """Return the checkpoints of a run, the newest first."""
    return sorted((directory / CHECKPOINTS_NAME).glob(f"[0-9]*{SUFFIX}"), reverse=True)


@dataclass(frozen=True)
class _Facts:
    """What the metadata of a checkpoint hold beside the digest."""

    epoch: Size
    step: Size
    loss_sum: float
    samples: Size
    seconds: Annotated[float, at_least(0)]
    best: Size | None
    effort: Effort | None = None
    late: float = 0.0
    correct: Size | None = None


def _read(path: Path) -> Checkpoint:
    tensors, metadata = archives.tensors(path)
    text = metadata.get("facts", "")
    if _digest(text, tensors) != metadata.get("digest"):
        raise files.Damage("its digest does not match")
    facts = read(_Facts, files.json_object(text.encode()))

    def of(kind: str) -> dict[str, NDArray[Any]]:
        start = f"{kind}/"
        return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

    visited = {ParamKey.parse(key): value for key, value in of("visited").items()}
    epochs = len(next(iter(visited.values()))) if visited else 0
    if epochs > facts.epoch:
        raise files.Damage(f"it has samples of {epochs:,} epochs, {facts.epoch:,} of them run")
    return Checkpoint(
        epoch=facts.epoch,
        step=facts.step,
        state=of("state"),
        stats=TrainStats(facts.loss_sum, facts.samples, facts.correct),
        seconds=facts.seconds,
        effort=UNKNOWN if facts.effort is None else facts.effort,
        late=facts.late,
        visited=[{key: value[i] for key, value in visited.items()} for i in range(epochs)],
        best=None
        if facts.best is None
        else (facts.best, {ParamKey.parse(key): value for key, value in of("best").items()}),
    )


def _digest(facts: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        sha.update(f"{name}{value.shape}{value.dtype}".encode())
        sha.update(np.asarray(value, order="C").data)
    return sha.hexdigest()
