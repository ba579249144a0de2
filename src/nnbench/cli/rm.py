"""`nnbench rm RUN...`: delete recorded runs, in MLflow too."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from nnbench.cli import options
from nnbench.errors import ResultsError
from nnbench.formatting import count


@click.command()
@click.argument("runs", nargs=-1, required=True)
@options.results
@click.option("--yes", is_flag=True, help="skip the confirmation")
def command(runs: tuple[str, ...], results: Path, yes: bool) -> int:
    """Delete recorded runs (name, id or folder), and what MLflow has of them."""
    from nnbench.records.lookup import recorded
    from nnbench.tracking.sync import forget

    found = {run.run_id: run for run in (recorded(word, results) for word in runs)}
    for run in found.values():
        if run.status == "running":
            raise ResultsError(f"{run.name} ({run.run_id}) is running; stop it first.")
    for run in found.values():
        epochs = count(len(run.epochs), "epoch")
        click.echo(f"{run.name} ({run.run_id}): {run.status}, {epochs}, {run.directory}")
    if not yes and not click.confirm(f"Delete {count(len(found), 'run')}?"):
        return 0
    for run in found.values():
        for line in forget(run):
            click.echo(f"nnbench: {line}", err=True)
        assert run.directory is not None
        try:
            shutil.rmtree(run.directory)
        except OSError as error:
            raise ResultsError(f"Cannot delete {run.directory}: {error.strerror}.") from None
    return 0
