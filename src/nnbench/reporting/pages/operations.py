"""The table of single operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Group
from rich.table import Table

from nnbench.backends.operations import MEANINGS
from nnbench.formatting import duration
from nnbench.reporting.pages.grid import right, titled
from nnbench.reporting.statistics import paired_ratio

Times = Mapping[str, Mapping[str, Sequence[float]]]


def operations_table(times: Times, size: int, dtype: str, threads: int) -> Group:
    """Return one line per operation and backend: median time, ratio against the first backend."""
    first = next(iter(times))
    one = "one thread" if threads == 1 else f"{threads} threads"
    ratio = f"times as long as {first}, 95 % interval"
    title = f"n = {size:,}, {dtype}, {one}"
    table = titled("operation", "backend", right("time"), ratio, title=title)
    for name in MEANINGS:
        base = times[first].get(name)
        for backend in times:
            found = times[backend].get(name)
            cells = [name if backend == first else "", backend]
            cells.append(duration(median(found)) if found else "-")
            compared = backend != first and found and base
            cells.append(str(paired_ratio(found, base)) if compared and found and base else "")
            table.add_row(*cells, end_section=backend == list(times)[-1])
    legend = Table(box=None, show_header=False, pad_edge=False)
    for name, meaning in MEANINGS.items():
        legend.add_row(name, meaning)
    return Group(table, legend)
