"""The lines of a table of layers."""

from __future__ import annotations

from typing import NamedTuple


class LayerRow(NamedTuple):
    """One line of a table of layers: what it is, its output, how much it learns and keeps."""

    layer: str
    output: str
    parameters: int
    buffers: int
