"""What several commands take: a results folder, overrides, a folder of one's own config groups."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="The results folder.",
)


def overrides(command: Callable[..., int]) -> Callable[..., int]:
    """Let `command` take overrides, and `--config-dir`, which becomes one of them."""

    @click.option("--config-dir", help="A folder with config groups of your own.")
    @click.argument("overrides", nargs=-1)
    @functools.wraps(command)
    def taking(config_dir: str | None, overrides: Sequence[str], **more: Any) -> int:
        from nnbench.cli.backends import searching

        return command(overrides=[*overrides, *searching(config_dir)], **more)

    return taking
