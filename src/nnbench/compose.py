"""Hydra: from overrides to a checked configuration, with errors for people.

`conf/` and `experiments/` lie beside `src/` in a checkout and inside the package in a wheel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnbench.catalogue import experiments, root
from nnbench.config import RunConfig, read_config
from nnbench.errors import ConfigError
from nnbench.overrides import explain


@dataclass(frozen=True)
class Cell:
    """One run to do: its checked configuration, the same as plain data, and what was typed."""

    config: RunConfig
    values: dict[str, Any]
    overrides: tuple[str, ...]


def register_experiments() -> None:
    """Offer the cases under `experiments/` to Hydra as the group `experiment`."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    for name, path in experiments().items():
        study, _, case = name.partition("/")
        store.store(
            group=f"experiment/{study}",
            name=case,
            node=OmegaConf.load(path),
            package="_global_",
            provider="nnbench",
        )


def compose(overrides: Sequence[str]) -> Cell:
    """Compose one run from `overrides`, as the command line would.

    Raises ConfigError, one line, for anything that cannot be.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_experiments()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            config = hydra_compose("config", list(overrides), return_hydra_config=True)
            return to_cell(config, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from None


def to_cell(config: Any, overrides: Sequence[str]) -> Cell:
    """Check a composed Hydra config (its `hydra` node included) and return it as a Cell."""
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import MissingMandatoryValue

    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        task = config.copy()
        del task["hydra"]
    try:
        values = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or str(error).rsplit(" ", 1)[-1]
        raise ConfigError(f"Missing value for {key}; set it with {key}=...") from None
    assert isinstance(values, dict)
    plain: dict[str, Any] = {str(key): value for key, value in values.items()}
    plain["case"] = plain.get("case") or choices.get("experiment")
    read = read_config(plain)
    plain["arch"]["output_activation"] = read.arch.output_activation
    plain["backend"]["execution"] = read.backend.execution
    plain["input"] = read.input
    return Cell(read, plain, tuple(overrides))
