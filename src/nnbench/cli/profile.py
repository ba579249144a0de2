"""`nnbench profile ARGS`: where the time of a training step goes, by layer and operation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

PLOTS = (".png", ".svg", ".pdf")


@click.command(
    help="Show where the time of a training step goes: for NumPy by layer and operation, for a "
    "framework its own profile; as in `nnbench profile batch_size=32`."
)
@click.option("--top", default=20, show_default=True, help="how many rows to show")
@click.option("--plot", type=click.Path(dir_okay=False), help="where to draw it (png, svg, pdf)")
@click.argument("overrides", nargs=-1)
def command(top: int, plot: str | None, overrides: Sequence[str]) -> int:
    """Profile each backend of the overrides in a process of its own and print the tables."""
    from rich.console import Console

    from nnbench.cli.backends import side_by_side
    from nnbench.errors import ConfigError
    from nnbench.records.lookup import find_weights
    from nnbench.reporting.pages.profile import draw, profile_table
    from nnbench.sweeps.process import ask_side_by_side

    if top < 1:
        raise ConfigError(f"Received --top {top}; must be at least 1.")
    if plot and Path(plot).suffix not in PLOTS:
        raise ConfigError(f"Received --plot {plot}; its name must end in {', '.join(PLOTS)}.")
    profiles: dict[str, dict[str, Any]] = {}
    for cell in side_by_side(overrides, None):
        weights = find_weights(cell.config)
        job = {
            "what": "profile",
            "values": [cell.values],
            "weights": str(weights) if weights else None,
        }
        said = ask_side_by_side([cell.config], job)
        profiles[cell.config.backend.label] = said
        title = f"{cell.config.backend.label}: {said['architecture']}, batch "
        Console().print(profile_table(f"{title}{cell.config.batch_size}", said, top))
    if plot:
        draw(profiles, Path(plot), top)
        click.echo(f"Drawn: {plot}")
    return 0
