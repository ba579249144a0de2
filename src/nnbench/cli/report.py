"""`nnbench report`: what the recorded runs tell, as a page, Markdown, tables and plots."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say
from nnbench.schema.progress import part

ASKING = 0.45  # of the time of a report; the rest is drawing and writing


@click.command()
@click.argument("words", nargs=-1)
@click.option("--runs", "filters", multiple=True, help="The same as WORDS.")
@options.results
@click.option("--uri", help="Read an MLflow store instead, as http://... or sqlite:///...")
@click.option("--experiment", help="Of this MLflow experiment.")
@click.option("--sweep", help="Of this sweep, or the beginning of its name.")
@click.option("--baseline", help="The group or backend that ratios are taken against.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: RESULTS/report]")
@click.option("--png", is_flag=True, help="Write the plots as PNG, too, beside SVG and PDF.")
@click.option("--title", default="nnbench report", show_default=True)
@click.option(
    "--fail-if",
    multiple=True,
    help="Exit with 1 if this is met, as 'torch.time > 1.1 * numpy.time'; see docs/reports.md.",
)
def command(
    words: tuple[str, ...],
    filters: tuple[str, ...],
    results: Path,
    out: Path | None,
    png: bool,
    fail_if: tuple[str, ...],
    **asked: Any,
) -> int:
    """Compare recorded runs: verdicts with intervals, tables, plots, and what else differs. WORDS
    choose runs, as backend=numpy batch_size=32 or parts of names; all must fit.
    """
    from nnbench.cli.progress import Display
    from nnbench.config.installation import need
    from nnbench.reporting.asking import report
    from nnbench.reporting.claims.expression import check_condition, holds
    from nnbench.reporting.pages.screen import Screen
    from nnbench.reporting.pages.terminal import report_text

    need("nnbench report", "pandas", "pyarrow", "matplotlib")
    for condition in fail_if:
        check_condition(condition)
    screen = Screen()
    with _uncollected(), Display(screen).work("report") as work:
        found = report([*words, *filters], results, tell=part(work, 0.0, ASKING), **asked)
        figures = found.content.figures()
        failed = [condition for condition in fail_if if holds(condition, figures)]
        page = found.write(out or results / "report", ("png",) * png, part(work, ASKING, 1.0))
    for line in found.left_out:
        say(f"left out: {line}", err=True)
    screen.print(report_text(found.content), highlight=False)
    say(f"\n{page}")
    for condition in failed:
        say(f"nnbench: condition met: {condition}", err=True)
    return 1 if failed else 0


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave cyclic garbage alone: looking for it among many records is a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
