"""A run's configuration as a side of a diagnosis: read like a program, and needing no proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnbench import data
from nnbench.backends.protocol import Params
from nnbench.config.run import Cell
from nnbench.errors import ConfigError
from nnbench.model.formulas import documented, documented_net
from nnbench.model.init import FromRun, NativeInit, complete_params, initial_params
from nnbench.model.losses import Loss
from nnbench.model.network import Architecture
from nnbench.model.reading import Place, Reading, classic
from nnbench.model.recognition import recognised
from nnbench.records.lookup import find_weights
from nnbench.records.weights import finite_weights, save_weights
from nnbench.sweeps.programs import Program
from nnbench.training.assembly import make_architecture


def read_configuration(name: str, cell: Cell, seeds: Sequence[int], folder: Path) -> Program:
    """Return a matched configuration as a side called `name`; keep its initial weights.

    Raises ConfigError for one that has what a program's reading cannot say.
    """
    config = cell.config
    odd = {
        "semantics=native": config.semantics == "native",
        "augment": config.augment.shift or config.augment.flip,
        f"gradient_accumulation_steps={config.gradient_accumulation_steps}": (
            config.gradient_accumulation_steps > 1
        ),
        "drop_last=true": config.drop_last,
    }
    if said := [text for text, is_set in odd.items() if is_set]:
        raise ConfigError(
            f"Received {name} with {said[0]}; a side of a diagnosis is matched and plain. To "
            "compare two runs: nnbench explain A B."
        )
    dataset = data.outline(config.data, kind=config.task, seed=config.seed)
    net = documented_net(make_architecture(config, dataset))
    initial = {seed: _initial(cell, net, seed) for seed in seeds}
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for seed, params in initial.items():
        files[seed] = folder / f"initial-{seed}.safetensors"
        save_weights(files[seed], params, name)
    reading = Reading(
        framework="nnbench",
        versions={},
        task=config.task,
        input_shape=net.input_shape,
        takes="tokens" if net.takes_tokens else "flat",
        layers=net.layers,
        places=tuple(Place(layer.name) for layer in net.layers),
        output_activation=net.output_activation,
        loss=_plain(config.loss),
        optimizer=documented(config.optimizer),
        schedule=config.schedule,
        init=recognised(initial[seeds[0]]),
        where={part: Place(f"{part}=...") for part in ("loss", "optimizer", "schedule")},
        data_shape=dataset.inputs.shape,
    )
    reading = replace(reading, findings=tuple(classic(reading)))
    values: dict[str, Any] = cell.values["data"]
    return Program(name, reading, None, files, values, config.task)


def _plain(loss: Loss) -> Loss:
    """Return the loss without a setting that has no effect."""
    return replace(loss, over_outputs="mean") if loss.name == "cross_entropy" else loss


def _initial(cell: Cell, net: Architecture, seed: int) -> Params:
    """Return the initial weights of a configuration for `seed`."""
    config = cell.config
    if isinstance(config.init, FromRun):
        source = find_weights(config)
        assert source is not None
        taken = finite_weights(source)
        if config.init.missing == "native":
            raise ConfigError("Received init.missing=native; use error or zeros.")
        return complete_params(taken, net, config.init.missing, {}, config.init.run)
    if isinstance(config.init, NativeInit):
        raise ConfigError("Received init=native; name a distribution, as init=torch_default.")
    return initial_params(config.init, net, seed, config.dtype)
