"""`nnbench profile ARGS`: where the time of a training step goes, by layer and operation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

PLOTS = (".png", ".svg", ".pdf")


@click.command()
@click.option("--top", default=20, show_default=True, help="How many rows to show.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw it here (png, svg, pdf).")
@options.overrides
def command(top: int, plot: str | None, overrides: Sequence[str]) -> int:
    """Show where the time of a training step goes: for NumPy by layer and operation, for a
    framework its own profile; as in `nnbench profile batch_size=32`.
    """
    from nnbench.cli.progress import Display
    from nnbench.config.installation import need
    from nnbench.errors import ConfigError
    from nnbench.reporting.pages.profile import draw, profile_table
    from nnbench.reporting.pages.screen import Screen
    from nnbench.sweeps.process import ask
    from nnbench.sweeps.side_by_side import side_by_side

    if top < 1:
        raise ConfigError(f"Received --top {top}; must be at least 1.")
    if plot and Path(plot).suffix not in PLOTS:
        raise ConfigError(f"Received --plot {plot}; its name must end in {', '.join(PLOTS)}.")
    if plot:
        need("--plot", "matplotlib", otherwise="leave --plot out")
    profiles: dict[str, dict[str, Any]] = {}
    for cell in side_by_side(overrides, None):
        label = cell.config.backend.label
        with Display().work(f"profile of {label}") as work:
            profiles[label] = said = ask("profile", [cell], work)
        title = f"{label}: {said['architecture']}, batch {cell.config.batch_size}"
        Screen().print(profile_table(title, said, top))
    if plot:
        draw(profiles, Path(plot), top)
        say(f"Drawn: {plot}")
    return 0
