"""A report in the terminal: its tables with a curve for each group, and its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from statistics import mean

from rich.console import Group as Lines
from rich.table import Table

from nnbench.formatting import sparkline
from nnbench.reporting.comparison.content import READING, Report, TableContent
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.pages.cells import COLUMNS
from nnbench.reporting.pages.grid import fold, right, titled

SHOWN = ("group", "seeds", "test accuracy", "epoch")
CURVE = 12  # characters


def report_text(report: Report) -> Lines:
    """Return a caution where there is one, the tables, and the verdicts below them."""
    first = [report.caution] if report.caution else []
    parts = [_table(content, i, len(report.tables)) for i, content in enumerate(report.tables, 1)]
    return Lines(*first, *parts, *READING, *report.hints, *report.apart, *report.headlines)


def _table(content: TableContent, number: int, among: int) -> Table:
    curves = {group.label: accuracies(group) for group in content.table.groups}
    known = [value for curve in curves.values() for value in curve]
    columns = [column for column in COLUMNS if column.title in SHOWN]
    figures = [right(c.title, overflow="fold", no_wrap=True) for c in columns[1:]]
    title = f"Table {number}" if among > 1 else None
    table = titled(fold(columns[0].title), *figures, title=title)
    if known:
        table.add_column("by epoch", no_wrap=True)
    for row in content.rows:
        cells = [column.figure(row) for column in columns]
        if known:
            cells.append(sparkline(curves[row.group], CURVE, (min(known), max(known))))
        table.add_row(*cells)
    return table


def accuracies(group: Group) -> Sequence[float]:
    """Return the test accuracy of each epoch, the mean over the group's finished runs."""
    courses = ([record.test_accuracy for record in run.epochs] for run in group.finished)
    by_epoch = (
        [value for value in values if value is not None] for values in zip_longest(*courses)
    )
    return [mean(values) for values in by_epoch if values]
