"""The terminal: what it is given is text, whoever wrote it, and neither markup nor commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from nnbench.credentials import hidden
from nnbench.formatting import printable


def say(text: object = "", err: bool = False) -> None:
    """Print a line that may name what others wrote."""
    click.echo(printable(hidden(str(text))), err=err)


class Screen(Console):
    """A console that shows names such as `[red]x` as they are, and ESC as `\\x1b`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"markup": False, "emoji": False} | options))

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, and cut nothing: a path that is wider than the terminal stays one line."""
        super().print(*objects, **({"crop": False} | options))

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of `renderable`; those that are text, fit to be shown."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
