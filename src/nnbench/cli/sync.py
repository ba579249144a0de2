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
    """Have MLflow show the recorded runs, or the RUNs named, as they are on record: upload what is
    missing, correct what is other, delete duplicates. Asked twice, nothing changes.
    """
    from nnbench.records.folder import Folder
    from nnbench.records.lookup import recorded
    from nnbench.tracking.download import check_uri
    from nnbench.tracking.quiet import StoreError
    from nnbench.tracking.sync import sync

    if uri is not None:
        check_uri(uri, reading=False)
    known = Folder(results)
    chosen = [recorded(word, results) for word in runs] or known.runs()
    for problem in known.problems:
        say(f"left out: {problem}", err=True)
    errors: dict[str, int] = {}
    done = 0
    try:
        for run, said in sync(chosen, results, uri, experiment, everything or bool(runs)):
            if "error" in run.tracking:
                line = run.tracking["error"]
                errors[line] = errors.get(line, 0) + 1
            elif said:
                done += 1
                say(f"{run.shown} ({run.run_id}): {'; '.join(said)}")
    except StoreError as error:
        errors[str(error)] = 1
    for line, times in errors.items():
        of = f" ({times} runs)" if times > 1 else ""
        say(f"nnbench: {line}{of}", err=True)
    if not (done or errors):
        say("Nothing is missing in MLflow: nothing to do.")
    return 1 if errors else 0
