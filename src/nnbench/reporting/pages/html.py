"""A report as one HTML file that needs nothing beside it, and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from nnbench.formatting import percent
from nnbench.reporting.claims.text import HEADS
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.pages.cells import COLUMNS

WIDE = ("effects", "sample_predictions", "confusion")  # plots that need the whole width


def html(report: Report, title: str, plots: Mapping[str, bytes]) -> str:
    """Return the page; `plots` are SVG by name. Everything in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nnbench.reporting.pages"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        title=title,
        report=report,
        columns=COLUMNS,
        percent=percent,
        claim_heads=HEADS,
        wide=WIDE,
        plots={name: base64.b64encode(svg).decode() for name, svg in plots.items()},
    )
