"""Commands that put backends side by side: `backend=A,B` in their overrides."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.config.composition import Cell, compose
from nnbench.errors import ConfigError, MissingPackage
from nnbench.sweeps.session import check_packages

ALL = ("numpy", "torch", "keras")


def side_by_side(overrides: Sequence[str], default: Sequence[str] | None) -> list[Cell]:
    """Return one cell per backend named in `overrides`.

    Without any, those of `default` that are installed; None takes the configuration's own.
    Raises ConfigError where they cannot share a process.
    """
    named = [o.partition("=")[2].split(",") for o in overrides if o.startswith("backend=")]
    rest = [o for o in overrides if not o.startswith("backend=")]
    if not named and default is None:
        return [compose(rest)]
    cells = []
    for name in named[-1] if named else default or ():
        cell = compose([f"backend={name.strip('[] ')}", *rest])
        try:
            check_packages(cell.config)
        except MissingPackage:
            if named:
                raise
            continue
        cells.append(cell)
    labels = [cell.config.backend.label for cell in cells]
    if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise ConfigError(f"Received backend {twice[0]} twice; name different backends.")
    engines = {v for c in cells for v in c.config.backend.env if v.startswith("KERAS_BACKEND=")}
    if len(engines) > 1:
        raise ConfigError("Received several Keras engines; one process can have one of them.")
    if cells[0].config.semantics != "matched":
        raise ConfigError(
            "Received semantics=native; only matched backends go the same way, leave it out."
        )
    return cells
