"""Recorded runs in the terminal, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table

from nnbench.formatting import duration, number, percent
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.run_notes import epoch_note, flag_notes

ID_CHARACTERS = 8  # enough to name a run by


def listing(runs: Sequence[RunResult]) -> Group:
    """Return a table of recorded runs, and what has to be known about them."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("id", no_wrap=True)
    table.add_column("created", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("status", no_wrap=True)
    for name in ("epochs", "test acc", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        accuracy = run.figure("test_accuracy")
        loss = f"loss {number(run.figure('test_loss'))}"
        table.add_row(
            run.run_id[:ID_CHARACTERS],
            run.created[5:16].replace("T", " "),
            run.shown,
            run.status,
            str(len(run.epochs)),
            loss if run.kept and accuracy is None else percent(accuracy),
            duration(run.epoch_seconds),
        )
    out = [
        f"{run.name}: {standing(run).word}; not ranked" for run in runs if not standing(run).ranked
    ]
    return Group(table, *(f"note: {note}" for note in (epoch_note(runs), *out, *flag_notes(runs))))
