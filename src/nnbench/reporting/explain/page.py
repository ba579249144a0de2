"""An explanation as one HTML file that needs nothing beside it, as Markdown, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnbench.records.colors import COLORS
from nnbench.reporting.explain.explanation import Effect, Gap
from nnbench.reporting.pages.drawn import Plot, write
from nnbench.reporting.pages.html import environment
from nnbench.reporting.pages.looks import STYLE
from nnbench.reporting.pages.typeface import typeface
from nnbench.schema.progress import Tell, counted


def write_waterfalls(
    gaps: Sequence[Gap], folder: Path, tell: Tell, also: Sequence[str] = ("pdf", "png")
) -> dict[str, Plot]:
    """Write the plot of each gap as SVG, and in the formats `also`; return them by figure."""
    import matplotlib

    from nnbench.reporting.explain.waterfall import waterfall

    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    with matplotlib.rc_context(STYLE), typeface():
        for each in counted(gaps, tell, "drawing plot"):
            name = each.figure.replace(" ", "_")
            plots[each.figure] = write(name, waterfall(each), folder, also)
    return plots


def _by_size(gap: Gap) -> tuple[Effect, ...]:
    return tuple(sorted(gap.effects, key=lambda effect: -abs(effect.middle)))


def page(
    title: str,
    cautions: Sequence[str],
    gaps: Sequence[Gap],
    plots: Mapping[str, Plot],
    agreement: Sequence[str] = (),
) -> str:
    """Return the page: for each figure what explains its gap, the plot, and both orders."""
    parts = [
        {
            "figure": each.figure,
            "sentences": each.sentences(),
            "plot": plots.get(each.figure),
            "rows": both_orders(replace(each, effects=_by_size(each))),
        }
        for each in gaps
    ]
    return (
        environment()
        .get_template("explain.html.j2")
        .render(
            title=title, cautions=cautions, parts=parts, agreement=agreement, colors=COLORS
        )
    )  # fmt: skip


def both_orders(gap: Gap) -> list[tuple[str, str, str, str]]:
    """Return a line for each change: what it is, what it does in each order, its share."""
    return [
        (f"{e.name}: {e.text}", gap.moved(e.forward), gap.moved(e.backward), gap.shown(e))
        for e in gap.effects
    ]


def as_markdown(title: str, gaps: Sequence[Gap], plots: Mapping[str, str] | None = None) -> str:
    """Return the same as Markdown, with both orders.

    `plots` are files beside it, by figure.
    """
    lines = [f"# {title}", ""]
    for each in gaps:
        lines += [f"## {each.figure}", "", *(f"- {s}" for s in each.sentences()), ""]
        if plots and each.figure in plots:
            lines += [f"![{each.figure}]({plots[each.figure]})", ""]
        lines += ["| change | in one order | in the other | of the gap |", "|---|---:|---:|---:|"]
        for cells in both_orders(each):
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
