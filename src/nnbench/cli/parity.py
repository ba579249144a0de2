"""`nnbench parity ARGS`: do the backends agree on this configuration, to rounding?"""

from __future__ import annotations

from collections.abc import Sequence

import click

from nnbench.cli import options


@click.command()
@options.overrides
def command(overrides: Sequence[str]) -> int:
    """Train several backends side by side in float64 and float32 and say whether their weights
    agree, and whether they answer as their weights do: agrees, diverges (with the first step and
    layer), figures wrong, chaotic after step N, or not proven. As in `nnbench parity
    arch=lenet5 backend=numpy,torch`; without backend= all that are installed, without epochs= 5
    epochs, without dtype= both.
    """
    from nnbench.cli.progress import Display
    from nnbench.errors import ChecksFailed
    from nnbench.reporting.pages.parity import parity_table
    from nnbench.reporting.pages.screen import Screen
    from nnbench.sweeps.side_by_side import agreements

    failed, screen = 0, Screen()
    with Display(screen).work("parity") as work:
        for found in agreements(overrides, work):
            screen.print(parity_table(found))
            failed += found.failed
    if failed:
        raise ChecksFailed(f"{failed} comparison{'s' * (failed > 1)} failed or proved nothing.")
    return 0
