"""`nnbench import FILE:FUNCTION --as NAME`: a program's net as options of runs and sweeps."""  # noqa: N999 - a word of the command line

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nnbench.cli import options


@click.command()
@click.argument("program", metavar="FILE:FUNCTION")
@options.overrides
@click.option("--as", "name", required=True, help="The name of the options.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("own"),
    show_default=True,
    help="A folder for --config-dir.",
)
def command(program: str, overrides: Sequence[str], name: str, into: Path) -> int:
    """Read a program of PyTorch or Keras, prove that it was understood, and write its layers, loss,
    optimizer and learning rates as options, so that it joins sweeps on every backend. As in
    `nnbench import model.py:build --as mine`, then `nnbench --config-dir own arch=mine loss=mine
    optimizer=mine schedule=mine`. OVERRIDES say what it is read and proved on, as data=cifar10.
    """
    import shlex

    from nnbench.reporting.pages.screen import say
    from nnbench.sweeps.importing import import_program

    found = import_program(program, name, overrides, into)
    reading, proof = found.program.reading, found.program.proof
    for unknown in reading.unknown:
        line = f" (line {unknown.place.line})" if unknown.place and unknown.place.line else ""
        say(f"not understood: {unknown.text}{line}", err=True)
    if not found.paths:
        if proof is not None:
            say(f"not proved: {proof}", err=True)
        say(f"nnbench: {program} is not understood; nothing is written.", err=True)
        return 2
    for path in found.paths:
        say(path)
    if reading.frozen:
        say(f"Without effect here: {', '.join(reading.frozen)} do not learn in the program.")
    say(shlex.join(["nnbench", "--config-dir", str(into), *found.words]))
    return 0
