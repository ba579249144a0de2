"""`nnbench rm RUN...`: delete recorded runs, in MLflow too."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from nnbench.cli import options
from nnbench.errors import ResultsError


@click.command(help="Delete recorded runs (name, id or folder), and what MLflow has of them.")
@click.argument("runs", nargs=-1, required=True)
@options.results
@click.option("--yes", is_flag=True, help="do not ask")
def command(runs: tuple[str, ...], results: Path, yes: bool) -> int:
    """Delete after asking; a run that somebody is at stays."""
    from nnbench.records.lookup import recorded
    from nnbench.tracking.sync import forget

    found = {run.run_id: run for run in (recorded(word, results) for word in runs)}
    for run in found.values():
        if run.status == "running":
            raise ResultsError(f"{run.name} ({run.run_id}) is running; stop it first.")
    for run in found.values():
        epochs = f"{len(run.epochs)} epoch{'s' * (len(run.epochs) != 1)}"
        click.echo(f"{run.name} ({run.run_id}): {run.status}, {epochs}, {run.directory}")
    if not yes and not click.confirm(f"Delete {len(found)} run{'s' * (len(found) > 1)}?"):
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
