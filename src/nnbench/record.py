"""What a run yields: records per epoch and per run, and run.json, their durable form.

run.json is versioned. History: 1, the first; 2, flags, layers, without_effect and
parity; 3, peak_memory_bytes; 4, choices.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from nnbench.errors import ResultsError
from nnbench.files import write_atomically
from nnbench.spec import LayerRow

SCHEMA_VERSION = 4
RECORD_NAME = "run.json"
Status = Literal["running", "finished", "diverged", "failed", "killed"]


@dataclass(frozen=True)
class EpochRecord:
    """The figures of one epoch; losses are means over samples, accuracies shares from 0 to 1.

    `learning_rate` is that of the first step. `train_*` are taken with frozen weights on
    `eval.train_samples` training samples, `running_loss` is the mean over the moving weights of
    the epoch. `generalization_gap` is train minus test accuracy, in regression test minus train
    loss. Accuracies are None in regression, `val_*` without a validation split. Figures that are
    not finite are None in JSON.
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
    epoch whose weights were kept (None before the first); `flags` are sentences that belong to
    every table that shows the figures; `message` says why a run ended early; `parity` is its
    certificate (`nnbench.certificate`), where a sweep gave one; `peak_memory_bytes` is the most
    that its process had in memory, the framework included; `choices` is what the backend chose by
    itself, as the sizes of its blocks; `directory` is where run.json was
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
    flags: tuple[str, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    without_effect: tuple[str, ...] = ()
    parity: dict[str, Any] | None = None
    peak_memory_bytes: int | None = None
    choices: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    directory: Path | None = field(default=None, compare=False)

    @property
    def kept(self) -> EpochRecord | None:
        """Return the record of the epoch whose weights were kept."""
        found = [e for e in self.epochs if e.epoch == self.kept_epoch]
        return found[0] if found else None

    @property
    def epoch_seconds(self) -> float | None:
        """Return the median training seconds per epoch."""
        return median(e.train_seconds for e in self.epochs) if self.epochs else None

    def write(self) -> None:
        """Write run.json into `directory`, atomically."""
        assert self.directory is not None
        values = dataclasses.asdict(self)
        del values["directory"]
        write_atomically(self.directory / RECORD_NAME, _dumps(values).encode())

    @classmethod
    def read(cls, directory: Path) -> RunResult:
        """Read run.json from `directory`; raises ResultsError when it is missing or damaged."""
        path = directory / RECORD_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version = values["schema_version"]
            if version > SCHEMA_VERSION:
                raise ResultsError(
                    f"{path} has schema version {version}; this nnbench reads up to "
                    f"{SCHEMA_VERSION}. Use the newer nnbench that wrote it."
                )
            values["phases"] = Phases(**values["phases"])
            values["flags"] = tuple(values.get("flags", ()))
            values["without_effect"] = tuple(values.get("without_effect", ()))
            values["layers"] = tuple(LayerRow(*row) for row in values.get("layers", ()))
            values["epochs"] = tuple(EpochRecord(**e) for e in values["epochs"])
            return cls(**values, directory=directory)
        except OSError as error:
            raise ResultsError(f"Cannot read {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{path} is damaged ({error}); delete its folder.") from None


def read_runs(results: Path) -> Iterator[RunResult]:
    """Yield every readable run below `results`, oldest first; damaged ones are left out."""
    found = []
    for path in results.glob(f"runs/*/{RECORD_NAME}"):
        try:
            found.append(RunResult.read(path.parent))
        except ResultsError:
            continue
    yield from sorted(found, key=lambda run: (run.created, run.run_id))


def _dumps(values: Any) -> str:
    """Dump as strict JSON: NaN and infinities become null."""
    return json.dumps(_finite(values), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
