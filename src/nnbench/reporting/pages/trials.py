"""The trials of a search in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nnbench.reporting.pages.grid import fold, right, titled
from nnbench.sweeps.trials import Trial

SHOWN = 10


def trials_table(trials: Sequence[Trial], monitor: str) -> Table:
    """Return the first of `trials`, which are the best, by the figure `monitor`."""
    title = f"{len(trials)} trials, the best first"
    columns = (right("trial"), right(monitor.replace("_", " ")), fold("overrides"))
    table = titled(*columns, title=title)
    for trial in trials[:SHOWN]:
        value = "none" if trial.value is None else f"{trial.value:.5g}"
        table.add_row(str(trial.number), value, " ".join(trial.overrides))
    return table
