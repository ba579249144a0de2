"""The main job: hand the command line to Hydra and take back runs."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnbench.cli.sweep import run_cells
from nnbench.config import composition, sources
from nnbench.config.composition import Cell
from nnbench.errors import ConfigError
from nnbench.schema import suggest
from nnbench.sweeps.loop import Asked

FLAGS = ("--fresh", "--plan")  # of ours; all others are Hydra's
WITH_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--package",
              "-p", "--cfg", "-c")  # fmt: skip
KNOWN = (
    *FLAGS, *WITH_VALUE, "--multirun", "-m", "--resolve", "--info", "-i", "--run", "-r",
    "--shell-completion", "-sc", "--hydra-help", "--experimental-rerun",
)  # fmt: skip
_asked = Asked()


def launch(
    make: Callable[[Sequence[str]], Cell], overrides: Sequence[Sequence[str]], sweep: str
) -> None:
    """Compose every cell of a sweep, then run them; what Hydra's launcher is asked to do."""
    cells: list[Cell] = []
    impossible: list[tuple[Sequence[str], str]] = []
    for words in overrides:
        try:
            cells.append(make(words))
        except ConfigError as error:
            impossible.append((words, str(error)))
    run_cells(cells, sweep, _asked, impossible)


def _flags_first(arguments: list[str]) -> list[str]:
    """Move Hydra's flags to the front; behind some of the overrides, its parser loses the rest.

    Raises ConfigError for a flag that nobody knows.
    """
    flags: list[str] = []
    rest = list(arguments)
    for word in arguments:
        if word.startswith("-"):
            if word.partition("=")[0] not in KNOWN:
                hint = suggest(word, KNOWN)
                raise ConfigError(
                    f"Received {word}; there is no such flag{hint or ' (see nnbench --help)'}"
                )
            at = rest.index(word)
            count = 2 if word in WITH_VALUE else 1
            flags += rest[at : at + count]
            del rest[at : at + count]
    return flags + rest


def search(
    make: Callable[[Sequence[str]], Cell],
    space: Mapping[str, tuple[str, Any]],
    fixed: Sequence[str],
    grid: Sequence[Sequence[str]],
    sweep: str,
) -> None:
    """Search a space that Hydra's sweeper has read; see `nnbench.cli.search`."""
    from nnbench.cli.search import run_search
    from nnbench.sweeps.search import Choice, Interval

    found: dict[str, Interval | Choice] = {}
    for key, (kind, value) in space.items():
        if kind == "choice":
            found[key] = Choice(tuple(value))
            continue
        log = "log" in value.tags
        if kind == "interval":
            whole = isinstance(value.start, int) and isinstance(value.end, int)
            found[key] = Interval(value.start, value.end, log=log, whole=whole)
        else:  # as in Python, the end is not part of a range
            whole = all(isinstance(n, int) for n in (value.start, value.stop, value.step))
            count = math.ceil((value.stop - value.start) / value.step) - 1
            high = value.start + count * value.step
            found[key] = Interval(value.start, high, value.step, log, whole)
    run_search(make, found, fixed, grid, sweep, _asked)


def run(arguments: list[str]) -> None:
    """Run `arguments` through Hydra, with its flags (-m, --cfg, --info, ...)."""
    global _asked  # noqa: PLW0603 - Hydra makes the launcher, which has no other way to know
    _asked = Asked(*(flag in arguments for flag in FLAGS))
    arguments = _flags_first([word for word in arguments if word not in FLAGS])
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    arguments = composition.with_experiments(arguments)

    caught: list[BaseException] = []

    def task(config: Any) -> None:
        """Run the one job. Hydra prints a line of its own about what a task raises."""
        whole = config.copy()
        with open_dict(whole):
            whole.hydra = HydraConfig.get()
        overrides = [str(o) for o in HydraConfig.get().overrides.task]
        try:
            run_cells([composition.to_cell(whole, overrides)], None, _asked)
        except BaseException as error:
            caught.append(error)

    kept = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's own printing
    argv, sys.argv = sys.argv, ["nnbench", *arguments]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            hydra.main(
                version_base="1.3", config_path=str(sources.root() / "conf"), config_name="config"
            )(task)()
    finally:
        sys.argv = argv
        if kept is None:
            del os.environ["HYDRA_FULL_ERROR"]
    if caught:
        raise caught[0]
