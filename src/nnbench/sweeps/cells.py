"""What happens to a cell: a finished run is taken, a stopped one resumed, else it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nnbench.config.run import Cell, check_shared
from nnbench.errors import ConfigError, RunBusy
from nnbench.records.locks import Claim
from nnbench.records.run import RunResult
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody
from nnbench.sweeps.plan import Planner, Step
from nnbench.sweeps.session import ANYWHERE, Place, Session
from nnbench.tracking.store import has_all


@dataclass(frozen=True)
class Asked:
    """What is asked for besides cells: to run all of them (`--fresh`), or none (`--plan`)."""

    fresh: bool = False
    plan: bool = False


AS_USUAL = Asked()


def checked_plan(
    cells: Sequence[Cell], asked: Asked, tell: Tell = nobody
) -> tuple[Planner, list[Step]]:
    """Look every cell up. Raises ConfigError, with the reasons, where some are impossible."""
    planner = planner_for(cells, asked)
    steps = planner.plan(cells, tell)
    reasons = dict.fromkeys(str(step.reason) for step in steps if step.state == "impossible")
    if reasons:
        raise ConfigError(" ".join(reasons))
    return planner, steps


def planner_for(cells: Sequence[Cell], asked: Asked) -> Planner:
    """Return what looks the cells up. Raises ConfigError where they do not agree on where."""
    if not cells:
        raise ConfigError("This sweep has no runs: nothing matches its pattern.")
    check_shared(cells)
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
    busy = RunBusy(f"Another process is already running this configuration in {results}.")
    if not claim.take():
        raise busy
    try:
        step = planner.look(cell)
        if step.state == "finished":
            assert step.run is not None
            return step.run if is_complete(step) else session.mirror(step.run)
        if step.state == "running":
            raise busy
        stopped = step.run if step.state == "stopped" else None
        return session.run(cell, stopped=stopped, place=place)
    finally:
        claim.release()
