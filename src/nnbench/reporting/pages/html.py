"""A report as one HTML file that needs nothing beside it, and no network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nnbench.formatting import percent
from nnbench.records.colors import COLORS
from nnbench.reporting.claims.text import HEADS
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.pages.cells import COLUMNS
from nnbench.reporting.pages.drawn import Plot
from nnbench.reporting.pages.looks import Look
from nnbench.reporting.pages.scene import Scene
from nnbench.reporting.pages.swatch import swatch

MOST_VERDICTS = 6  # on the first screen; the others fold out below them


def html(report: Report, title: str, plots: Mapping[str, Plot]) -> str:
    """Return the page; the first of `plots` is on its first screen. Everything in it is escaped."""
    looks: list[Look] = Scene(report.tables[0], report).looks if plots else []
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            report=report,
            columns=COLUMNS,
            percent=percent,
            claim_heads=HEADS,
            plots=list(plots.values()),
            groups=sorted({each for p in [*plots.values()][1:] for each in p.legend}),
            swatches=[swatch(look) for look in looks],
            most=MOST_VERDICTS,
            colors=COLORS,
        )
    )


@cache
def environment() -> Any:
    """Return what renders the templates beside this file; it escapes what is put into them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("nnbench.reporting.pages"), autoescape=True, undefined=StrictUndefined
    )
