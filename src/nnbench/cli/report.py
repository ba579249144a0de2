"""`nnbench report`: what the recorded runs tell, as a page, Markdown, tables and plots."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnbench.cli import options

if TYPE_CHECKING:
    from nnbench.reporting.comparison.content import Report


@click.command(
    help="Compare recorded runs: verdicts with intervals, tables, plots, and what else differs. "
    "WORDS choose runs, as backend=numpy batch_size=32 or parts of names; all must fit."
)
@click.argument("words", nargs=-1)
@click.option("--runs", "filters", multiple=True, help="the same as WORDS")
@options.results
@click.option("--uri", help="read an MLflow store instead, as http://... or sqlite:///...")
@click.option("--experiment", help="of this MLflow experiment")
@click.option("--sweep", help="of this sweep, or the beginning of its name")
@click.option("--baseline", help="the group or backend that ratios are taken against")
@click.option("--out", type=click.Path(path_type=Path), help="folder  [default: RESULTS/report]")
@click.option("--title", default="nnbench report", show_default=True)
@click.option(
    "--fail-if",
    multiple=True,
    help="exit with 1 where this holds, as 'torch.time > 1.1 * numpy.time'; see docs/reports.md",
)
def command(  # noqa: PLR0913, PLR0917 - an option each
    words: tuple[str, ...],
    filters: tuple[str, ...],
    results: Path,
    uri: str | None,
    experiment: str | None,
    sweep: str | None,
    baseline: str | None,
    out: Path | None,
    title: str,
    fail_if: tuple[str, ...],
) -> int:
    """Write the report, print its tables and verdicts, check the conditions."""
    from rich.console import Console

    from nnbench.config.installation import need
    from nnbench.reporting.comparison.content import build
    from nnbench.reporting.comparison.gate import holds
    from nnbench.reporting.comparison.select import local, of_explanation, select
    from nnbench.reporting.pages.terminal import report_text
    from nnbench.tracking.download import from_store

    need("nnbench report", "pandas", "pyarrow", "matplotlib", "seaborn")
    with tempfile.TemporaryDirectory() as fetched:
        if uri:
            runs = from_store(uri, experiment or "nnbench", Path(fetched))
        else:
            runs, problems = local(results)
            for problem in problems:
                click.echo(f"left out: {problem}", err=True)
            if experiment is None and sweep is None:
                bridges = [run for run in runs if of_explanation(run)]
                if bridges and len(bridges) < len(runs):
                    runs = [run for run in runs if run not in bridges]
                    click.echo(
                        f"left out: {len(bridges)} runs of nnbench explain (--sweep explain)"
                    )
        chosen = select(runs, [*words, *filters], None if uri else experiment, sweep)
        report = build(chosen, baseline)
        folder = out or results / "report"
        page = write(report, title, folder)
    Console().print(report_text(report), highlight=False)
    click.echo(f"\n{page}")
    failed = [condition for condition in fail_if if holds(condition, report.figures())]
    for condition in failed:
        click.echo(f"nnbench: it holds that {condition}", err=True)
    return 1 if failed else 0


def write(report: Report, title: str, folder: Path) -> Path:
    """Write the page, Markdown, data and plots into `folder`; return the page."""
    from nnbench.errors import ResultsError
    from nnbench.reporting.comparison.frame import write_data
    from nnbench.reporting.pages.html import html
    from nnbench.reporting.pages.markdown import markdown
    from nnbench.reporting.pages.plots import write_plots

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_data(report, folder)
        names = write_plots(report, folder / "plots")
        svg = {name.removesuffix(".svg"): (folder / "plots" / name).read_bytes() for name in names}
        (folder / "report.md").write_text(
            markdown(report, title, [f"plots/{name}" for name in names]), encoding="utf-8"
        )
        page = folder / "report.html"
        page.write_text(html(report, title, svg), encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"Cannot write {folder}: {error.strerror}; choose --out.") from None
    return page
