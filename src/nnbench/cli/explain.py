"""`nnbench explain A B`: walk from one run to another, and say which change explains what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say


@click.command()
@click.argument("first", metavar="A")
@click.argument("last", metavar="B")
@click.argument("overrides", nargs=-1)
@click.option("--seeds", default=1, show_default=True, help="How many, from A's on; or seed=0,1,2.")
@options.results
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: RESULTS/explain]")
def command(
    first: str, last: str, overrides: Sequence[str], seeds: int, results: Path, out: Path | None
) -> int:
    """Say why two runs differ: walk from A to B one change at a time, in two orders, run what is
    missing, and say how much of the gap in accuracy and time each change explains. A and B are
    recorded runs (name, id or folder), cases (STUDY/CASE) or overrides in quotes, as in `nnbench
    explain "loss=bce" "loss=mse backend=torch"`. OVERRIDES apply to both.
    """
    from nnbench.cli.progress import Display
    from nnbench.config.installation import lacking
    from nnbench.reporting.explain.asking import explain
    from nnbench.reporting.explain.explanation import explanation
    from nnbench.reporting.pages.parity import parity_table
    from nnbench.reporting.pages.screen import Screen

    console = Screen()
    display = Display(console)
    found = explain(first, last, overrides, seeds, results, display)
    if not found.changes:
        besides = ", besides what is said above" if found.cautions else ""
        say(f"{first} and {last} are the same configuration: nothing to explain{besides}.")
        return 0
    console.print(explanation(found.title, found.gaps))
    with display.work("explain") as work:
        page = found.write(out or results / "explain", work)
    lack = lacking("A waterfall plot", "matplotlib")
    say(f"\n{page}" + (f"\n{lack}" if lack else ", with explain.md and waterfall plots beside it"))
    if found.agreement is None:
        return 0
    console.print(parity_table(found.agreement))
    return min(found.agreement.failed, 1)
