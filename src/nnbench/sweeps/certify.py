"""Certificates for the runs of a sweep: are their figures right, and do its backends agree?"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnbench.config.run import Cell
from nnbench.errors import NNBenchError
from nnbench.formatting import count
from nnbench.records.certificate import Certificate, pairing
from nnbench.records.certifying import alone, certify, groups, rank
from nnbench.records.figures import Figures
from nnbench.records.folder import Folder
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.schema.progress import Tell, nobody, part
from nnbench.sweeps.process import ask, complaint, run_module
from nnbench.sweeps.session import PARITY_NAME, Session


def certify_runs(
    session: Session, cells: Sequence[Cell], runs: Sequence[RunResult], tell: Tell = nobody
) -> list[RunResult]:
    """Give every finished run its certificate, those that have theirs excepted; return all runs."""
    by_config = {deciding(cell.values): cell for cell in cells}
    figures = {run.run_id: _known(run) for run in runs}
    compared = groups(runs)
    todo = [group for group in compared if not all(map(_is_compared, group[1:]))]
    again = {run.run_id for group in todo for run in group[1:] if not _is_compared(run)}
    fresh = [
        run
        for run in runs
        if run.status == "finished" and (figures[run.run_id] is None or run.run_id in again)
    ]
    if not fresh:
        return list(runs)
    more = f", {count(len(todo), 'extra run')} for agreement" if todo else ""
    session.observer.say(
        f"Checking the figures of {count(len(fresh), 'run')}{more} (skip with parity=false)"
    )
    figures |= recomputed(fresh, part(tell, 0.0, 0.2 if todo else 1.0))
    found = {run.run_id: alone(run, _of(figures, run)) for run in fresh}
    wrong = [run for run in runs if (f := figures[run.run_id]) is not None and f.wrong]
    certifiable = [
        (group[0], others)
        for group in groups([run for run in runs if run not in wrong] + wrong)
        if (others := [run for run in group[1:] if run.run_id in again])
    ]
    for i, (reference, others) in enumerate(certifiable):
        start, end = (0.2 + 0.8 * (i + k) / len(certifiable) for k in range(2))
        telling = part(tell, start, end)
        found |= _compared(session, by_config, reference, others, figures, telling)
    certified = {run.run_id: run for run in runs}
    for run in fresh:
        certified[run.run_id] = session.certify(run, found[run.run_id].as_data())
    return [certified[run.run_id] for run in runs]


def twins(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells among `cells`, all to be run, that will be run again for a certificate."""
    found: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.config.parity and cell.config.semantics == "matched":
            found[pairing(cell.values)].append(cell)
    return [
        min(group, key=lambda cell: rank(cell.values["backend"]))
        for group in found.values()
        if len({json.dumps(cell.values["backend"], sort_keys=True) for cell in group}) > 1
    ]


def recomputed(runs: Sequence[RunResult], tell: Tell = nobody) -> dict[str, Figures]:
    """Return, by id, what the figures of finished runs come to, recomputed in a fresh process."""
    folders = {str(run.directory): run.run_id for run in runs}
    line = json.dumps({"runs": list(folders)})
    done = run_module("nnbench.training.recompute", [], [Cell(runs[0].config).config], line, tell)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        failed = Figures(unchecked=f"the process for them failed: {complaint(done)}")
        return dict.fromkeys(folders.values(), failed)
    return {run_id: Figures.of_data(said[folder]) for folder, run_id in folders.items()}


def _known(run: RunResult) -> Figures | None:
    """Return what the figures of a run came to before; None where that is open."""
    said = (run.parity or {}).get("figures")
    return Figures.of_data(said) if said and said["unchecked"] is None else None


def _is_compared(run: RunResult) -> bool:
    return bool(_known(run) and run.parity and run.parity["reference"])


def _of(figures: dict[str, Figures | None], run: RunResult) -> Figures:
    found = figures[run.run_id]
    assert found is not None
    return found


def _compared(
    session: Session,
    by_config: dict[str, Cell],
    reference: RunResult,
    others: Sequence[RunResult],
    figures: dict[str, Figures | None],
    tell: Tell,
) -> dict[str, Certificate]:
    """Return, by id, the certificates of `others` against `reference` and its perturbed twin."""
    cell = by_config[deciding(reference.config)]
    found = {}
    try:
        nudged = _nudged(session, cell, reference, tell)
    except NNBenchError as error:
        return {run.run_id: alone(run, _of(figures, run), str(error)) for run in others}
    for run in others:
        try:
            certificate = certify(reference, nudged, run, _of(figures, run))
            other = by_config[deciding(run.config)]
            found[run.run_id] = _located(certificate, cell, other)
        except NNBenchError as error:
            found[run.run_id] = alone(run, _of(figures, run), str(error).rstrip("."))
    return found


def _nudged(session: Session, cell: Cell, reference: RunResult, tell: Tell) -> RunResult:
    """Return the twin of `reference` that starts one ulp away: an earlier one, or a new one."""
    runs = Folder(Path(cell.config.results), PARITY_NAME).runs()
    twins = [run for run in runs if run.fingerprint == reference.fingerprint]
    for run in twins:
        if run.status == "finished":
            return run
    stopped = [run for run in twins if run.status == "killed"]
    return session.run_nudged(cell, stopped[-1] if stopped else None, tell)


def _located(certificate: Certificate, reference: Cell, other: Cell) -> Certificate:
    """Return the certificate; where backends part, that of all weights, with step and layer.

    Side by side rounding is measured more closely, and a run that stays within that has not parted.
    They may not part there, or not run at all: the epoch is then all there is.
    """
    epoch = certificate.parted_epoch
    if epoch is None:
        return certificate
    if _part_by_rounding(certificate, reference, other):
        return replace(certificate, by_rounding=True)
    for epochs in (epoch + 1, len(certificate.epochs)):
        try:
            said = ask("parity", [reference, other], epochs=epochs)
        except NNBenchError:
            return certificate
        whole = Certificate.of_data(said["certificates"][0])
        if whole.place:
            return replace(whole, figures=certificate.figures)
        certificate = certificate.widened(whole)
        if certificate.parted_epoch in (None, epoch):
            return certificate
    return certificate


def _part_by_rounding(certificate: Certificate, reference: Cell, other: Cell) -> bool:
    """Tell whether two that part in float32, though not in the first steps, agree in float64.

    In float32 a unit may pass the kink of a ReLU on one side alone. Who computes something else
    does so in float64 too, and who computes more coarsely parts in the first steps.
    """
    epoch = certificate.parted_epoch
    if epoch is None or not certificate.may_be_rounding:
        return False
    both = [Cell(cell.values | {"dtype": "float64"}) for cell in (reference, other)]
    try:
        said = ask("parity", both, epochs=epoch + 1)
    except NNBenchError:
        return False
    whole = Certificate.of_data(said["certificates"][0])
    return whole.outcome == "agrees" and whole.compared_epochs == epoch + 1
