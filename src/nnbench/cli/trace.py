"""`nnbench trace ARGS --step K`: one training step, layer by layer, backends side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

FIRST_VALUES = 3


@click.command()
@click.option("--step", default=1, show_default=True, help="Which step of the run, from 1.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write all arrays here (npz).")
@options.overrides
def command(step: int, out: str | None, overrides: Sequence[str]) -> int:
    """Show one step of training layer by layer: what goes through it, the gradients, the updates;
    as in `nnbench trace --step 1 backend=numpy,torch epochs=1`.
    """
    from nnbench.cli.progress import Display
    from nnbench.errors import ConfigError, NNBenchError
    from nnbench.records.lookup import discard, make_directory
    from nnbench.schema import archives
    from nnbench.sweeps.process import ask
    from nnbench.sweeps.side_by_side import side_by_side

    if step < 1:
        raise ConfigError(f"Received --step {step}; must be at least 1.")
    cells = side_by_side(overrides, None)
    config = cells[0].config
    path = Path(out) if out else make_directory(Path(config.results), "trace", "traces")
    path = path / f"step{step}.npz" if path.is_dir() else path
    try:
        with Display().work("trace") as work:
            said = ask("trace", cells, work, step=step, path=str(path))
    except NNBenchError:
        if not out:
            discard(path.parent)
        raise
    arrays = archives.arrays(path, archives.MOST_TENSORS)
    say(f"Step {step} of {said['architecture']}")
    for title, rows in _layers(said["layers"], arrays):
        say(f"\n{title}")
        say("\n".join(_lines(rows)))
    say(f"\nEvery array: {path}")
    return 0


def _layers(layers: Sequence[str], arrays: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """Group arrays by layer: title, rows of (what, backend, array), the input first."""
    backends = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    whats = list(dict.fromkeys(name.partition("/")[2] for name in arrays))
    found = [("input", [("input", b, arrays[f"{b}/input"]) for b in backends])]
    for i, layer in enumerate(layers):
        mine = [what for what in whats if what.startswith(f"{i}.")]
        rows = [
            (what.partition(".")[2].replace(".", " "), b, arrays[f"{b}/{what}"])
            for what in mine
            for b in backends
            if f"{b}/{what}" in arrays
        ]
        found.append((f"layer {i + 1}: {layer}", rows))
    return found


def _lines(rows: Sequence[tuple[str, str, Any]]) -> list[str]:
    """Return statistics and first values; of other backends also how far they are off."""
    import numpy as np

    several = len({backend for _, backend, _ in rows}) > 1
    width = max((len(backend) for _, backend, _ in rows), default=0)
    columns = ("mean", "std", "min", "max", *["off by"] * several)
    lines = [" " * (width + 4) + "".join(f"{name:>9}" for name in columns) + "  first values"]
    first: dict[str, Any] = {}
    for what, backend, array in rows:
        if what not in first:
            lines.append(f"  {what}, {'x'.join(map(str, array.shape))}")
        reference = first.setdefault(what, array)
        values = array.astype(np.float64)
        numbers = [_short(n) for n in (values.mean(), values.std(), values.min(), values.max())]
        if several:
            off = np.abs(values - reference).max()
            numbers.append("-" if reference is array else f"{off:.0e}")
        shown = " ".join(_short(n) for n in values.ravel()[: FIRST_VALUES - several])
        lines.append(
            f"    {backend:{width}}" + "".join(f"{text:>9}" for text in numbers) + f"  {shown}"
        )
    return lines


def _short(number: float) -> str:
    """Return a number in at most eight characters."""
    return f"{number:g}" if number == round(number) and abs(number) < 1e6 else f"{number:.1e}"
