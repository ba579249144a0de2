"""`nnbench ls`: the recorded runs, newest last."""

from __future__ import annotations

from pathlib import Path

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

STATUSES = ("running", "finished", "diverged", "failed", "killed")


@click.command()
@click.argument("words", nargs=-1)
@options.results
@click.option("--last", default=20, show_default=True, help="how many, 0 for all")
@click.option("--status", type=click.Choice(STATUSES), help="only runs with this status")
def command(words: tuple[str, ...], results: Path, last: int, status: str | None) -> int:
    """List the recorded runs of a results folder, oldest first."""
    from nnbench.records.folder import Folder
    from nnbench.reporting.pages.listing import listing
    from nnbench.reporting.pages.screen import Screen

    folder = Folder(results)
    found = folder.latest(
        last,
        lambda head: (
            status in (None, head.status)
            and all(word in f"{head.name} {head.run_id} {head.sweep}" for word in words)
        ),
    )
    for problem in folder.problems:
        say(f"left out: {problem}", err=True)
    if not found.total:
        say(f"No runs recorded in {results}; run `nnbench` first.")
        return 0
    if not found.runs:
        say(f"No run in {results} matches ({found.total} recorded).")
        return 0
    Screen().print(listing(found.runs))
    if len(found.runs) < found.total:
        say(f"{len(found.runs)} of {found.total} runs (--last 0 shows all)")
    return 0
