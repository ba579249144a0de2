"""Tables in the terminal: their one style, and columns that fold or stand to the right."""

from __future__ import annotations

from functools import partial

from rich import box
from rich.table import Column, Table

fold, right = partial(Column, overflow="fold"), partial(Column, justify="right")
titled = partial(Table, title_justify="left", box=box.SIMPLE_HEAD)
close = partial(titled, padding=(0, 1, 0, 0))  # many columns
