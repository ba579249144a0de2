"""What a run yields: records per epoch and per run, and run.json, their durable form.

run.json is versioned. History: 1, the first; 2, flags, layers, without_effect and
parity; 3, peak_memory_bytes; 4, choices, resumed and the digest of the rest; 5, flags are facts; 6,
certificates cover the figures, near ties; processor seconds, waiting, switches, load, late seconds;
no passwords in URIs; what the backend computed with
(effective).
What is written has the newest version, whatever was read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from html import escape
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, get_type_hints

from nnbench.credentials import hidden_in
from nnbench.errors import ConfigError, ResultsError
from nnbench.formatting import NAME_CHARACTERS, cut, duration, number, percent, printable
from nnbench.model.rows import LayerRow
from nnbench.records.files import write_atomically
from nnbench.records.flags import Flag
from nnbench.records.parts import SHAPES, Config, Count, Figure, Size
from nnbench.records.text import Form, Newer, digest, fields
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import Damage, content
from nnbench.schema.limits import Text, at_least, within

SCHEMA_VERSION = 6
RECORD_NAME = "run.json"
RUNS_NAME = "runs"
CHECKPOINTS_NAME = "checkpoints"
CONFIG_NAME = "config.yaml"
WEIGHTS_NAME = "weights.safetensors"  # what a run that came to its end leaves
Status = Literal["running", "finished", "diverged", "failed", "killed"]
RunId = Annotated[str, Text(120, "letters, digits, - and _", r"\w[\w.-]*")]
Seconds = Annotated[float, at_least(0)]
Share = Annotated[float, within(0, 1)] | None
OVER = ("finished", "diverged", "failed")  # nothing goes on with these


@dataclass(frozen=True)
class EpochRecord:
    """The figures of one epoch; losses are means over samples, accuracies fractions from 0 to 1.

    `learning_rate` is that of the first step. `train_*` are taken with frozen weights on
    `eval.train_samples` training samples, `running_*` are means over the moving weights of the
    epoch (the accuracy None where the backend does not count). `*_ties` count samples whose two
    best logits nearly tie (`metrics.near_ties`). `generalization_gap` is train minus test accuracy,
    in regression test minus train loss. Accuracies are None in regression, `val_*` without a
    validation split. Figures that are not finite are None in JSON.

    Of the training part (None: not recorded): `cpu_seconds`, `waited_seconds` and
    `involuntary_switches` as in `training.effort`, the machine's `load` at the end; `late_seconds`
    of `train_seconds` are what was left undone when `train` returned. `evaluate_cpu_seconds` are
    the processor's for evaluating.
    """

    epoch: Size
    learning_rate: Figure
    running_loss: Figure
    train_loss: Figure
    train_accuracy: Share
    test_loss: Figure
    test_accuracy: Share
    generalization_gap: float | None
    train_seconds: Seconds
    evaluate_seconds: Seconds
    val_loss: float | None = None
    val_accuracy: Share = None
    cpu_seconds: Seconds | None = None
    waited_seconds: Seconds | None = None
    involuntary_switches: Size | None = None
    load: float | None = None
    late_seconds: float | None = None
    train_ties: Size | None = None
    test_ties: Size | None = None
    val_ties: Size | None = None
    running_accuracy: Share = None
    evaluate_cpu_seconds: Seconds | None = None


@dataclass(frozen=True)
class Phases:
    """Where the seconds of a run went, as its worker saw them.

    `wall_seconds` runs from the start of the worker process, without the time that it waited for
    its job; what the phases leave of it is `unattributed_seconds`. `track_seconds` is the writing
    of records and results; `build_seconds` includes drawing and loading the initial weights.
    """

    import_seconds: Seconds = 0.0
    data_seconds: Seconds = 0.0
    build_seconds: Seconds = 0.0
    warm_up_seconds: Seconds = 0.0
    train_seconds: Seconds = 0.0
    evaluate_seconds: Seconds = 0.0
    track_seconds: Seconds = 0.0
    wall_seconds: Seconds = 0.0

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

    run_id: RunId
    name: str
    status: Status
    semantics: str
    fingerprint: str
    created: str
    config: dict[str, Any]
    architecture: str
    parameters: Size
    data: dict[str, Any]
    machine: dict[str, Any]
    phases: Phases = field(default_factory=Phases)
    epochs: tuple[EpochRecord, ...] = ()
    kept_epoch: Size | None = None
    message: str | None = None
    sweep: str | None = None
    tracking: dict[str, Any] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    without_effect: tuple[str, ...] = ()
    parity: dict[str, Any] | None = None
    peak_memory_bytes: Size | None = None
    choices: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    resumed: tuple[Size, ...] = ()
    schema_version: Count = SCHEMA_VERSION
    directory: Path | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        kept = self.kept
        figure = ""
        if kept is not None:
            if kept.test_accuracy is not None:
                figure = f", test accuracy {percent(kept.test_accuracy)}"
            elif kept.test_loss is not None:
                figure = f", test loss {number(kept.test_loss)}"
        return f"<RunResult {self.run_id} {self.shown}: {self.status}{figure}>"

    def _repr_html_(self) -> str:
        """Return the run as a small table, for notebooks."""
        kept = self.kept
        rows = {
            "status": self.status,
            "backend": self.config.get("backend", {}).get("name", "?"),
            "net": f"{self.architecture}, {self.parameters:,} parameters",
            "data": self.data.get("name", "?"),
            "epochs": str(len(self.epochs)),
        }
        if kept is not None and kept.test_accuracy is not None:
            rows["train accuracy"] = percent(kept.train_accuracy)
            rows["test accuracy"] = percent(kept.test_accuracy)
        elif kept is not None:
            rows["test loss"] = number(kept.test_loss)
        rows["epoch time"] = duration(self.epoch_seconds)
        rows["results"] = str(self.directory)
        cells = (f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items())
        return f"<table><caption>{escape(self.shown)}</caption>{''.join(cells)}</table>"

    @property
    def shown(self) -> str:
        """Return the name as it is shown: of sane length, and nothing but text."""
        return printable(cut(self.name, NAME_CHARACTERS))

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

    @property
    def visited(self) -> int:
        """Return how many training samples an epoch visits, see `Task.visited`."""
        samples = int((self.data.get("samples") or {}).get("train", 0))
        dropped = self.config.get("drop_last", False)
        return samples - samples % self.config["batch_size"] if dropped else samples

    @property
    def updates(self) -> int:
        """Return how many steps an epoch takes, see `Task.steps`."""
        batches = self.config.get("gradient_accumulation_steps", 1)
        return -(-self.visited // (self.config["batch_size"] * batches))

    def write(self) -> None:
        """Write run.json into `directory`, atomically."""
        assert self.directory is not None
        values = hidden_in(_finite(dataclasses.asdict(self)))
        del values["directory"]
        values["schema_version"] = max(self.schema_version, SCHEMA_VERSION)
        indent = 1 if self.status in OVER else None  # for readers; it takes several times as long
        text = json.dumps(values | {"digest": ""}, indent=indent, allow_nan=False)
        before, key, after = text.encode().rpartition(b'"digest": "')
        stored = b"%b%b%b%b\n" % (before, key, digest(before), after)
        write_atomically(self.directory / RECORD_NAME, stored)

    @classmethod
    def read(cls, directory: Path) -> RunResult:
        """Read run.json from `directory`; raises ResultsError when it is missing or damaged."""
        path = directory / RECORD_NAME
        try:
            return cls(**fields(content(path), _form()), directory=directory)
        except OSError as error:
            raise ResultsError(f"Cannot read {path}: {error.strerror}.") from None
        except Newer as error:
            raise ResultsError(
                f"{path} has schema version {error}; this nnbench reads up to "
                f"{SCHEMA_VERSION}. Use the newer nnbench that wrote it."
            ) from None
        except (Damage, ConfigError) as error:
            text = str(error).removesuffix(".")
            raise ResultsError(
                f"{path} is damaged ({text}); the run is skipped. Delete its folder."
            ) from None


@cache
def _form() -> Form:
    """Return what a record is read as."""
    kinds = get_type_hints(RunResult, include_extras=True) | SHAPES
    del kinds["directory"]
    required = frozenset(
        f.name
        for f in dataclasses.fields(RunResult)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    return Form(kinds, required, SCHEMA_VERSION, Config)


def epoch_time(seconds: Sequence[float]) -> float:
    """Return the training seconds that a run's epochs count as: the median of all but the first.

    The first epoch warms up caches and compilers. A single epoch counts as it is.
    """
    return median(seconds[1:] or seconds)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
