"""`nnbench ops`: single operations side by side, on each backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click


@click.command()
@click.option("--size", default=1000, show_default=True, help="Rows and columns of the matrices.")
@click.option("--rounds", default=5, show_default=True, help="How many turns each backend gets.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the times here (JSON).")
@click.argument("overrides", nargs=-1)
def command(size: int, rounds: int, out: str | None, overrides: Sequence[str]) -> int:
    """Time single operations side by side: matrix product, convolution, activations, a backward
    pass; as in `nnbench ops --size 1000 backend=numpy,torch`.
    """
    from nnbench.cli.progress import Display
    from nnbench.errors import ConfigError, ResultsError
    from nnbench.reporting.pages.operations import operations_table
    from nnbench.reporting.pages.screen import Screen
    from nnbench.sweeps.operations import measure
    from nnbench.sweeps.side_by_side import ALL, side_by_side
    from nnbench.writing import write

    for name, value in (("--size", size), ("--rounds", rounds)):
        if value < 1:
            raise ConfigError(f"Received {name} {value}; must be at least 1.")
    configs = [cell.config for cell in side_by_side(overrides, ALL)]
    with Display().work("ops") as work:
        times = measure({each.backend.label: each for each in configs}, size, rounds, work)
    Screen().print(operations_table(times, size, configs[0].dtype, configs[0].threads))
    if out:
        try:
            write(
                Path(out), (json.dumps({"size": size, "seconds": times}, indent=1) + "\n").encode()
            )
        except OSError as error:
            raise ResultsError(f"Cannot write --out {out}: {error.strerror}.") from None
    return 0
