"""Certificates for the runs of a sweep: do its backends agree, to rounding?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.records.certificate import Certificate, certify, groups
from nnbench.records.folder import Folder
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.sweeps.process import ask
from nnbench.sweeps.session import PARITY_NAME, Session


def certify_runs(
    session: Session, cells: Sequence[Cell], runs: Sequence[RunResult]
) -> list[RunResult]:
    """Give every run that has a matched counterpart its parity certificate; return all runs."""
    certified = {run.run_id: run for run in runs}
    by_config = {deciding(cell.values): cell for cell in cells}
    todo = [group for group in groups(runs) if not all(run.parity for run in group[1:])]
    if todo:
        session.observer.say(
            f"Checking agreement: {len(todo)} extra run{'s' * (len(todo) > 1)} "
            "(skip with parity=false)"
        )
    for group in todo:
        reference, others = group[0], [run for run in group[1:] if not run.parity]
        cell = by_config[deciding(reference.config)]
        try:
            nudged = _nudged(session, cell, reference)
            for run in others:
                certificate = certify(reference, nudged, run)
                other = by_config[deciding(run.config)]
                data = _located(certificate, cell, other)
                certified[run.run_id] = session.certify(run, data)
        except NNBenchError as error:
            session.observer.say(f"No parity certificate: {error}")
    return [certified[run.run_id] for run in runs]


def _nudged(session: Session, cell: Cell, reference: RunResult) -> RunResult:
    """Return the twin of `reference` that starts one ulp away: an earlier one, or a new one."""
    runs = Folder(Path(cell.config.results), PARITY_NAME).runs()
    twins = [run for run in runs if run.fingerprint == reference.fingerprint]
    for run in twins:
        if run.status == "finished":
            return run
    stopped = [run for run in twins if run.status == "killed"]
    return session.run_nudged(cell, stopped[-1] if stopped else None)


def _located(certificate: Certificate, reference: Cell, other: Cell) -> dict[str, Any]:
    """Return the certificate as data; where backends part, look for the first step and layer."""
    if certificate.verdict.parted is None:
        return certificate.as_data() | {"text": str(certificate)}
    epochs = certificate.verdict.parted + 1
    both = [Cell(cell.values | {"epochs": epochs}) for cell in (reference, other)]
    said = ask("parity", both)["certificates"][0]
    found = replace(certificate, step=said["parted_step"], layer=said["parted_layer"])
    return found.as_data() | {"text": str(found)}
