"""Hydra: from overrides to a checked configuration, with errors for people.

Where Hydra looks is `nnbench.config.sources`; its search path is set by a plugin of ours.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench.config.catalogue import check_backend, distinction, not_data, source_of
from nnbench.config.mistakes import explain
from nnbench.config.run import Cell
from nnbench.config.sources import Source, experiments_folders, root, source_of_study
from nnbench.config.studies import experiments, studies
from nnbench.errors import ConfigError


def register_experiments(overrides: Sequence[str]) -> None:
    """Offer the cases of studies to Hydra as `experiment`, if `overrides` ask for one.

    Raises ConfigError where a study that may only be data names code.
    """
    if any("experiment" in text for text in overrides):
        _register_experiments(tuple(experiments_folders()))


@functools.cache  # Hydra's store lives as long as the process; reading the files takes a moment
def _register_experiments(folders: tuple[Path, ...]) -> None:
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    store = ConfigStore.instance()
    for name, path in experiments().items():
        study, _, case = name.partition("/")
        node: Any = OmegaConf.load(path)
        if not source_of_study(studies()[study]).code and (reason := not_data(node)):
            raise ConfigError(f"Refused {path}: {reason}")
        store.store(
            group=f"experiment/{study}",
            name=case,
            node=node,
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
    from yaml import YAMLError

    register_experiments(overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            config = hydra_compose("config", list(overrides), return_hydra_config=True)
            return to_cell(config, overrides)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(explain(error)) from None


def to_cell(config: Any, overrides: Sequence[str]) -> Cell:
    """Check a composed Hydra config (its `hydra` node included) and return it as a Cell."""
    return _to_cell(*_without_hydra(config), overrides)


def _without_hydra(config: Any) -> tuple[Any, dict[str, Any]]:
    """Return the task's part of a composed config, and the options chosen by group."""
    from omegaconf import open_dict

    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        task = config.copy()
        del task["hydra"]
    return task, choices


def _to_cell(task: Any, choices: Mapping[str, Any], overrides: Sequence[str]) -> Cell:
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    try:
        values = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or str(error).rsplit(" ", 1)[-1]
        raise ConfigError(f"Missing value for {key}; set it with {key}=...") from None
    assert isinstance(values, dict)
    plain: dict[str, Any] = {str(key): value for key, value in values.items()}
    plain["case"] = plain.get("case") or choices.get("experiment")
    source = source_of("backend", str(choices.get("backend")))
    if source.origin:
        check_backend(source, choices["backend"])
        plain["backend"]["origin"] = distinction(source, plain["backend"]["name"])
    try:
        return Cell.read(plain, overrides)
    except ConfigError as error:
        raise _with_origin(error, source) from None


def _with_origin(error: ConfigError, source: Source) -> ConfigError:
    """Return an error that may be the fault of a backend's file with where that is from."""
    ours = not source.origin or "backend" not in str(error)
    return error if ours else ConfigError(f"{error} The backend is from {source.origin}.")


class Composer:
    """Composes the cells of a sweep from `loader`, Hydra's, and the sweep's own `config`.

    Composing takes a tenth of a second. Cells that choose the same options and set the same keys
    share it: their values are put in afterwards, as Hydra itself does last of all.
    """

    def __init__(self, loader: Any, config: Any) -> None:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        self.loader, self.config = loader, config
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Any] = {}
        self._groups: dict[str, bool] = {}
        self._composed: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}

    def cell(self, overrides: Sequence[str]) -> Cell:
        """Return the cell of `overrides`. Raises ConfigError, or what Hydra raises."""
        from omegaconf import OmegaConf

        parsed = [self._parse(text) for text in overrides]
        values = [p for p in parsed if self._is_value(p)]
        others = [text for text, p in zip(overrides, parsed, strict=True) if p not in values]
        key = (*others, None, *(p.key_or_group for p in values))
        if key not in self._composed:
            whole = self.loader.load_sweep_config(self.config, list(overrides))
            self._composed[key] = _without_hydra(whole)
        shared, choices = self._composed[key]
        task = shared.copy()
        for p in values:
            OmegaConf.update(task, p.key_or_group, p.value(), merge=True)
        return _to_cell(task, choices, overrides)

    def _parse(self, text: str) -> Any:
        if text not in self._parsed:
            (self._parsed[text],) = self._parser.parse_overrides([text])
        return self._parsed[text]

    def _is_value(self, parsed: Any) -> bool:
        """Tell a value (`seed=1`) from a chosen option, an addition and what is Hydra's own."""
        name = parsed.key_or_group
        if parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.package:
            return False
        if "/" in name or name.split(".")[0] == "hydra":
            return False
        if name not in self._groups:
            self._groups[name] = bool(self.loader.get_group_options(name))
        return not self._groups[name]
