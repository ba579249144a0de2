"""The run configuration: typed, range-checked, and free of Hydra: the worker reads it too."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from nnbench.backends.protocol import Semantics
from nnbench.config.backend import BackendConfig
from nnbench.config.launcher import LauncherConfig, Sequential
from nnbench.credentials import hidden_in, remember, shown
from nnbench.data.config import DataConfig
from nnbench.errors import ConfigError
from nnbench.model.architectures import ArchConfig, is_convolutional, resolve_output_activation
from nnbench.model.formulas import with_numbers
from nnbench.model.init import InitConfig, NativeInit
from nnbench.model.losses import Loss, TaskKind
from nnbench.model.optimizers import Optimizer
from nnbench.model.schedule import Plateau, Schedule
from nnbench.model.selection import EarlyStopping, Monitor
from nnbench.schema import NAME, at_least, read, suggest, within
from nnbench.schema.deferred import dataclass

Count = Annotated[int, at_least(1)]
Order = Literal["counterbalanced", "interleaved", "given", "random"]  # of the runs of a sweep


@dataclass(frozen=True)
class DeviceConfig:
    """Where to train; `auto` takes CUDA where the backend has it."""

    name: Literal["cpu", "cuda", "auto"] = "cpu"


@dataclass(frozen=True)
class KeepConfig:
    """Which epoch's weights a run keeps and reports: the last, or the best by `monitor`."""

    weights: Literal["last", "best"] = "last"


@dataclass(frozen=True)
class EvalConfig:
    """How much of the training split the train figures use (None: all of it)."""

    train_samples: Count | None = 10_000


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are changed in every step; see `nnbench.model.layers.Augment`."""

    shift: Annotated[int, within(0, 63)] = 0
    flip: bool = False


@dataclass(frozen=True)
class CheckpointConfig:
    """How often a run keeps where it is (`every` None: only when it is stopped), and how many."""

    every: Count | None = 5
    unit: Literal["seconds", "epochs"] = "seconds"
    keep: Count = 2


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded besides the results folder.

    `uri` None means sqlite in the results folder. `system_metrics`: what processor, memory and
    GPU of the machine do meanwhile, each second.
    """

    name: Literal["mlflow", "local"] = "mlflow"
    uri: str | None = None
    experiment: Annotated[str, NAME] = "nnbench"
    system_metrics: bool = False


