"""nnbench's Hydra plugins: where it looks for configuration, and sweeps checked before they run.

Each run has a fresh process anyway (nnbench.sweeps.process). Hydra accepts plugins from the
namespace package `hydra_plugins` alone, and imports them in every Hydra application: nothing of
nnbench is imported before it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

GROUP = "experiment"


class Sources(SearchPathPlugin):
    """Adds the config groups of `--config-dir` and of plug-ins behind nnbench's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Leave the search paths of other applications as they are."""
        module = sys.modules.get("nnbench.config.sources")
        if module is None:
            return
        own, *others = module.sources()
        if any(element.path == str(own.conf) for element in search_path.get_path()):
            for source in others:
                if source.conf is not None:
                    search_path.append(provider=source.origin, path=f"file://{source.conf}")
            search_path.append(provider="nnbench", path=f"{Cases.scheme()}://")


class Cases(ConfigSource):
    """Brings the cases of studies, as the options of `experiment`; a study is read when asked for.

    Not from Hydra's ConfigStore: Hydra copies all that is in there whenever it composes.
    """

    @staticmethod
    def scheme() -> str:
        """Return what its search path begins with."""
        return "nnbench-studies"

    def available(self) -> bool:
        """There may be no study, but it can be asked."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """Return `experiment/STUDY/CASE`."""
        from nnbench.config import studies

        _, study, case = _parts(config_path)
        values = studies.node(studies.cases(study)[case])
        header: dict[str, str | None] = {"package": "_global_"}
        return ConfigResult(self.provider, self.full_path(), OmegaConf.create(values), header)

    def is_group(self, config_path: str) -> bool:
        """Tell whether it is `experiment` or `experiment/STUDY`."""
        return len(_parts(config_path)) < 3 and bool(self._inside(config_path))

    def is_config(self, config_path: str) -> bool:
        """Tell whether it is `experiment/STUDY/CASE`."""
        parts = _parts(config_path)
        return len(parts) == 3 and parts[2] in self._inside("/".join(parts[:2]))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the studies that have cases, as groups, or the cases of one, as configs."""
        kind = ObjectType.CONFIG if len(_parts(config_path)) == 2 else ObjectType.GROUP
        return sorted(self._inside(config_path)) if results_filter in (None, kind) else []

    def _inside(self, config_path: str) -> Collection[str]:
        group, *study = _parts(config_path)
        if group != GROUP:
            return []
        from nnbench.config import studies

        if study:
            return studies.cases(*study)
        return [name for name in studies.studies() if studies.cases(name)]


def _parts(config_path: str) -> Sequence[str]:
    return config_path.strip("/").removesuffix(".yaml").split("/")


class CellLauncher(Launcher):
    """Hands all cells of a sweep to nnbench, whose config group `launcher` says how to run them.

    `fresh` and `plan` are `--fresh` and `--plan`.
    """

    def __init__(self, fresh: bool, plan: bool) -> None:
        self.fresh, self.plan = fresh, plan

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what composing a cell needs."""
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Have all cells composed and checked, then run."""
        from nnbench.cli.overrides import launch
        from nnbench.sweeps.cells import Asked

        sweep = Path(str(self.config.hydra.sweep.dir)).name
        asked = Asked(self.fresh, self.plan)
        launch(_maker(self.config), [list(words) for words in job_overrides], sweep, asked)
        return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


class TidySweeper(BasicSweeper):
    """Hydra's grid of `KEY=A,B` and globs; leaves nothing behind when a cell is wrong.

    With `search.trials=N` its ranges are searched instead.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every combination, or search."""
        assert self.config is not None
        try:
            if self.config.search.trials is not None:
                return self._search(arguments)
            from nnbench.credentials import hidden_in

            # What Hydra keeps of it, in multirun.yaml.
            self.config = OmegaConf.create(hidden_in(OmegaConf.to_container(self.config)))
            return super().sweep(arguments)
        except Exception as error:
            from nnbench.errors import ConfigError

            assert self.config is not None
            folder = Path(str(self.config.hydra.sweep.dir))
            # Cells are checked before the first run; another error may come after some.
            checked = isinstance(error, ConfigError | HydraException | OmegaConfBaseException)
            if checked or not (folder.parent.parent / "runs").exists():
                _remove(folder)
            raise

    def validate_batch_is_legal(self, batch: Any) -> None:
        """Leave that to the launcher, which composes every cell before it runs the first."""

    def _search(self, arguments: list[str]) -> None:
        """Tell the space from what is fixed, and hand both to nnbench."""
        from nnbench.cli.overrides import search
        from nnbench.config.space import read_question
        from nnbench.sweeps.cells import Asked

        assert self.config is not None
        assert self.hydra_context is not None
        loader: Any = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        question = read_question(parser.parse_overrides(arguments))
        hydra = self.config.hydra
        asked = Asked(hydra.launcher.get("fresh"), hydra.launcher.get("plan"))
        search(_maker(self.config), question, Path(str(hydra.sweep.dir)).name, asked)


def _maker(config: DictConfig) -> Callable[[Sequence[str]], Any]:
    """Return what makes a cell of overrides; `config` is the sweep's own."""
    from nnbench.config.composition import composer

    return composer(config.hydra.overrides.hydra).cell


def _remove(folder: Path) -> None:
    """Remove a sweep's folder, and `sweeps` and `results` above it where they are empty."""
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


_offer("launcher", CellLauncher, fresh=False, plan=False)
_offer("sweeper", TidySweeper, max_batch_size=None, params=None)
