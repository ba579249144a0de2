"""`nnbench show RUN`: one recorded run, its figures, its course, and how to do it again."""

from __future__ import annotations

from pathlib import Path

import click

from nnbench.cli import options


@click.command()
@click.argument("run")
@options.results
def command(run: str, results: Path) -> int:
    """Show a recorded run: RUN is its name, its id or its folder."""
    from nnbench.records.lookup import recorded
    from nnbench.records.settings import command as command_of
    from nnbench.reporting.pages.runs import course, summary
    from nnbench.reporting.pages.screen import Screen

    found = recorded(run, results)
    console = Screen()
    console.print(summary(found))
    console.print(course(found))
    console.print("Run it again:", highlight=False)
    console.print(command_of(found.config), markup=False, highlight=False, soft_wrap=True)
    return 0
