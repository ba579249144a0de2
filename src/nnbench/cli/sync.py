"""`nnbench sync`: bring to MLflow what it lacks of the recorded runs."""

from __future__ import annotations

from pathlib import Path

import click

from nnbench.cli import options
from nnbench.reporting.pages.screen import say


@click.command()
@click.argument("runs", nargs=-1)
@options.results
@click.option("--uri", help="to this server or database  [default: each run's own]")
@click.option("--experiment", help="into this experiment  [default: each run's own]")
@click.option("--all", "everything", is_flag=True, help="include runs recorded with tracking=local")
def command(
    runs: tuple[str, ...],
    results: Path,
    uri: str | None,
    experiment: str | None,
    everything: bool,
) -> int:
    """Upload what MLflow lacks of the recorded runs: those that a server did not take, or the RUNs
    named. What is there already is not uploaded again.
    """
    from nnbench.records.folder import Folder
    from nnbench.records.lookup import recorded
    from nnbench.tracking.sync import missing, upload

    folder = results
    known = Folder(folder)
    chosen = [recorded(word, folder) for word in runs] or known.runs()
    for problem in known.problems:
        say(f"left out: {problem}", err=True)
    waiting = missing(chosen, folder, uri, experiment, everything or bool(runs))
    done = failed = 0
    for run in upload(waiting, folder):
        if "error" in run.tracking:
            failed += 1
            say(f"nnbench: {run.shown} ({run.run_id}): {run.tracking['error']}", err=True)
        else:
            done += 1
            say(f"{run.shown} ({run.run_id}): in MLflow")
    if not waiting:
        say("Nothing is missing in MLflow.")
    return 1 if failed else 0
