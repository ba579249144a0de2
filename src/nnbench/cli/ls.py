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
    from nnbench.reporting.pages.runs import listing
    from nnbench.reporting.pages.screen import Screen

    folder = Folder(results)
    runs = folder.runs()
    for problem in folder.problems:
        say(f"left out: {problem}", err=True)
    if not runs:
        say(f"No runs recorded in {results}; run `nnbench` first.")
        return 0
    chosen = [
        run
        for run in runs
        if status in (None, run.status)
        and all(word in f"{run.name} {run.run_id} {run.sweep}" for word in words)
    ]
    if not chosen:
        say(f"No run in {results} matches ({len(runs)} recorded).")
        return 0
    shown = chosen[-last:] if last else chosen
    Screen().print(listing(shown))
    if len(shown) < len(runs):
        say(f"{len(shown)} of {len(runs)} runs (--last 0 shows all)")
    return 0
