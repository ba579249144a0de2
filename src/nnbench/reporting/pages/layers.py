"""The table of a net's layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from nnbench.model.rows import LayerRow
from nnbench.reporting.pages.grid import fold, right


def optimizer_text(effective: Mapping[str, Any]) -> str:
    """Return the constants and formulas that the optimizer computes with, in a line."""
    parts = {k.removeprefix("optimizer."): v for k, v in effective.items() if "optimizer." in k}
    return ", ".join(f"{name} {value}" for name, value in parts.items())


def layer_table(rows: Sequence[LayerRow]) -> Table:
    """Return one line per layer with its output's shape, its parameters and buffers, and sums."""
    buffered = any(row.buffers for row in rows)
    total = f"{sum(row.parameters for row in rows):,}"
    columns = (right("#"), fold("layer"), right("output"), right("parameters", total))
    table = Table(*columns, box=box.SIMPLE, show_footer=True, pad_edge=False)
    if buffered:
        table.add_column("buffers", f"{sum(row.buffers for row in rows):,}", justify="right")
    for i, row in enumerate(rows, start=1):
        counts = (row.parameters, row.buffers) if buffered else (row.parameters,)
        table.add_row(str(i), row.layer, row.output, *(f"{n:,}" if n else "-" for n in counts))
    return table
