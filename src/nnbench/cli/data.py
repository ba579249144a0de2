"""`nnbench data list` and `nnbench data fetch NAME`."""

from __future__ import annotations

import click


@click.group(help="List the data sets, or fetch one.")
def command() -> None:
    """Group the two sub-commands."""


@command.command("list", help="Say which data sets are usable here, and how to get the others.")
def show() -> int:
    """Print every data set with where it is or the remedy."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from nnbench.data.catalog import available

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("data=", "what", "usable", "where, or how to get it"):
        table.add_column(column, overflow="fold")
    for found in available():
        usable = "yes" if found.usable else "no"
        table.add_row(found.name, found.description, usable, found.remedy or found.where)
    Console().print(table)
    return 0


@command.command(help="Put a data set where runs find it, and verify it.")
@click.argument("name")
def fetch(name: str) -> int:
    """Fetch one data set and say where it is."""
    from nnbench.data.catalog import fetch as fetch_data

    click.echo(f"{name}: verified, in {fetch_data(name)}")
    return 0
