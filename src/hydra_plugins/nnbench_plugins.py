"""nnbench's Hydra plugins: every cell of a sweep is checked before the first epoch.

Each run has a fresh process anyway (nnbench.isolate), so cells run in this one, one by one. Hydra
accepts plugins from the namespace package `hydra_plugins` alone, and imports them in every Hydra
application: nothing of nnbench is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
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
        """Compose and check all cells, then run them."""
        from nnbench.cli.sweep import run_cells

        cells = [self._cell(list(overrides)) for overrides in job_overrides]
        run_cells(cells, sweep=Path(str(self.config.hydra.sweep.dir)).name)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]

    def _cell(self, overrides: list[str]) -> Any:
        from nnbench import compose

        config: Any = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        return compose.to_cell(config, overrides)


class TidySweeper(BasicSweeper):
    """Hydra's grid of `KEY=A,B` and globs; leaves nothing behind when a cell is wrong."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every combination."""
        try:
            return super().sweep(arguments)
        except Exception:
            assert self.config is not None
            _remove_if_unused(Path(str(self.config.hydra.sweep.dir)))
            raise


def _remove_if_unused(folder: Path) -> None:
    """Remove a sweep's folder, and `sweeps` and `results` above it, where no run was made."""
    if (folder.parent.parent / "runs").exists():
        return
    (folder / "multirun.yaml").unlink(missing_ok=True)
    for path in (folder, folder.parent, folder.parent.parent):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _offer(group: str, plugin: type, **values: Any) -> None:
    target = f"{plugin.__module__}.{plugin.__name__}"
    ConfigStore.instance().store(
        group=f"hydra/{group}",
        name="nnbench",
        node={"_target_": target, **values},
        provider="nnbench",
    )


_offer("launcher", SequentialLauncher)
_offer("sweeper", TidySweeper, max_batch_size=None, params=None)
