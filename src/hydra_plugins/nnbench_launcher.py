"""The Hydra launcher of nnbench: checks every cell of a sweep before the first epoch.

Each run has a fresh process anyway (nnbench.isolate), so cells run in this one, one by one. Hydra
accepts plugins from the namespace package `hydra_plugins` alone, and imports them in every Hydra
application: nothing of nnbench is imported before it is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SequentialLauncher(Launcher):
    """Runs the cells of a sweep one after the other, backends alternating."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what composing a cell needs."""
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Compose and check all cells; run them; leave nothing behind when one is wrong."""
        from nnbench.cli.sweep import run_cells

        folder = Path(str(self.config.hydra.sweep.dir))
        try:
            cells = [self._cell(list(overrides)) for overrides in job_overrides]
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in (folder.parent, folder.parent.parent):
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()
            raise
        run_cells(cells, sweep=folder.name)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]

    def _cell(self, overrides: list[str]) -> Any:
        from nnbench import compose

        config: Any = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return compose.to_cell(config, overrides)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="nnbench",
    node={"_target_": f"{SequentialLauncher.__module__}.{SequentialLauncher.__name__}"},
    provider="nnbench",
)
