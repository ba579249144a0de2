"""`nnbench diagnose A B`: two programs that should be one model, and why they are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nnbench.cli import options


@click.command()
@click.argument("first", metavar="A")
@click.argument("last", metavar="B")
@click.argument("overrides", nargs=-1)
@click.option("--seeds", default=3, show_default=True, help="How many; the first is seed=0.")
@click.option("--json", "as_json", is_flag=True, help="Print the diagnosis as JSON.")
@click.option(
    "--write", "mended", type=click.Path(path_type=Path), help="Folder of side B, mended."
)
@options.results
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: RESULTS/diagnose]")
def command(
    first: str,
    last: str,
    overrides: Sequence[str],
    seeds: int,
    as_json: bool,
    mended: Path | None,
    results: Path,
    out: Path | None,
) -> int:
    """Say why two programs give different results: read both, prove that they were understood,
    name what differs, say how much of the gap each difference explains, and how to mend it. A and B
    are programs, FILE:FUNCTION, whose function returns (model, optimizer, loss) of PyTorch, with a
    scheduler perhaps, or a compiled Keras model; one of them may be a recorded run or a
    configuration in quotes. As in `nnbench diagnose torch_side.py:build keras_side.py:build`.
    OVERRIDES say what both are trained on: mnist_5k, 1,000 samples, batches of 32, 3 epochs.
    """
    import json

    from nnbench.cli.progress import Display
    from nnbench.reporting.diagnosis.asking import ask
    from nnbench.reporting.pages.screen import Screen, say

    console = Screen(stderr=as_json)
    folder = out or results / "diagnose"
    found = ask(first, last, overrides, seeds, results, folder, Display(console))
    if mended is not None:
        for path in found.write_mended(mended):
            say(path, err=as_json)
    if as_json:
        say(json.dumps(found.as_data(), indent=1))
    else:
        from nnbench.reporting.pages.diagnosis import screen

        console.print(screen(found))
        say(found.write(folder))
    return 0 if found.understood else 2
