"""A profile as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Column, Table

from nnbench.errors import ResultsError
from nnbench.formatting import duration
from nnbench.reporting.pages.grid import fold, right
from nnbench.writing import replacing

BAR = 20  # characters of a full bar


def place(row: Mapping[str, Any], layers: list[str]) -> str:
    """Return a row's place with the name of its layer: `1 dense backward`."""
    number, _, rest = row["place"].partition(" ")
    return f"{number} {layers[int(number) - 1].split()[0]} {rest}" if number.isdigit() else number


def profile_table(title: str, said: Mapping[str, Any], top: int) -> Table:
    """Return the `top` slowest operations, what is left, and a step without the profiler."""
    rows = said["rows"]
    total = sum(row["seconds"] for row in rows)
    placed = any(row["place"] for row in rows)
    caption = (
        f"{duration(total)} per step under the profiler, {duration(said['step_seconds'])} without; "
        f"{said['steps']:,} steps"
    )
    names = ("part", "operation") if placed else ("operation",)
    table = Table(
        *map(fold, names),
        *map(right, ("calls", "us", "fraction")),
        Column("", no_wrap=True),
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    rest = rows[top:]
    shown = [(place(row, said["layers"]), row) for row in rows[:top]]
    if rest:
        left = {key: sum(row[key] for row in rest) for key in ("seconds", "calls")}
        shown.append(("", left | {"operation": f"{len(rest)} more"}))
    for where, row in shown:
        share = row["seconds"] / total if total else 0.0
        cells = [where] * placed + [
            row["operation"],
            f"{row['calls']:.3g}",
            f"{1e6 * row['seconds']:,.2f}",
            f"{share:.1%}",
            "\N{FULL BLOCK}" * round(BAR * share),
        ]
        table.add_row(*cells)
    return table


def draw(profiles: Mapping[str, Mapping[str, Any]], path: Path, top: int) -> None:
    """Draw the `top` slowest operations of each profile as bars. Raises ResultsError."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    heights = [min(top, len(said["rows"])) for said in profiles.values()]
    figure, axes = plt.subplots(
        len(profiles),
        figsize=(8, 1 + sum(0.6 + 0.25 * n for n in heights)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    for axis, (label, said) in zip(axes[:, 0], profiles.items(), strict=True):
        rows = said["rows"][:top]
        names = [f"{place(row, said['layers'])} {row['operation']}".strip()[:60] for row in rows]
        axis.barh(range(len(rows)), [1e6 * row["seconds"] for row in rows], color="tab:blue")
        axis.set_yticks(range(len(rows)), names, fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel("us per step")
        axis.set_title(f"{label}: {duration(said['step_seconds'])} per step", loc="left")
    try:
        with replacing(path) as new:
            figure.savefig(new)
    except OSError as error:
        raise ResultsError(f"Cannot write --plot {path}: {error.strerror}.") from None
    finally:
        plt.close(figure)
