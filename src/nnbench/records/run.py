"""What a run yields: records per epoch and per run, and run.json, their durable form.

run.json is versioned. History: 1, the first; 2, flags, layers, without_effect and
parity; 3, peak_memory_bytes; 4, choices, resumed and the digest of the rest; 5, flags are facts; 6,
certificates cover the figures, near ties; processor seconds, waiting, switches, load, late seconds;
what the backend computed with (effective).
What is written has the newest version, whatever was read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from nnbench.errors import ConfigError, ResultsError
from nnbench.model.network import LayerRow
from nnbench.records.files import write_atomically
from nnbench.records.flags import Flag, read_flag
from nnbench.records.locks import is_locked

SCHEMA_VERSION = 6
DIGEST_SINCE = 4
RECORD_NAME = "run.json"
RUNS_NAME = "runs"
WEIGHTS_NAME = "weights.safetensors"  # what a run that came to its end leaves
Status = Literal["running", "finished", "diverged", "failed", "killed"]
OVER = ("finished", "diverged", "failed")  # nothing goes on with these


@dataclass(frozen=True)
class EpochRecord:
    """The figures of one epoch; losses are means over samples, accuracies fractions from 0 to 1.

    `learning_rate` is that of the first step. `train_*` are taken with frozen weights on
    `eval.train_samples` training samples, `running_loss` is the mean over the moving weights of
    the epoch. `*_ties` count samples whose two best logits nearly tie (`metrics.near_ties`).
    `generalization_gap` is train minus test accuracy, in regression test minus train
    loss. Accuracies are None in regression, `val_*` without a validation split. Figures that are
    not finite are None in JSON.

    Of the training part (None: not recorded): `cpu_seconds`, `waited_seconds` and
    `involuntary_switches` as in `training.effort`, the machine's `load` at the end; `late_seconds`
    of `train_seconds` are what was left undone when `train` returned.
    """

    epoch: int
    learning_rate: float
    running_loss: float
    train_loss: float
    train_accuracy: float | None
    test_loss: float
    test_accuracy: float | None
    generalization_gap: float | None
    train_seconds: float
    evaluate_seconds: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    cpu_seconds: float | None = None
    waited_seconds: float | None = None
    involuntary_switches: int | None = None
    load: float | None = None
    late_seconds: float | None = None
    train_ties: int | None = None
    test_ties: int | None = None
    val_ties: int | None = None


@dataclass(frozen=True)
class Phases:
    """Where the seconds of a run went, as its worker saw them.

    `wall_seconds` runs from the start of the worker process; what the phases leave of it is
    `unattributed_seconds`. `track_seconds` is the writing of records and results;
    `build_seconds` includes drawing and loading the initial weights.
    """

    import_seconds: float = 0.0
    data_seconds: float = 0.0
    build_seconds: float = 0.0
    warm_up_seconds: float = 0.0
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    track_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def unattributed_seconds(self) -> float:
        """Return the wall time that no phase accounts for."""
        phases = dataclasses.asdict(self)
        return phases.pop("wall_seconds") - sum(phases.values())


@dataclass(frozen=True)
class RunResult:
    """One run, complete: what was asked, where it ran, what came out.

    `config` is the resolved configuration, `config_name` aside; `parameters` their count, `layers`
    the table of them, `without_effect` those that only wander (a bias before a BatchNorm); `data`
    holds the payload digest and the split digests; `kept_epoch` is the
    epoch whose weights were kept (None before the first); `flags` belong to every table that
    shows the figures; `message` says why a run ended early; `parity` is its
    certificate (`nnbench.records.certificate`), where a sweep gave one; `peak_memory_bytes` is the
    most that its process had in memory, the framework included; `choices` is what the backend
    chose by itself, as the sizes of its blocks; `effective` are the constants and formulas that
    the backend computed with, by dotted key, empty where none are recorded; `resumed` are the
    epochs at which another process took the run up again; `directory` is where run.json was
    found, and is not part of it.
    """

    run_id: str
    name: str
    status: Status
    semantics: str
    fingerprint: str
    created: str
    config: dict[str, Any]
    architecture: str
    parameters: int
    data: dict[str, Any]
    machine: dict[str, Any]
    phases: Phases = field(default_factory=Phases)
    epochs: tuple[EpochRecord, ...] = ()
    kept_epoch: int | None = None
    message: str | None = None
    sweep: str | None = None
    tracking: dict[str, Any] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    without_effect: tuple[str, ...] = ()
    parity: dict[str, Any] | None = None
    peak_memory_bytes: int | None = None
    choices: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    resumed: tuple[int, ...] = ()
    schema_version: int = SCHEMA_VERSION
    directory: Path | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        kept = self.kept
        figure = ""
        if kept is not None:
            name = "loss" if kept.test_accuracy is None else "accuracy"
            value = kept.test_loss if kept.test_accuracy is None else kept.test_accuracy
            figure = f", test {name} {value:.4g}" if value is not None else ""
        return f"<RunResult {self.run_id} {self.name}: {self.status}{figure}>"

    @property
    def kept(self) -> EpochRecord | None:
        """Return the record of the epoch whose weights were kept."""
        found = [e for e in self.epochs if e.epoch == self.kept_epoch]
        return found[0] if found else None

    def figure(self, name: str) -> float | None:
        """Return a figure of the kept epoch, None where there is none."""
        return getattr(self.kept, name, None)

    @property
    def epoch_seconds(self) -> float | None:
        """Return the training time of an epoch, see `epoch_time`; None before the first."""
        return epoch_time([e.train_seconds for e in self.epochs]) if self.epochs else None

    def write(self) -> None:
        """Write run.json into `directory`, atomically."""
        assert self.directory is not None
        values = _finite(dataclasses.asdict(self))
        del values["directory"]
        values["schema_version"] = max(self.schema_version, SCHEMA_VERSION)
        indent = 1 if self.status in OVER else None  # for readers; it takes several times as long
        text = json.dumps(values | {"digest": ""}, indent=indent, allow_nan=False)
        before, _, after = text.rpartition('""')
        text = f'{before}"{_digest(text)}"{after}\n'
        write_atomically(self.directory / RECORD_NAME, text.encode())

    @classmethod
    def read(cls, directory: Path) -> RunResult:
        """Read run.json from `directory`; raises ResultsError when it is missing or damaged."""
        path = directory / RECORD_NAME
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text)
            version = values["schema_version"]
            if not isinstance(version, int):
                raise ValueError("its version is not a number")
            if version > SCHEMA_VERSION:
                raise ResultsError(
                    f"{path} has schema version {version}; this nnbench reads up to "
                    f"{SCHEMA_VERSION}. Use the newer nnbench that wrote it."
                )
            digest = values.pop("digest", None)
            if version >= DIGEST_SINCE and digest != _digest(text):
                raise ValueError("its digest does not match")
            values["phases"] = Phases(**values["phases"])
            for name in ("without_effect", "resumed"):
                values[name] = tuple(values.get(name, ()))
            values["flags"] = tuple(read_flag(flag) for flag in values.get("flags", ()))
            values["layers"] = tuple(LayerRow(*row) for row in values.get("layers", ()))
            values["epochs"] = tuple(EpochRecord(**e) for e in values["epochs"])
            return cls(**values, directory=directory)
        except OSError as error:
            raise ResultsError(f"Cannot read {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise ResultsError(
                f"{path} is damaged ({error}); the run is skipped. Delete its folder."
            ) from None


def epoch_time(seconds: Sequence[float]) -> float:
    """Return the training seconds that a run's epochs count as: the median of all but the first.

    The first epoch warms up caches and compilers. A single epoch counts as it is.
    """
    return median(seconds[1:] or seconds)


def read_runs(results: Path) -> list[RunResult]:
    """Return every readable run below `results`, oldest first; damaged ones are left out."""
    return Folder(results).runs()


class Folder:
    """The runs of a results folder; each is read once, and again only while it is not over.

    `name` is where in the folder they are; `problems` says, in a line each, which records
    cannot be read.
    """

    def __init__(self, results: Path, name: str = RUNS_NAME) -> None:
        self.path = results / name
        self._known: dict[str, RunResult] = {}
        self._bad: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """Return what could not be read, as of the last look."""
        return list(self._bad.values())

    def runs(self) -> list[RunResult]:
        """Look into the folder and return its runs, oldest first."""
        try:
            names = {entry.name for entry in os.scandir(self.path)}
        except OSError:
            names = set()
        for name in self._known.keys() - names:
            del self._known[name]
        self._bad = {name: text for name, text in self._bad.items() if name in names}
        for name in names:
            known = self._known.get(name)
            if name in self._bad or (known and known.status in OVER):
                continue
            directory = self.path / name
            if not (directory / RECORD_NAME).is_file():
                continue
            try:
                self._known[name] = _as_it_is(RunResult.read(directory))
            except ResultsError as error:
                self._bad[name] = str(error)
        return sorted(self._known.values(), key=lambda run: (run.created, run.run_id))


def _as_it_is(run: RunResult) -> RunResult:
    """Return the run; one that was running when its process died is `killed`."""
    if run.status != "running" or run.directory is None or is_locked(run.directory):
        return run
    return dataclasses.replace(run, status="killed", message="its process ended")


def any_stopped(results: Path) -> bool:
    """Tell whether a run in the folder was stopped; looks at runs without a result alone."""
    unfinished = (
        path
        for path in (results / RUNS_NAME).glob("*/")
        if (path / RECORD_NAME).is_file() and not (path / WEIGHTS_NAME).is_file()
    )
    for path in unfinished:
        try:
            if _as_it_is(RunResult.read(path)).status == "killed":
                return True
        except ResultsError:
            continue
    return False


def _digest(text: str) -> str:
    """Return the digest of the text of a record up to its last key, which is `digest`."""
    before = text.rpartition('"digest"')[0]
    return hashlib.blake2b(before.encode(), digest_size=16).hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
