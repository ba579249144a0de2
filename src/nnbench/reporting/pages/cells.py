"""The columns of a report's tables: one formatting for HTML, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnbench.formatting import EPOCH_TIME, duration, memory, number, percent
from nnbench.reporting.comparison.rows import Row
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Column:
    """A column: its title, the field it sorts by, its figure and the figure's spread as text."""

    title: str
    field: str
    figure: Callable[[Row], str]
    help: str
    spread: Callable[[Row], str] = lambda _: ""

    def text(self, row: Row) -> str:
        """Return the figure, and its spread over several seeds in brackets."""
        return self.figure(row) + (self.spread(row) if row.seeds > 1 else "")

    def value(self, row: Row) -> Any:
        """Return what to sort by."""
        return getattr(row, self.field)


def _between(low: str, high: str, text: Callable[[float | None], str]) -> Callable[[Row], str]:
    """Return what writes the fields `low` and `high`, nothing where there is none."""

    def spread(row: Row) -> str:
        ends = getattr(row, low), getattr(row, high)
        return "" if None in ends else f" ({text(ends[0])} to {text(ends[1])})"

    return spread


def _group(row: Row) -> str:
    return row.group + (f" ({row.word})" if row.word else "")


def _seeds(row: Row) -> str:
    return f"{row.seeds}" + (f", {row.diverged} diverged" if row.diverged else "")


COLUMNS = (
    Column("group", "group", _group,
           "runs that differ in the seed alone (what is not proved of them)"),
    Column("seeds", "seeds", _seeds, "finished runs, one for each seed"),
    Column("test accuracy", "test_accuracy", lambda r: percent(r.test_accuracy),
           "mean over seeds (least to greatest)",
           _between("test_accuracy_low", "test_accuracy_high", percent)),
    Column("train", "train_accuracy", lambda r: percent(r.train_accuracy), "mean over seeds"),
    Column("gap", "gap", lambda r: percent(r.gap), "train minus test accuracy, mean over seeds"),
    Column("test loss", "test_loss", lambda r: number(r.test_loss), "mean over seeds"),
    Column("epoch", "epoch", lambda r: duration(r.epoch),
           f"{EPOCH_TIME}; median over seeds (least to greatest)",
           _between("epoch_low", "epoch_high", duration)),
    Column("first epoch", "first_epoch", lambda r: duration(r.first_epoch), "median over seeds"),
    Column("to target", "to_target", lambda r: duration(r.to_target), "training time until test "
           "accuracy reaches the table's target in every run, median"),
    Column("whole run", "total_time", lambda r: duration(r.total_time), "from the start of the "
           "process to its end, median"),
    Column("parameters", "parameters", lambda r: f"{r.parameters:,}", "number of parameters"),
    Column("memory", "memory", lambda r: memory(r.memory), "peak memory of the process, median"),
)  # fmt: skip
