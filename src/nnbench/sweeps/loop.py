"""What a sweep does with each cell: take what is finished, go on with what was stopped, run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnbench.config.run import Cell
from nnbench.errors import ConfigError, NNBenchError, RunBusy
from nnbench.records.certificate import Certificate, certify, groups
from nnbench.records.identity import deciding
from nnbench.records.locks import Claim
from nnbench.records.lookup import find_weights
from nnbench.records.run import Folder, RunResult
from nnbench.sweeps.plan import Planner, Step
from nnbench.sweeps.process import ask_side_by_side
from nnbench.sweeps.session import ANYWHERE, PARITY_NAME, Place, Session
from nnbench.tracking.state import has_all


@dataclass(frozen=True)
class Asked:
    """What the command line asks for besides cells: `--fresh`, `--plan`."""

    fresh: bool = False
    plan: bool = False


def checked_plan(cells: Sequence[Cell], asked: Asked) -> tuple[Planner, list[Step]]:
    """Look every cell up. Raises ConfigError, with the reasons, where some are impossible."""
    planner = planner_for(cells, asked)
    steps = planner.plan(cells)
    reasons = dict.fromkeys(str(step.reason) for step in steps if step.state == "impossible")
    if reasons:
        raise ConfigError(" ".join(reasons))
    return planner, steps


def planner_for(cells: Sequence[Cell], asked: Asked) -> Planner:
    """Return what looks the cells up. Raises ConfigError where they do not agree on where."""
    if not cells:
        raise ConfigError("This sweep has no run: what its pattern asks for does not exist.")
    for key in ("results", "tracking", "launcher", "order", "on_error"):
        if any(getattr(cell.config, key) != getattr(cells[0].config, key) for cell in cells):
            raise ConfigError(f"A sweep has one {key}; received several. Make them two sweeps.")
    return Planner(Path(cells[0].config.results), asked.fresh)


def is_complete(step: Step) -> bool:
    """Tell whether nothing is to be done for a cell: it is finished, and MLflow has all of it."""
    if step.state != "finished" or step.run is None:
        return False
    config = step.cell.config
    local = config.tracking.name == "local"
    return local or has_all(step.run, config.tracking, Path(config.results))


def run_or_take_up(
    cell: Cell, planner: Planner, session: Session, place: Place = ANYWHERE
) -> RunResult:
    """Return the finished run of `cell`, go on with the stopped one, or run it.

    Raises RunBusy while another process is at it.
    """
    results = Path(cell.config.results)
    step = planner.look(cell)
    if step.run is not None and is_complete(step):
        return step.run
    claim = Claim(results, planner.fingerprint(cell))
    if not claim.take():
        raise RunBusy(f"Another process is at a run like this in {results}.")
    try:
        step = planner.look(cell)
        if step.state == "finished":
            assert step.run is not None
            return step.run if is_complete(step) else session.mirror(step.run)
        if step.state == "running":
            raise RunBusy(f"Another process is at a run like this in {results}.")
        stopped = step.run if step.state == "stopped" else None
        return session.run(cell, stopped=stopped, place=place)
    finally:
        claim.release()


def certify_runs(
    session: Session,
    cells: Sequence[Cell],
    runs: Sequence[RunResult],
    say: Callable[[str], None],
) -> list[RunResult]:
    """Give every run that has a matched counterpart its parity certificate; return all runs."""
    certified = {run.run_id: run for run in runs}
    by_config = {deciding(cell.values): cell for cell in cells}
    todo = [group for group in groups(runs) if not all(run.parity for run in group[1:])]
    if todo:
        plural = "s" * (len(todo) > 1)
        say(f"certifying that backends agree: {len(todo)} more run{plural} (parity=false: none)")
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
            say(f"no parity certificate: {error}")
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
