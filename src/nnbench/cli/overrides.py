"""`nnbench KEY=VALUE...`: hand the overrides to Hydra and take back runs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnbench.cli.sweep import run_cells
from nnbench.config import composition, sources
from nnbench.config.run import Cell
from nnbench.config.space import Question
from nnbench.credentials import hidden, shown
from nnbench.errors import ConfigError
from nnbench.schema import suggest
from nnbench.sweeps.cells import Asked

FLAGS = ("--fresh", "--plan")  # of ours; all others are Hydra's
WITH_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--package",
              "-p", "--cfg", "-c")  # fmt: skip
PRINTING = ("--cfg", "-c", "--info", "-i")
KNOWN = (
    *FLAGS, *WITH_VALUE, "--multirun", "-m", "--resolve", "--info", "-i", "--run", "-r",
    "--shell-completion", "-sc", "--hydra-help", "--experimental-rerun",
)  # fmt: skip


def launch(
    make: Callable[[Sequence[str]], Cell],
    overrides: Sequence[Sequence[str]],
    sweep: str,
    asked: Asked,
) -> None:
    """Compose every cell of a sweep, then run them; what Hydra's launcher is asked to do."""
    cells: list[Cell] = []
    impossible: list[tuple[Sequence[str], str]] = []
    for words in overrides:
        try:
            cells.append(make(words))
        except ConfigError as error:
            impossible.append(([shown(word) for word in words], str(error)))
    run_cells(cells, sweep, asked, impossible)


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
    make: Callable[[Sequence[str]], Cell], question: Question, sweep: str, asked: Asked
) -> None:
    """Search a space that Hydra's sweeper has read, and print the best trials."""
    from nnbench.cli.progress import Display
    from nnbench.reporting.pages.screen import Screen
    from nnbench.reporting.pages.trials import trials_table
    from nnbench.sweeps.search import run_search

    console = Screen()
    result = run_search(make, question, sweep, Display(console), asked)
    if result.trials:
        console.print(trials_table(result.trials, result.monitor))
    result.check()


@contextlib.contextmanager
def _without_passwords(arguments: Sequence[str]) -> Iterator[None]:
    """Where Hydra itself prints the configuration, print it as it may be seen."""
    if not any(word.partition("=")[0] in PRINTING for word in arguments):
        yield
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        sys.stdout.write(hidden(said.getvalue()))


def run(arguments: list[str]) -> None:
    """Run `arguments` through Hydra, with its flags (-m, --cfg, --info, --config-dir, ...)."""
    # Hydra makes the launcher, and hands it what its configuration says.
    asked = [f"hydra.launcher.{flag[2:]}=true" for flag in FLAGS if flag in arguments]
    arguments = _flags_first([word for word in arguments if word not in FLAGS]) + asked
    import hydra
    from hydra.core.hydra_config import HydraConfig

    composition.check(arguments, many=not {"-m", "--multirun"}.isdisjoint(arguments))
    arguments = composition.with_experiments(arguments)

    caught: list[BaseException] = []

    def task(config: Any) -> None:
        """Run the one job. Hydra prints a line of its own about what a task raises."""
        chosen = HydraConfig.get()
        launcher = chosen.launcher
        try:
            cell = composition.to_cell(config, chosen.runtime.choices, chosen.overrides.task)
            run_cells([cell], None, Asked(launcher.get("fresh"), launcher.get("plan")))
        except BaseException as error:
            caught.append(error)

    kept = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of Hydra's own printing
    argv, sys.argv = sys.argv, ["nnbench", *arguments]
    try:
        with warnings.catch_warnings(), _without_passwords(arguments):
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
