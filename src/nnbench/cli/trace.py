"""`nnbench trace ARGS --step K`: one training step, layer by layer, backends side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say

FIRST_VALUES, MOST_LABELS = 3, 20


@click.command()
@click.option("--step", default=1, show_default=True, help="Which step of the run, from 1.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write all arrays here (npz).")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page here that plays the step forward and back, and lets you guess numbers.",
)
@options.overrides
def command(step: int, out: str | None, html: Path | None, overrides: Sequence[str]) -> int:
    """Show one step of training layer by layer: what goes through it, the weights, the loss, the
    gradients, the updates; as in `nnbench trace --step 1 backend=numpy,torch epochs=1`.
    """
    from nnbench.cli.progress import Display
    from nnbench.errors import ConfigError, NNBenchError
    from nnbench.records.lookup import discard, make_directory
    from nnbench.schema import archives
    from nnbench.sweeps.process import ask
    from nnbench.sweeps.side_by_side import side_by_side
    from nnbench.writing import write

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
    if html:
        from nnbench.reporting.pages.trace import page

        try:
            write(html, page(said, arrays).encode())
        except OSError as error:
            raise ConfigError(f"Cannot write --html {html}: {error.strerror}.") from None
        say(f"\nThe step as a page: {html}")
    say(f"{'' if html else chr(10)}Every array: {path}")
    return 0


def _layers(layers: Sequence[str], arrays: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """Group arrays by layer: title, rows of (what, backend, array), the input first."""
    backends = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    whats = list(dict.fromkeys(name.partition("/")[2] for name in arrays))

    def rows(names: Sequence[str]) -> list[Any]:
        """Return the rows of these arrays; of a layer, without its number."""
        return [
            (_said(what), b, arrays[f"{b}/{what}"])
            for what in names
            for b in backends
            if f"{b}/{what}" in arrays
        ]

    found = [("input", rows(["input", "labels"]))]
    for i, layer in enumerate(layers):
        mine = [what for what in whats if what.startswith(f"{i}.")]
        found.append((f"layer {i + 1}: {layer}", rows(sorted(mine, key=_place))))
    return [*found, ("loss", rows(["prediction", "losses", "loss"]))]


def _said(what: str) -> str:
    """Return `kernel gradient` for `2.kernel.gradient`."""
    number, _, name = what.partition(".")
    return (name if number.isdigit() else what).replace(".", " ")


def _place(what: str) -> int:
    """Return where a layer's array comes: on the way forward, back, then the update."""
    ends = ("output", "output.gradient", "gradient", "update")
    name = what.partition(".")[2]
    if name in ends:
        return 2 * ends.index(name) + 1
    return next((2 * i for i, end in enumerate(ends) if name.endswith(f".{end}")), 0)


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
            lines.append(f"  {what}, {'x'.join(map(str, array.shape)) or 'one number'}")
        reference = first.setdefault(what, array)
        if what == "labels" and array.dtype.kind in "iu":
            more = " ..." if len(array) > MOST_LABELS else ""
            labels = " ".join(str(label) for label in array.ravel()[:MOST_LABELS])
            lines.append(f"    {backend:{width}}  {labels}{more}")
            continue
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
