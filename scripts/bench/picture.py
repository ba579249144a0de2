"""The figure about a bench: a panel for each workload, a row for each contender."""

from __future__ import annotations

import math
import statistics
import textwrap
from pathlib import Path
from typing import Any

from journal import Journal
from page import Figures
from workloads import WORKLOADS, Workload

from nnbench.reporting.statistics import paired_ratio

# Told apart by shape as well; the colours are Okabe and Ito's.
LOOKS = {
    "ours": ("#0072B2", "o", "nnbench's NumPy"),
    "framework": ("#D55E00", "s", "frameworks, run by nnbench"),
    "by hand": ("#555555", "D", "written by hand"),
}
WIDTH, ROW, FRAME, COLUMNS = 9.6, 0.19, 0.7, 2  # inches; panels in a row
TITLE = 52  # characters in a line
STYLE = {
    "svg.hashsalt": "nnbench", "svg.fonttype": "none", "font.size": 8, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.edgecolor": "0.6", "ytick.major.size": 0, "xtick.minor.size": 0, "grid.color": "0.88",
    "figure.facecolor": "white", "text.parse_math": False,
}  # fmt: skip
Row = tuple[str, str, float, float, float]  # label, kind, median, ends of the interval


def rows(workload: Workload, journal: Journal) -> list[Row]:
    """Return what a panel shows, the fastest first."""
    figures = Figures(journal, workload.name, "step_microseconds")
    found: list[Row] = []
    for contender in (*workload.contenders, *workload.more):
        values = list(figures.rounds(contender.label).values())
        if values:
            around = paired_ratio(values, [1.0] * len(values))
            low, high = (x if math.isfinite(around.high) else math.nan for x in around[1:])
            found.append((contender.label, contender.kind, statistics.median(values), low, high))
    return sorted(found, key=lambda row: row[2])


def draw(journal: Journal, path: Path) -> None:
    """Write the figure as SVG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [(w, found) for w in WORKLOADS if (found := rows(w, journal))]
    if not panels:
        return
    columns = min(COLUMNS, len(panels))
    bands = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [max(len(found) for _, found in band) * ROW + FRAME for band in bands]
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = pyplot.figure(figsize=(WIDTH, sum(heights) + 0.3), layout="constrained")
        grid = figure.add_gridspec(len(bands), columns, height_ratios=heights)
        for i, band in enumerate(bands):
            for j, (workload, found) in enumerate(band):
                _panel(figure.add_subplot(grid[i, j]), workload, found)
        handles = [
            matplotlib.lines.Line2D([], [], color=c, marker=m, linestyle="", label=text)
            for c, m, text in LOOKS.values()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(LOOKS), frameon=False)
        figure.supxlabel("microseconds per step, medians and 95 % intervals", fontsize=8)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _panel(axes: Any, workload: Workload, found: list[Row]) -> None:
    """Draw a workload: medians on a logarithmic axis, intervals, the figure beside each."""
    most = max(row[2] for row in found)
    for place, (_, kind, value, low, high) in enumerate(found):
        color, marker, _ = LOOKS[kind]
        axes.plot([low, high], [place] * 2, color=color, linewidth=1.2, alpha=0.6)
        axes.plot(value, place, color=color, marker=marker, markersize=4.5, linestyle="")
        text = f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        axes.annotate(
            text, (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=7, color="0.25",
        )  # fmt: skip
    axes.set_xscale("log")
    least = min(row[2] for row in found)
    axes.set_xlim(least / 1.4, max(most * 1.4, least * 10))
    axes.set_yticks(range(len(found)), [row[0] for row in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.10g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    title = textwrap.fill(f"{workload.name}: {workload.what}", TITLE)
    axes.set_title(title, fontsize=8, loc="left")
