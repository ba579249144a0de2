"""`nnbench ls`: the recorded runs, newest last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

if TYPE_CHECKING:
    from nnbench.records.folder import Folder, Latest

STATUSES = ("running", "finished", "diverged", "failed", "killed")


@click.command()
@click.argument("words", nargs=-1)
@options.results
@click.option(
    "--last",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many, 0 for all.",
)
@click.option("--status", type=click.Choice(STATUSES), help="Only runs with this status.")
def command(words: tuple[str, ...], results: Path, last: int, status: str | None) -> int:
    """List the recorded runs of a results folder, oldest first. WORDS choose, as in nnbench report:
    backend=numpy, @last, parts of names; all must fit.
    """
    from nnbench.records.folder import Folder
    from nnbench.reporting.pages.listing import listing
    from nnbench.reporting.pages.screen import Screen

    folder = Folder(results)
    if any("=" in word or word.startswith("@") for word in words):
        found = _chosen(folder, words, last, status)
    else:
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
        from nnbench.reporting.comparison.select import check_keys

        check_keys(words)
        say(f"No runs recorded in {results}; run `nnbench` first.")
        return 0
    if not found.runs:
        say(f"No run in {results} matches ({found.total} recorded).")
        return 0
    Screen().print(listing(found.runs))
    if len(found.runs) < found.total:
        say(f"{len(found.runs)} of {found.total} runs (--last 0 shows all)")
    return 0


def _chosen(folder: Folder, words: Sequence[str], last: int, status: str | None) -> Latest:
    """Return the runs that fit, as a report would take them; each has to be read for it."""
    from nnbench.records.folder import Latest
    from nnbench.reporting.comparison.select import fitting

    runs = folder.runs()
    fits = fitting(words, runs) if runs else None
    found = [run for run in runs if fits and fits(run) and status in (None, run.status)]
    return Latest(found[-last:] if last else found, len(found), len(runs))
