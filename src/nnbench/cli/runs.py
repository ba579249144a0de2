"""`nnbench runs`: the recorded runs, newest last."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(help="List the recorded runs of a results folder, oldest first.")
@click.option("--results", default="results", show_default=True, help="the results folder")
@click.option("--last", default=20, show_default=True, help="how many, 0 for all")
def command(results: str, last: int) -> int:
    """Print the table of runs."""
    from rich.console import Console

    from nnbench.record import read_runs
    from nnbench.report.tables import listing

    runs = list(read_runs(Path(results)))
    if not runs:
        click.echo(f"No runs recorded in {results}; run `nnbench` first.")
        return 0
    Console().print(listing(runs[-last:] if last else runs))
    return 0
