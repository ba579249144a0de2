"""`nnbench -m search.trials=N KEY=interval(...)`: a search, trial after trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nnbench.cli.sweep import Sweeping
from nnbench.config.launcher import Parallel, Slurm
from nnbench.config.run import Cell
from nnbench.sweeps.launchers.pool import places
from nnbench.sweeps.loop import Asked, checked_plan
from nnbench.sweeps.plan import Planner
from nnbench.sweeps.search import Search, Space, Trial

SHOWN = 10
MOST_AT_ONCE = 8  # trials that know nothing of each other


def run_search(
    compose: Callable[[Sequence[str]], Cell],
    space: Space,
    fixed: Sequence[str],
    grid: Sequence[Sequence[str]],
    sweep: str,
    asked: Asked,
) -> None:
    """Make the trials that are not made yet and print the best.

    `space` is searched by Optuna; every trial runs `fixed` with each combination of `grid` (as
    several seeds), and counts by their mean.
    """
    console = Console()
    first = compose([*fixed, *(words[0] for words in grid)])
    config = first.config
    repeats = [list(words) for words in product(*grid)]
    question = [*fixed, *(word for words in grid for word in words)]
    search = Search(config.search, space, question, config.monitor, Path(config.results))
    wanted = config.search.trials or 0
    console.print(
        f"{search.name}: {search.done} of {wanted} trials are done, by {config.monitor}",
        highlight=False,
    )
    try:
        total = max(0, wanted - search.done) * len(repeats)
        with Sweeping(config, sweep, console, total, fixed) as sweeping:
            while search.done < wanted and not sweeping.stopping():
                _trials(search, sweeping, compose, fixed, repeats, wanted - search.done, asked)
        trials = search.trials()
        if trials:
            console.print(_table(trials, search.monitor))
    finally:
        search.close()
    sweeping.raise_if_stopped(max(1, wanted - len(trials)))


def _trials(
    search: Search,
    sweeping: Sweeping,
    compose: Callable[[Sequence[str]], Cell],
    fixed: Sequence[str],
    repeats: Sequence[Sequence[str]],
    most: int,
    asked: Asked,
) -> None:
    """Make as many trials at a time as there are places for their runs."""
    launcher = sweeping.config.launcher
    at_once = 1
    if isinstance(launcher, Slurm):
        at_once = min(launcher.at_once, MOST_AT_ONCE)
    elif isinstance(launcher, Parallel):
        sample = compose([*fixed, *repeats[0]])
        at_once = max(1, len(places(launcher, [sample] * most)) // len(repeats))
    asked_for = [search.ask() for _ in range(min(at_once, most))]
    cells = [
        [compose([*fixed, *overrides, *words]) for words in repeats] for _, overrides in asked_for
    ]
    flat = [cell for group in cells for cell in group]
    planner: Planner
    planner, _ = checked_plan(flat, asked)
    sweeping.run(flat, planner)
    sweeping.settle()
    if sweeping.interrupts.asked:  # what is under way is asked for again, first
        return
    for (trial, _), group in zip(asked_for, cells, strict=True):
        search.tell(trial, sweeping.runs(group) if len(sweeping.runs(group)) == len(group) else [])


def _table(trials: Sequence[Trial], monitor: str) -> Table:
    table = Table(title=f"{len(trials)} trials, the best first", title_justify="left",
                  box=box.SIMPLE_HEAD)  # fmt: skip
    table.add_column("trial", justify="right")
    table.add_column(monitor.replace("_", " "), justify="right")
    table.add_column("overrides", overflow="fold")
    for trial in trials[:SHOWN]:
        value = "none" if trial.value is None else f"{trial.value:.5g}"
        table.add_row(str(trial.number), value, escape(" ".join(trial.overrides)))
    return table
