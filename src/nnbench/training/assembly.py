"""From a configuration to what is trained: the task, the splits, the trainer, its first weights."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.protocol import Task, Trainer, TrainerFactory, Walk
from nnbench.config.run import RunConfig
from nnbench.data.dataset import Dataset, Split
from nnbench.errors import ConfigError
from nnbench.model import streams
from nnbench.model.init import FromRun, NativeInit, complete_params, initial_params
from nnbench.model.layers import Augment
from nnbench.model.network import Architecture
from nnbench.records import weights


def make_task(config: RunConfig, dataset: Dataset) -> Task:
    """Describe the run to a backend. Raises ConfigError where net and data do not fit."""
    _check_batches(config, dataset.samples["train"])
    return Task(
        kind=config.task,
        architecture=make_architecture(config, dataset),
        loss=config.loss,
        optimizer=config.optimizer,
        batch_size=config.batch_size,
        dtype=config.dtype,
        inputs=dataset.inputs,
        targets=dataset.targets,
        device=config.device.name,
        semantics=config.semantics,
        execution=config.backend.execution,
        threads=config.threads,
        seed=config.seed,
        input="resident" if config.input == "auto" else config.input,
        drop_last=config.drop_last,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
    )


def _check_batches(config: RunConfig, samples: int) -> None:
    """Refuse to drop the only batch that there is."""
    if config.drop_last and config.batch_size > samples:
        raise ConfigError(
            f"Received drop_last=true with batch_size={config.batch_size} and {samples:,} training "
            f"samples, which leaves no batch; use drop_last=false or batch_size={samples} at most."
        )


def make_architecture(config: RunConfig, dataset: Dataset) -> Architecture:
    """Build the net for the data. Raises ConfigError where the two do not fit."""
    architecture = config.arch.build(dataset.inputs.shape, dataset.outputs)
    tokens = dataset.inputs.dtype == "int64"
    if tokens and not architecture.takes_tokens:
        raise ConfigError(
            f"Received arch={config.arch.name}; data={dataset.name} has integer tokens, which need "
            "an embedding as the first layer, as arch=text has."
        )
    architecture.output_shape()
    config.loss.check_outputs(dataset.outputs)
    if not config.augment.shift and not config.augment.flip:
        return architecture
    flat = len(architecture.input_shape) != 3
    image = dataset.inputs.shape if flat else architecture.input_shape
    image = (*image, 1) if len(image) == 2 else image
    augment = Augment(image, config.augment.shift, config.augment.flip)
    return dataclasses.replace(architecture, augment=augment)


def trainer_factory(config: RunConfig) -> TrainerFactory:
    """Import what the backend's `_target_` names. Raises ConfigError where that fails.

    A third party's module may fail in any way, and that is no fault of the run's.
    """
    module, _, name = config.backend.target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise ConfigError(
            f"Cannot use backend={config.backend.name}: importing {config.backend.target} failed "
            f"({type(error).__name__}: {lines[0]})."
        ) from None


def all_splits(dataset: Dataset, train_samples: int | None) -> dict[str, Split]:
    """Return the splits and `train_eval`, the part of `train` that figures are taken on."""
    return dataset.splits | {"train_eval": dataset.splits["train"].first(train_samples)}


def load_weights(
    config: RunConfig, source: Path | None, task: Task, trainer: Trainer
) -> str | None:
    """Give the trainer its initial weights; return the digest of those taken from `source`."""
    init = config.init
    if isinstance(init, NativeInit):
        return None
    if not isinstance(init, FromRun):
        trainer.load(initial_params(init, task.architecture, task.seed, task.dtype))
        return None
    assert source is not None
    taken = weights.finite_weights(source)
    params = complete_params(
        taken, task.architecture, init.missing, trainer.params(), origin=init.run
    )
    trainer.load({key: value.astype(task.dtype) for key, value in params.items()})
    return weights.weights_digest(taken)


def make_walk(
    config: RunConfig, task: Task, samples: int, epoch: int, lr: NDArray[np.float64]
) -> Walk:
    """Return the walk of `epoch` over `samples`, with the learning rates `lr` `(steps,)`."""
    native = config.semantics == "native" and config.shuffle
    first = epoch * task.steps(samples)
    if native:
        return Walk(None, lr, samples, epoch, first, config.seed)
    order = streams.order(config.seed, epoch, samples, shuffle=config.shuffle)
    order = order[: task.visited(samples)]
    return Walk(order, lr, len(order), epoch, first, config.seed)
