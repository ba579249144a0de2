"""Recorded runs in the terminal, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult

from nnbench.formatting import duration, number, percent
from nnbench.records.lookup import ID_CHARACTERS
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.run_notes import epoch_note, flag_notes
from nnbench.reporting.pages.grid import close
from nnbench.schema.deferred import dataclass

NARROW = 80  # columns: below, a list leaves out when runs were made and how long they are


@dataclass(frozen=True)
class listing:  # noqa: N801 - as a function of the runs, which waits for its width
    """A table of recorded runs, and what has to be known about them, to fit the terminal."""

    runs: Sequence[RunResult]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _table(self.runs, options.max_width)


def _table(runs: Sequence[RunResult], width: int) -> Group:
    """Return a table of recorded runs of at most `width` columns, and notes on them."""
    table = close()
    table.add_column("id", no_wrap=True)
    if width >= NARROW:
        table.add_column("created", no_wrap=True)
    table.add_column("name", overflow="fold", min_width=12)
    table.add_column("status", no_wrap=True)
    epochs = ["epochs"] if width >= NARROW else []
    for name in (*epochs, "test acc", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        accuracy = run.figure("test_accuracy")
        loss = f"loss {number(run.figure('test_loss'))}"
        created = [run.created[5:16].replace("T", " ")] if width >= NARROW else []
        table.add_row(
            run.run_id[:ID_CHARACTERS],
            *created,
            run.shown,
            run.status,
            *([str(len(run.epochs))] if epochs else []),
            loss if run.kept and accuracy is None else percent(accuracy),
            duration(run.epoch_seconds),
        )
    out = [
        f"{run.name}: {standing(run).word}; not ranked" for run in runs if not standing(run).ranked
    ]
    return Group(table, *(f"note: {note}" for note in (epoch_note(runs), *out, *flag_notes(runs))))
