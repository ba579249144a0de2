"""Where commands find config groups of the user's own: `--config-dir`."""

from __future__ import annotations

from pathlib import Path

from nnbench.errors import ConfigError


def searching(config_dir: str | None) -> list[str]:
    """Return the override that lets Hydra look for config groups in `config_dir` too.

    Raises ConfigError where there is no such folder.
    """
    if config_dir is None:
        return []
    folder = Path(config_dir)
    if not folder.is_dir():
        raise ConfigError(f"Received --config-dir {config_dir}; there is no such folder.")
    return [f"hydra.searchpath=[file://{folder.resolve()}]"]
