"""The main job: hand the command line to Hydra and take back runs."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from nnbench import catalogue, compose
from nnbench.cli.sweep import run_cells


def run(arguments: list[str]) -> None:
    """Run `arguments` through Hydra, with its flags (-m, --cfg, --info, --config-dir, ...)."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    compose.register_experiments()

    caught: list[BaseException] = []

    def task(config: Any) -> None:
        """Run the one job. Hydra prints a line of its own about what a task raises."""
        whole = config.copy()
        with open_dict(whole):
            whole.hydra = HydraConfig.get()
        overrides = [str(o) for o in HydraConfig.get().overrides.task]
        try:
            run_cells([compose.to_cell(whole, overrides)], sweep=None)
        except BaseException as error:
            caught.append(error)

    kept = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's own printing
    argv, sys.argv = sys.argv, ["nnbench", *arguments]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            hydra.main(
                version_base="1.3", config_path=str(catalogue.root() / "conf"), config_name="config"
            )(task)()
    finally:
        sys.argv = argv
        if kept is None:
            del os.environ["HYDRA_FULL_ERROR"]
    if caught:
        raise caught[0]
