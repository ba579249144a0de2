"""`nnbench rm RUN...`: delete recorded runs, in MLflow too."""

from __future__ import annotations

from pathlib import Path

import click

from nnbench.cli import options
from nnbench.errors import ResultsError
from nnbench.formatting import count
from nnbench.reporting.pages.screen import say


@click.command()
@click.argument("runs", nargs=-1, required=True)
@options.results
@click.option("--yes", is_flag=True, help="skip the confirmation")
def command(runs: tuple[str, ...], results: Path, yes: bool) -> int:
    """Delete recorded runs (name, id or folder), and what MLflow has of them."""
    from nnbench.records.deletion import delete
    from nnbench.records.lookup import recorded
    from nnbench.tracking.sync import forgetting

    found = {run.directory: run for run in (recorded(word, results) for word in runs)}
    for run in found.values():
        if run.status == "running":
            raise ResultsError(f"{run.shown} ({run.run_id}) is running; stop it first.")
    for run in found.values():
        epochs = count(len(run.epochs), "epoch")
        say(f"{run.shown} ({run.run_id}): {run.status}, {epochs}, {run.directory}")
    if not yes and not _confirmed(f"Delete {count(len(found), 'run')}?"):
        return 0
    with forgetting() as forget:
        for run in found.values():
            for line in delete(run, forget):
                say(f"nnbench: {line}", err=True)
    return 0


def _confirmed(question: str) -> bool:
    """Ask; raise ResultsError where nobody can answer."""
    try:
        return click.confirm(question)
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            say("")
            reason = "There is no answer, and nothing is deleted; --yes asks nothing."
            raise ResultsError(reason) from None
        raise
