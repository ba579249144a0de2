"""Every combination of `KEY=A,B`, composed without Hydra's command line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from nnbench.config.composition import Composer, with_experiments
from nnbench.config.mistakes import explain
from nnbench.config.run import Cell
from nnbench.config.sources import root
from nnbench.errors import ConfigError


def compose_all(overrides: Sequence[str]) -> list[Cell]:
    """Return the cells that `nnbench -m OVERRIDES...` would run, the last key changing fastest.

    Raises ConfigError, one line, for anything that cannot be.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    overrides = with_experiments(overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            loader = hydra.config_loader
            parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
            composer = Composer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))
            return [composer.cell(words) for words in product(*map(_words, parsed))]
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from None


def _words(override: Any) -> list[str]:
    """Return an override for each of the values that `override` lists."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"Received {override.input_line}; a sweep takes a list of values, as in {key}=0.1,0.2. "
            "To search a range: nnbench -m search.trials=N KEY=interval(LOW,HIGH)"
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
