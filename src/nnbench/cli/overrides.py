"""`nnbench KEY=VALUE...`: hand the overrides to Hydra and take back runs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnbench.cli.progress import Display
from nnbench.cli.sweep import run_cells
from nnbench.config import composition, sources
from nnbench.config.composer import to_cell
from nnbench.config.mistakes import all_keys
from nnbench.config.run import Cell
from nnbench.config.space import Question
from nnbench.config.words import check, replaced
from nnbench.credentials import hidden, shown
from nnbench.errors import ConfigError
from nnbench.reporting.pages.screen import say
from nnbench.schema import closest, suggest, told
from nnbench.schema.progress import counted
from nnbench.sweeps.cells import Asked
from nnbench.sweeps.loop import new_name
from nnbench.sweeps.workers import worker_ahead

FLAGS = ("--fresh", "--plan")  # of ours; all others are Hydra's
MULTIRUN = frozenset(("-m", "--multirun"))
WITH_VALUE = ("--cfg", "-c", "--package", "-p")
UNASKED = ("--hydra-help", "--shell-completion", "-sc")  # known, and never what was meant
PRINTING = ("--cfg", "-c", "--info", "-i")
ONE_OF = {
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(
        ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
    ),
}
KNOWN = (*FLAGS, *MULTIRUN, *WITH_VALUE, "--resolve", "--info", "-i", "--run", "-r",
         "--shell-completion", "-sc", "--hydra-help")  # fmt: skip
REFUSED = {
    **dict.fromkeys(
        ("--config-path", "-cp", "--config-name", "-cn"),
        "nnbench has one configuration; --config-dir DIR adds options to it",
    ),
    "--experimental-rerun": "`nnbench show RUN` prints the command that runs it again",
}
ALONE = (("--multirun", "-m"), ("--cfg", "-c"), ("--info", "-i"), ("--run", "-r"),
         ("--shell-completion", "-sc"), ("--hydra-help",))  # fmt: skip
COMPLETION = "prints what a shell asks for; `nnbench completion bash` prints the script for it"


def launch(
    make: Callable[[Sequence[str]], Cell],
    overrides: Sequence[Sequence[str]],
    sweep: str,
    asked: Asked,
) -> None:
    """Compose every cell of a sweep, then run them; what Hydra's launcher is asked to do."""
    cells: list[Cell] = []
    impossible: list[tuple[Sequence[str], str]] = []
    with Display().work("sweep") as tell:
        for words in counted(overrides, tell, "composing run"):
            try:
                cells.append(make(words))
            except ConfigError as error:
                impossible.append(([shown(word) for word in words], str(error)))
    run_cells(cells, sweep, asked, impossible)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's flags and ours, with their values, and the overrides.

    Behind some of the overrides, Hydra's parser would lose the flags. Raises ConfigError for a
    flag that nobody knows, or whose value is none.
    """
    flags, rest = list[str](), list[str]()
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            rest.append(word)
        elif flag in REFUSED:
            raise ConfigError(f"Received {told(word)}; {REFUSED[flag]}")
        elif flag not in KNOWN:
            hint = suggest(flag, (*KNOWN, "--config-dir", "--help", "--version"))
            raise ConfigError(
                f"Received {told(word)}; there is no such flag{hint or ' (see nnbench --help)'}"
            )
        elif flag in WITH_VALUE:
            flags += [flag, _value(flag, value if equals else next(words, ""))]
        elif equals and flag not in ONE_OF:
            raise ConfigError(f"Received {told(word)}; {flag} takes no value")
        else:
            flags.append(f"{flag}={_value(flag, value)}" if equals else flag)
    if not {"-sc", "--shell-completion"}.isdisjoint(flags) and "COMP_LINE" not in os.environ:
        raise ConfigError(f"Received {' '.join(arguments)}; -sc {COMPLETION}")
    return flags, rest


def _value(flag: str, value: str) -> str:
    """Return the value of a flag. Raises ConfigError where it may not have it."""
    allowed = ONE_OF.get(flag)
    if (allowed is not None and value not in allowed) or not value or value[0] == "-":
        among = f"must be one of {', '.join(allowed)}" if allowed else "it needs a value"
        raise ConfigError(f"Received {flag} {told(value)}".rstrip() + f"; {among}")
    return value


def _check_alone(flags: Sequence[str]) -> None:
    """Raise ConfigError where flags say two things to do."""
    typed = {flag.partition("=")[0]: flag for flag in reversed(flags)}
    said = [next(typed[n] for n in both if n in typed) for both in ALONE if {*both} & {*typed}]
    if len(said) > 1:
        # What has no value behind it can be left out, if it is there once.
        twice = MULTIRUN if MULTIRUN.issubset(flags) else ()
        left_out = next(f for f in (*said, "") if f not in (*WITH_VALUE, *twice))
        raise ConfigError(f"Received {' and '.join(said)}; use one of them", instead=(left_out, ""))


def flag_meant(word: str) -> list[str] | None:
    """Return what a flag that nobody knows was perhaps meant to be; None for all else."""
    flag, equals, value = word.partition("=")
    if not word.startswith("-") or flag in REFUSED or (flag in KNOWN and not equals):
        return None
    if flag in KNOWN:
        return [flag] if flag not in ONE_OF else None
    key = flag.lstrip("-").replace("-", "_")
    if equals and key in all_keys():
        return [f"{key}={value}"]
    near = closest(flag, [each for each in KNOWN if each not in WITH_VALUE + UNASKED])
    return [near] if near else None


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


def _note(words: Sequence[str]) -> None:
    for line in replaced(words):
        say(f"note: {line}", err=True)


def _run(words: Sequence[str], many: bool, asked: Asked) -> None:
    """Run one cell, or a sweep, without Hydra's application, which would compose it twice before.

    What it runs is the same; Hydra's sweeper leaves a multirun.yaml besides.
    """
    if not many:
        with contextlib.nullcontext() if asked.plan else worker_ahead():
            run_cells([composition.compose(words)], None, asked)
        return
    checked = composition.checked(words)
    _note(words)
    launch(composition.composer().cell, composition.combinations(checked), new_name(), asked)


def run(arguments: list[str]) -> None:
    """Run `arguments`; Hydra's application does what is its own (--cfg, --info, hydra.*, ...)."""
    flags, words = split([word for word in arguments if word not in FLAGS])
    _check_alone(flags)
    many = not MULTIRUN.isdisjoint(flags)
    if MULTIRUN.issuperset(flags) and not composition.is_hydras(words, many):
        _run(words, many, Asked("--fresh" in arguments, "--plan" in arguments))
        return
    # Hydra makes the launcher, and hands it what its configuration says.
    asked = [f"hydra.launcher.{flag[2:]}=true" for flag in FLAGS if flag in arguments]
    if "--resolve" in flags and not any(each.startswith(("--cfg", "-c")) for each in flags):
        raise ConfigError("Received --resolve without --cfg.", instead=("--resolve", "--cfg=job"))
    import hydra
    from hydra.core.hydra_config import HydraConfig

    if {"-sc", "--shell-completion"}.isdisjoint(flags):
        check(words, many)
        _note(words)
    arguments = [*flags, *composition.with_experiments(words), *asked]

    caught: list[BaseException] = []

    def task(config: Any) -> None:
        """Run the one job. Hydra prints a line of its own about what a task raises."""
        chosen = HydraConfig.get()
        launcher = chosen.launcher
        try:
            cell = to_cell(config, chosen.runtime.choices, chosen.overrides.task)
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
