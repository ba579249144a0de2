"""`nnbench doctor`: what is usable on this machine, and the remedy for what is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from nnbench.cli.doctor import checkup, probe
from nnbench.cli.doctor.checkup import Finding
from nnbench.reporting.pages.screen import Screen

PROBE_SECONDS = 4.5  # the whole report stays under six seconds
PLAIN_WIDTH = 400
STYLES = {"OK": "green", "--": "dim", "!!": "bold red"}


@click.command()
@click.option("--results", default="results", show_default=True, help="the results folder")
def command(results: str) -> int:
    """Say what is usable on this machine, and the remedy for what is not."""
    return doctor(Path(results))


def doctor(results: Path) -> int:
    """Print what is usable here; return 0 when a run with no arguments can work, else 1."""
    report = examine(results)
    show(report, Screen(highlight=False))
    return 1 if checkup.lacking(chain(*report.values())) else 0


def examine(results: Path) -> dict[str, list[Finding]]:
    """Return the findings by section; the frameworks are asked while the rest is looked at."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        names = [*probe.PROBES, *checkup.from_elsewhere()]
        asked = pool.submit(probe.ask, names, seconds=PROBE_SECONDS)
        python = checkup.python_and_packages()
        data = checkup.data_sets()
        kept = checkup.results_folder(results)
        answers = asked.result()
    report = {
        "Python": python,
        "Backends": checkup.backends(answers),
        "Devices": checkup.devices(answers),
        "BLAS and threads": checkup.blas_and_threads(answers["numpy"]),
        "Data sets": data,
        "Results": kept,
        "Plug-ins": checkup.plugins(answers),
    }
    return {name: each for name, each in report.items() if each or name != "Plug-ins"}


def show(report: dict[str, list[Finding]], console: Screen) -> None:
    """Print one table for all sections; where not on a terminal plain, no line broken."""
    table = _table(report)
    if console.is_terminal:
        console.print(table)
    else:
        console.width = PLAIN_WIDTH
        with console.capture() as captured:
            console.print(table)
        lines = [line.rstrip() for line in captured.get().splitlines()]
        console.print("\n".join(lines), markup=False)
    console.print()
    console.print(_verdict(report))


def _table(report: dict[str, list[Finding]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    table.add_column("remedy", overflow="fold")
    for section, findings in report.items():
        table.add_row()
        table.add_row("", Text(section, style="bold"))
        for finding in findings:
            table.add_row(
                Text(finding.mark, style=STYLES[finding.mark]),
                Text(finding.subject),
                Text(finding.found),
                Text(finding.remedy),
            )
    return table


def _verdict(report: dict[str, list[Finding]]) -> Text:
    if lacking := checkup.lacking(chain(*report.values())):
        return Text(f"`nnbench` cannot run yet; see the remedy for: {', '.join(lacking)}.")
    return Text("`nnbench` can run. OK: usable, --: not here and not needed, !!: worth a look.")
