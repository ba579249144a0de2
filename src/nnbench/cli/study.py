"""`nnbench study NAME`: every case of a published comparison, in the order of their needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from nnbench.errors import ConfigError


@click.command(
    help="Run every case of a study and print published against measured. OVERRIDES apply to "
    "each case, as in data=mnist_5k epochs=10.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("name", required=False)
@click.argument("overrides", nargs=-1)
def command(name: str | None, overrides: Sequence[str]) -> int:
    """Run a study, or list the studies."""
    from nnbench.config.studies import read_study, studies
    from nnbench.schema import suggest

    known = studies()
    if name is None:
        for each in known:
            click.echo(f"{each}: {read_study(each)['title']}")
        return 0
    if name not in known:
        raise ConfigError(
            f"Received study {name}; there is {', '.join(known)}{suggest(name, known)}"
        )
    study = read_study(name)
    run = _run_operations if "operations" in study else _run
    return run(name, study, list(overrides))


def _run_operations(name: str, study: Any, overrides: list[str]) -> int:
    """Time the operations of a study side by side; overrides may set dtype or threads."""
    from rich.console import Console

    from nnbench.cli.ops import measured_once
    from nnbench.reporting.pages.operations import published_table

    times = measured_once(name, study, overrides)
    Console().print(published_table(study, times))
    return 0


def _run(name: str, study: Any, overrides: list[str]) -> int:
    from datetime import datetime

    from rich.console import Console

    from nnbench.cli.sweep import check_all_ran, run_sweep
    from nnbench.config.composition import compose
    from nnbench.records.run import RunResult
    from nnbench.reporting.claims.study import cases_of, study_table

    cells = [compose([f"experiment={name}/{case}", *overrides]) for case in cases_of(study)]
    console = Console()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    runs: list[RunResult] = []
    failures = run_sweep(cells, f"{name}-{stamp}", console, runs)
    console.print(study_table(name, study, runs))
    check_all_ran(len(cells), failures, runs)
    return 0
