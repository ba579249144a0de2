"""`nnbench parity ARGS`: do the backends agree on this configuration, to rounding?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nnbench.errors import ChecksFailed, ConfigError

EPOCHS = 5


@click.command(
    help="Train several backends side by side in float64 and float32 and say whether their weights "
    "agree: pass, fail (with the first step and layer that part) or chaotic. As in `nnbench "
    "parity arch=lenet5 backend=numpy,torch`; without backend= all that are installed, without "
    f"epochs= {EPOCHS} epochs, without dtype= both."
)
@click.argument("overrides", nargs=-1)
def command(overrides: Sequence[str]) -> int:
    """Certify a configuration and print its table; exits 1 where backends disagree."""
    from nnbench.cli.backends import ALL, side_by_side

    given = {o.partition("=")[0] for o in overrides}
    added = [] if "epochs" in given else [f"epochs={EPOCHS}"]
    dtypes = [[]] if "dtype" in given else [["dtype=float64"], ["dtype=float32"]]
    failed = 0
    for dtype in dtypes:
        cells = side_by_side([*overrides, *added, *dtype], ALL)
        if len(cells) < 2:
            raise ConfigError(
                "Parity needs two backends; name them with backend=numpy,torch (`nnbench doctor` "
                "says what is installed)."
            )
        failed += certify(cells)
    if failed:
        raise ChecksFailed(f"{failed} comparison{'s' * (failed > 1)} failed.")
    return 0


def certify(cells: Sequence[Any]) -> int:
    """Train the cells side by side and print their table; return how many comparisons failed."""
    from rich.console import Console

    said = _ask(cells)
    Console().print(_table(said, cells[0].config))
    return sum(c["outcome"] == "fail" for c in said["certificates"])


def _ask(cells: Sequence[Any]) -> dict[str, Any]:
    from nnbench.records.lookup import find_weights
    from nnbench.sweeps.process import ask_side_by_side

    weights = find_weights(cells[0].config)
    job = {
        "what": "parity",
        "values": [cell.values for cell in cells],
        "weights": str(weights) if weights else None,
    }
    said = ask_side_by_side([cell.config for cell in cells], job)
    _keep(said, Path(cells[0].config.results), cells[0].values)
    return said


def _keep(said: dict[str, Any], results: Path, values: dict[str, Any]) -> None:
    """Write the whole certificate, by epoch and layer, into the results."""
    import json

    from nnbench.records.lookup import make_directory

    directory = make_directory(results, f"parity-{values['dtype']}", "parity")
    text = json.dumps(said | {"config": values}, indent=1, default=str)
    (directory / "parity.json").write_text(text + "\n", encoding="utf-8")
    said["directory"] = directory


def _table(said: dict[str, Any], config: Any) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table

    found = said["certificates"]
    table = Table(
        title=f"{said['architecture']}, {config.dtype}, {config.epochs} epochs of "
        f"{said['steps']:,} steps, against {found[0]['reference']}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("", "outcome", "epochs compared", "difference", "allowed", "most in layer"):
        table.add_column(name, overflow="fold")
    for c in found:
        last = max(c["compared_epochs"], 1) - 1
        table.add_row(
            c["backend"],
            c["outcome"],
            str(c["compared_epochs"]),
            f"{c['difference'][last]:.1e}",
            f"{c['envelope'][last]:.1e}",
            c["worst"],
        )
    notes = [c["text"] for c in found if c["outcome"] != "pass"]
    return Group(
        table,
        "relative to the largest weight; allowed is 100 times what one ulp in the initial weights "
        f"does. By epoch and layer: {_short(said['directory'])}/parity.json",
        *notes,
    )


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
