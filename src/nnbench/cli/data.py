"""`nnbench data list` and `nnbench data fetch NAME`."""

from __future__ import annotations

import click

from nnbench.reporting.pages.screen import say


@click.group()
def command() -> None:
    """List the data sets, or fetch one."""


@command.command("list")
def show() -> int:
    """Say which data sets are usable here, and how to get the others."""
    from rich import box
    from rich.table import Table

    from nnbench.cli.progress import Display
    from nnbench.data.catalog import available
    from nnbench.reporting.pages.screen import Screen

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("data=", "what", "usable", "where, or how to get it"):
        table.add_column(column, overflow="fold")
    with Display().work("data") as work:
        states = available(work)
    for found in states:
        usable = "yes" if found.usable else "no"
        table.add_row(found.name, found.description, usable, found.remedy or found.where)
    Screen().print(table)
    return 0


@command.command()
@click.argument("name")
def fetch(name: str) -> int:
    """Put a data set where runs find it, and verify it."""
    from nnbench.cli.progress import Display
    from nnbench.data.catalog import fetch as fetch_data

    with Display().work(name) as work:
        folder = fetch_data(name, work)
    say(f"{name}: verified, in {folder}")
    return 0
