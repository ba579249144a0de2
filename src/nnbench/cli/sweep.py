"""Run one cell or many, show them, and say how it ended."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from nnbench.certificate import Certificate, certify, groups
from nnbench.cli.progress import Display
from nnbench.compose import Cell
from nnbench.errors import ConfigError, NNBenchError, SweepFailed
from nnbench.init import FromRun
from nnbench.isolate import ask_side_by_side
from nnbench.record import RunResult
from nnbench.report.tables import comparison, summary
from nnbench.session import Session, check_packages, find_weights, open_sink


def run_cells(cells: Sequence[Cell], sweep: str | None) -> None:
    """Run `cells` and print a summary or, in a sweep, a comparison.

    A single run's error is raised; in a sweep it is shown at once, the rest goes on, and
    SweepFailed is raised at the end.
    """
    console = Console()
    if sweep is None:
        _run_one(cells[0], console)
        return
    runs: list[RunResult] = []
    try:
        failures = run_sweep(cells, sweep, console, runs)
    finally:  # after Ctrl-C too: what is done is worth seeing
        if runs:
            console.print(comparison(runs))
    check_all_ran(len(cells), failures)


def check_all_ran(cells: int, failures: int) -> None:
    """Raise SweepFailed where some did not."""
    if failures:
        raise SweepFailed(f"{failures} of {cells} runs failed (see above)")


def run_sweep(cells: Sequence[Cell], sweep: str, console: Console, runs: list[RunResult]) -> int:
    """Run `cells` in a good order, adding each record to `runs`; return how many failed."""
    if not cells:
        raise ConfigError("This sweep has no run: what its pattern asks for does not exist.")
    for cell in cells:
        check_packages(cell.config)
    _check_one_place(cells)
    cells = arrange(cells)
    failures = 0
    display = Display(console, total=len(cells))
    shared = set.intersection(*(set(cell.overrides) for cell in cells))
    with open_sink(cells[0].config) as sink, display:
        session = Session(display, sink, sweep, unnamed=shared)
        for cell in cells:
            try:
                runs.append(session.run(cell))
            except NNBenchError as error:
                failures += 1
                display.failed(cell, error)
        if cells[0].config.parity:
            runs[:] = certify_runs(session, cells, runs)
    _warn_of_tracking(runs)
    return failures


def certify_runs(
    session: Session, cells: Sequence[Cell], runs: Sequence[RunResult]
) -> list[RunResult]:
    """Give every run that has a matched counterpart its parity certificate; return all runs."""
    certified = {run.run_id: run for run in runs}
    for group in groups(runs):
        reference = group[0]
        cell = next(c for c in cells if c.values == reference.config)
        try:
            nudged = session.run_nudged(cell)
            for run in group[1:]:
                certificate = certify(reference, nudged, run)
                other = next(c for c in cells if c.values == run.config)
                data = _located(certificate, cell, other)
                certified[run.run_id] = session.certify(run, data)
        except NNBenchError as error:
            print(f"nnbench: no parity certificate: {error}", file=sys.stderr)
    return [certified[run.run_id] for run in runs]


def _located(certificate: Certificate, reference: Cell, other: Cell) -> dict[str, Any]:
    """Return the certificate as data; where backends part, look for the first step and layer."""
    if certificate.verdict.parted is None:
        return certificate.as_data() | {"text": str(certificate)}
    epochs = certificate.verdict.parted + 1
    weights = find_weights(reference.config)
    job = {
        "what": "parity",
        "values": [cell.values | {"epochs": epochs} for cell in (reference, other)],
        "weights": str(weights) if weights else None,
    }
    said = ask_side_by_side([reference.config, other.config], job)["certificates"][0]
    found = replace(
        certificate,
        step=said["parted_step"],
        layer=said["parted_layer"],
    )
    return found.as_data() | {"text": str(found)}


def _check_one_place(cells: Sequence[Cell]) -> None:
    """Raise ConfigError where the cells of a sweep would be recorded in different places."""
    for key in ("results", "tracking"):
        if len({getattr(cell.config, key) for cell in cells}) > 1:
            raise ConfigError(f"A sweep has one {key}; received several. Make them two sweeps.")


def _run_one(cell: Cell, console: Console) -> None:
    display = Display(console, total=1, on_end=lambda run: console.print(summary(run)))
    with open_sink(cell.config) as sink, display:
        run = Session(display, sink).run(cell)
    _warn_of_tracking([run])


def _warn_of_tracking(runs: Sequence[RunResult]) -> None:
    """Say once per message that MLflow did not get a run; the results folder has it."""
    for message in dict.fromkeys(r.tracking["error"] for r in runs if "error" in r.tracking):
        print(f"nnbench: not in MLflow: {message}", file=sys.stderr)


def arrange(cells: Sequence[Cell]) -> list[Cell]:
    """Let backends alternate, and put each case after the one whose weights it takes."""
    lanes: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        lanes[cell.config.backend.label].append(cell)
    longest = max(len(lane) for lane in lanes.values())
    waiting = [lane[i] for i in range(longest) for lane in lanes.values() if i < len(lane)]
    arranged: list[Cell] = []
    while waiting:
        open_cases = {(c.config.case, c.config.seed) for c in waiting}
        ready = [c for c in waiting if (_needs(c), c.config.seed) not in open_cases]
        if not ready:
            raise NNBenchError("These cases start from each other's weights; break the circle.")
        arranged += ready
        waiting = [c for c in waiting if c not in ready]
    return arranged


def _needs(cell: Cell) -> str:
    """Return the case whose weights `cell` takes, or a word that is no case."""
    init = cell.config.init
    return init.run.removeprefix("case:") if isinstance(init, FromRun) else "-"
