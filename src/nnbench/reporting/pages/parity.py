"""Parity certificates in the terminal."""

from __future__ import annotations

from rich.console import Group

from nnbench.formatting import near
from nnbench.reporting.pages.grid import fold, titled
from nnbench.sweeps.side_by_side import Agreement


def parity_table(found: Agreement) -> Group:
    """Return one line for each backend that was compared, and what is not proved in words."""
    config, certificates = found.config, found.certificates
    heads = ("", "outcome", "steps compared", "difference", "allowed", "largest in layer")
    table = titled(
        *map(fold, heads),
        title=f"{found.architecture}, {config.dtype}, {config.epochs} epochs of "
        f"{found.steps:,} steps, against {certificates[0].reference}",
    )
    for each in certificates:
        assert each.last is not None
        table.add_row(
            each.backend,
            each.outcome,
            f"{each.compared_steps:,}",
            f"{each.last.difference:.1e}",
            f"{each.last.envelope:.1e}",
            f"{each.last.layer + 1} ({each.layers[each.last.layer].split()[0]})",
        )
    return Group(
        table,
        "Relative to the largest weight; allowed is 100 times the effect of one ulp in the "
        f"initial weights. By epoch and layer: {near(found.directory)}/parity.json",
        *(str(each) for each in certificates if each.outcome != "agrees"),
    )
