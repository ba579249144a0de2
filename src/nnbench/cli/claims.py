"""`nnbench claims`: what the publications claim, measured here, with a verdict each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nnbench.cli.answering import answer_claims


@click.command()
@click.argument("words", nargs=-1)
@click.option("--seeds", default=3, show_default=True, help="how many seeds: 0, 1, ...")
@click.option("--recorded", is_flag=True, help="run nothing, use what is recorded")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="write Markdown too")
def command(words: Sequence[str], seeds: int, recorded: bool, out: Path | None) -> int:
    """Measure the claims of the published comparisons: published, measured as published and
    matched, verdict. WORDS are studies (all without any) and overrides for every case, as in
    `nnbench claims create_nn_from_numpy epochs=10`. Runs on record are not run again.
    """
    return answer_claims(words, seeds, recorded, out)
