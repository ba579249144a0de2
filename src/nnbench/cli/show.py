"""`nnbench show RUN`: one recorded run, its figures, its course, and how to do it again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(help="Show a recorded run: RUN is its name, its id or its folder.")
@click.argument("run")
@click.option("--results", default="results", show_default=True, help="the results folder")
def command(run: str, results: str) -> int:
    """Print the summary of a run, the course of its figures and its command."""
    from rich.console import Console

    from nnbench.records.lookup import recorded
    from nnbench.reporting.pages.runs import course, summary
    from nnbench.tracking.note import command as command_of

    found = recorded(run, Path(results))
    console = Console()
    console.print(summary(found))
    console.print(course(found))
    console.print("Run it again:", highlight=False)
    console.print(command_of(found.config), markup=False, highlight=False, soft_wrap=True)
    return 0
