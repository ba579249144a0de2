"""What several commands take: a results folder, overrides."""

from __future__ import annotations

from pathlib import Path

import click

results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="The results folder; results=DIR says the same.",
)
overrides = click.argument("overrides", nargs=-1)