@dataclass(frozen=True)
class SearchConfig:
    """How many `trials` of the ranges given a search makes (None: no search), and how.

    `name` tells searches apart in a results folder; None makes one from what is asked.
    """

    trials: Count | None = None
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[int, at_least(0)] = 0
    name: Annotated[str, NAME] | None = None


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides one run, and where it is kept."""

    backend: BackendConfig
    arch: ArchConfig
    data: DataConfig
    init: InitConfig
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    device: DeviceConfig
    tracking: TrackingConfig
    task: TaskKind = "classification"
    semantics: Semantics = "matched"
    seed: Annotated[int, at_least(0)] = 0
    epochs: Count = 100
    batch_size: Count = 1
    drop_last: bool = False
    gradient_accumulation_steps: Count = 1
    dtype: Literal["float32", "float64"] = "float32"
    threads: Count = 1
    shuffle: bool = False
    input: Literal["auto", "resident", "native", "per_sample"] = "auto"
    monitor: Monitor = "val_loss"
    keep: KeepConfig = dataclasses.field(default_factory=KeepConfig)
    early_stopping: EarlyStopping = dataclasses.field(default_factory=EarlyStopping)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    launcher: LauncherConfig = dataclasses.field(default_factory=Sequential)
    order: Order = "counterbalanced"
    on_error: Literal["continue", "stop"] = "continue"
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    parity: bool = True
    results: str = "results"
    name: Annotated[str, NAME] | None = None
    case: Annotated[str, NAME] | None = None

    @property
    def keeps_best(self) -> bool:
        """Tell whether the best epoch's weights are kept, not the last's."""
        return self.keep.weights == "best" or self.early_stopping.patience is not None

    def watchers(self) -> list[str]:
        """Return the settings that make use of `monitor`."""
        found = ["keep.weights=best"] if self.keep.weights == "best" else []
        if self.early_stopping.patience is not None:
            found.append(f"early_stopping.patience={self.early_stopping.patience}")
        if self.search.trials is not None:
            found.append(f"search.trials={self.search.trials}")
        return found + ["schedule=plateau"] * isinstance(self.schedule, Plateau)


SHARED = ("results", "tracking", "launcher", "order", "on_error")  # by all cells of a sweep


@dataclass(frozen=True, eq=False)
class Cell:
    """One run to do: its resolved configuration as plain data, and what was typed for it.

    `config` is the same, typed. A cell equals itself alone, so that it can be a key.
    """

    values: dict[str, Any]
    overrides: tuple[str, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Any], overrides: Sequence[str] = ()) -> Cell:
        """Check `values` and put in what `auto` stands for; leave passwords to this process.

        Raises ConfigError.
        """
        config = read_config(values)
        kept = hidden_in(_resolved(values, config))
        if config.tracking.uri:
            kept["tracking"]["uri"] = remember(config.tracking.uri)
        return cls(kept, tuple(map(shown, overrides)))

    @functools.cached_property
    def config(self) -> RunConfig:
        """Return the typed configuration."""
        return read_config(self.values)


def _resolved(values: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Return `values`, keys and spelling kept, with what `auto` and null came to in `config`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        known = getattr(config, key, value)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(known):
            found[key] = _resolved(value, known)
        else:
            found[key] = known if value == "auto" or value is None else value
    return found


def read_config(values: Mapping[str, Any]) -> RunConfig:
    """Check and type the resolved `values`; resolve what they leave to each other.

    Raises ConfigError with the value received, what is allowed and the remedy.
    """
    values = dict(values)
    backend = values.get("backend")
    if isinstance(backend, Mapping) and "_target_" in backend:
        rest = {key: value for key, value in backend.items() if key != "_target_"}
        values["backend"] = rest | {"target": backend["_target_"]}
    config = read(RunConfig, values)
    if not config.results.strip():
        raise ConfigError(f"Received results={config.results}; name a folder, as in results=mine.")
    possible = config.backend.executions_for(config.device.name, is_convolutional(config.arch))
    if config.backend.execution == "auto":
        best = dataclasses.replace(config.backend, execution=possible[0])
        config = dataclasses.replace(config, backend=best)
    _check_execution(config.backend, config.device.name, possible)
    config = dataclasses.replace(config, input=_input(config))
    if isinstance(config.init, NativeInit) and config.semantics != "native":
        raise ConfigError(
            "Received init=native with semantics=matched; a framework's own initializer needs "
            "semantics=native."
        )
    _check_monitor(config)
    arch = resolve_output_activation(config.arch, config.loss, config.task)
    rule = with_numbers(config.optimizer) if config.semantics == "matched" else config.optimizer
    return dataclasses.replace(config, arch=arch, optimizer=rule)


def _check_monitor(config: RunConfig) -> None:
    """Refuse to watch what a run does not have."""
    watchers = " and ".join(config.watchers())
    if not watchers:
        return
    if config.monitor.startswith("val") and config.data.val_fraction == 0:
        raise ConfigError(
            f"Received {watchers} with monitor={config.monitor} and no validation split; set "
            "data.val_fraction=0.1 or monitor=train_loss."
        )
    if config.task == "regression" and config.monitor.endswith("accuracy"):
        raise ConfigError(
            f"Received monitor={config.monitor}; task=regression has no accuracy, use "
            "monitor=val_loss or train_loss."
        )


def _input(config: RunConfig) -> Literal["resident", "native", "per_sample"]:
    """Return what `input=auto` means, the framework's loader in native semantics if it has one."""
    backend = config.backend
    if config.input == "per_sample":
        if backend.execution in backend.image_loaders:
            return "per_sample"
        raise ConfigError(
            f"Received input=per_sample; backend={backend.name} with backend.execution="
            f"{backend.execution} has no loader that reads images one by one; use backend=torch or "
            "input=resident."
        )
    if config.input == "resident":
        return "resident"
    if backend.execution in backend.loaders:
        return "native" if "native" in (config.input, config.semantics) else "resident"
    if config.input == "auto":
        return "resident"
    others = [f"backend.execution={name}" for name in backend.loaders]
    raise ConfigError(
        f"Received input=native; backend={backend.name} has no loader of its own with "
        f"backend.execution={backend.execution}; use {' or '.join(['input=resident', *others])}."
    )


def _check_execution(backend: BackendConfig, device: str, possible: Sequence[str]) -> None:
    if backend.execution in possible:
        return
    elsewhere = (*backend.executions, *(backend.executions_on_cuda or ()))
    on = f" on device={device}" if backend.execution in elsewhere else ""
    hint = suggest(backend.execution, possible)
    raise ConfigError(
        f"Received backend.execution={backend.execution}; backend={backend.name} has "
        f"{', '.join(possible)}{on}{hint}"
    )


def check_shared(cells: Sequence[Cell]) -> None:
    """Raise ConfigError where the cells of a sweep differ in what all of them share."""
    for key in SHARED:
        if any(getattr(cell.config, key) != getattr(cells[0].config, key) for cell in cells):
            typed = {
                w for cell in cells for w in cell.overrides if w.startswith((f"{key}=", f"{key}."))
            }
            several = " and ".join(sorted(typed)) or "several"
            raise ConfigError(f"A sweep has one {key}; received {several}. Make them two sweeps.")
