"""What is there to do: each cell of a sweep is finished, stopped, new or impossible."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from nnbench import data
from nnbench.config.run import Cell, Order, RunConfig
from nnbench.errors import ConfigError, NNBenchError
from nnbench.model.init import FromRun
from nnbench.records import identity, machine, weights
from nnbench.records.folder import Folder
from nnbench.records.identity import deciding
from nnbench.records.lookup import find_weights
from nnbench.records.run import RunResult, Status
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, counted, nobody
from nnbench.sweeps.forecast import Costs, Estimate, kind
from nnbench.sweeps.order import counterbalanced
from nnbench.sweeps.session import check_packages
from nnbench.training.assembly import make_task

State = Literal["finished", "running", "stopped", "failed", "new", "impossible"]
# What the status of its latest record means for a cell; what comes first decides.
STATES: dict[Status, State] = {
    "finished": "finished", "diverged": "finished", "running": "running", "killed": "stopped",
    "failed": "failed",
}  # fmt: skip
SAME = ("backend", "seed", "batch_size", "case")  # in a run that was stopped and then changed
CHANGES = 3


@dataclass(frozen=True)
class Step:
    """One cell and how it stands: `run` is its latest record, if it has one.

    `reason` says why it is impossible, or which stopped run it is not; `waits_for` is the case
    whose weights it takes, where that is not finished.
    """

    cell: Cell
    state: State
    run: RunResult | None = None
    reason: str | None = None
    waits_for: str | None = None

    @property
    def epochs(self) -> int:
        """Return how many epochs are left."""
        done = len(self.run.epochs) if self.run and self.state == "stopped" else 0
        return max(0, self.cell.config.epochs - done)


class Planner:
    """Looks cells up among the runs of a results folder; `fresh`: as if there were none."""

    def __init__(self, results: Path, fresh: bool = False) -> None:
        self.folder, self.fresh = Folder(results), fresh
        self._prints: dict[str, str] = {}
        self._described = functools.cache(described)  # as long as a plan: sources may be edited

    def look(self, cell: Cell) -> Step:
        """Say how a cell stands, as of now. Raises NNBenchError where it cannot be."""
        self.folder.look()
        return self._stands(cell)

    def _stands(self, cell: Cell) -> Step:
        """Say how a cell stands, as of the last look."""
        if self.fresh:
            return Step(cell, "new")
        wanted = self.fingerprint(cell)
        latest = {STATES[run.status]: run for run in self.folder.of_fingerprint(wanted)}
        for state in STATES.values():
            if state in latest:
                return Step(cell, state, latest[state])
        return Step(cell, "new")

    def fingerprint(self, cell: Cell) -> str:
        """Return the fingerprint that a run of `cell` gets on this machine."""
        key = deciding(cell.values)
        if key not in self._prints:
            source = find_weights(cell.config)
            where = self.where(cell.config)
            outline = data.outline(cell.config.data, kind=cell.config.task, seed=cell.config.seed)
            self._prints[key] = identity.fingerprint(
                cell.values,
                where,
                outline.payload_digest,
                weights.weights_digest(weights.load_weights(source)) if source else None,
            )
        return self._prints[key]

    def where(self, config: RunConfig) -> dict[str, Any]:
        """Return what a run of `config` records of this machine."""
        backend = config.backend
        return self._described(backend.packages, config.device.name, backend.target)

    def plan(self, cells: Sequence[Cell], tell: Tell = nobody) -> list[Step]:
        """Check every cell and say how it stands; nothing is raised."""
        steps = []
        runs = [] if self.fresh else self.folder.runs()
        known = _Known(runs, {deciding(cell.values) for cell in cells})
        for cell in counted(cells, tell, "looking up run"):
            needed = _needs(cell)
            try:
                check(cell)
                source = _source(cells, needed, cell.config.seed)
                if source is not None and self._unfinished(source):
                    steps.append(Step(cell, "new", waits_for=needed))
                    continue
                step = self._stands(cell)
                if step.state == "new" and runs:
                    step = replace(step, reason=known.changed(cell, self.where(cell.config)))
                steps.append(step)
            except NNBenchError as error:
                steps.append(Step(cell, "impossible", reason=str(error)))
        return steps

    def _unfinished(self, cell: Cell) -> bool:
        try:
            return self._stands(cell).state != "finished"
        except NNBenchError:
            return True

    @functools.cached_property
    def costs(self) -> Costs:
        """Return what recorded runs on this kind of machine took."""
        found, cpu = Costs(), machine.cpu_name()
        for run in self.folder.runs():
            if run.machine.get("cpu") == cpu:
                found.learn(kind(run.config), run)
        return found

    def estimate(self, step: Step) -> Estimate | None:
        """Return how long what is left of a cell takes, None where that is unknown or nothing is.

        By runs on this kind of machine that differ in nothing that takes time.
        """
        cost = self.costs.of(kind(step.cell.values))
        if cost is None or step.state in ("finished", "impossible"):
            return None
        return Estimate(cost.seconds(step.epochs), step.epochs, cost)


class _Known:
    """Recorded runs by what they are much the same as; `asked` is what cells of the plan decide."""

    def __init__(self, runs: Sequence[RunResult], asked: set[str]) -> None:
        self._finished: dict[str, RunResult] = {}
        self._stopped: defaultdict[str, list[RunResult]] = defaultdict(list)
        for run in runs:
            decides = deciding(run.config)
            if STATES[run.status] == "finished":
                self._finished[decides] = run
            elif run.status == "killed" and decides not in asked:
                self._stopped[_same(run.config)].append(run)

    def changed(self, cell: Cell, where: dict[str, Any]) -> str | None:
        """Return what tells a new `cell` from a run on record that is much the same, if one is.

        That is a run of the same settings that is over, or a stopped one of almost the same;
        of several the latest. `where` is what a run of `cell` records of this machine.
        """
        if (run := self._finished.get(deciding(cell.values))) is not None:
            found = identity.differing(run.config, run.machine, cell.values, where)
            changes = ", ".join(found) or "other data"
            return f"not the finished one of the same settings: {changes}"
        for run in reversed(self._stopped[_same(cell.values)]):
            found = identity.differing(run.config, run.machine, cell.values, where)
            if len(found) <= CHANGES:
                changes = ", ".join(found) or "other data"
                return f"not the stopped {run.shown} ({run.run_id}): {changes}"
        return None


def _same(values: Mapping[str, Any]) -> str:
    return json.dumps([values.get(key) for key in SAME], sort_keys=True, default=str)


def check(cell: Cell) -> None:
    """Raise NNBenchError where packages are missing, or net, loss and data do not fit."""
    check_packages(cell.config)
    outline = data.outline(cell.config.data, kind=cell.config.task, seed=cell.config.seed)
    make_task(cell.config, outline)


def arrange(cells: Sequence[Cell], order: Order = "counterbalanced") -> list[Cell]:
    """Put cells into the order in which to run them.

    `counterbalanced`: seed by seed, so that a drift of the machine favours nobody (see
    `nnbench.sweeps.order`); `interleaved`: backends alternate, always the same one first; `random`
    shuffles by the first cell's seed. A case comes after the one whose weights it takes.
    """
    waiting = list(cells)
    if order == "counterbalanced":
        waiting = counterbalanced(cells)
    elif order == "interleaved":
        lanes: defaultdict[str, list[Cell]] = defaultdict(list)
        for cell in cells:
            lanes[cell.config.backend.label].append(cell)
        longest = max(len(lane) for lane in lanes.values())
        waiting = [lane[i] for i in range(longest) for lane in lanes.values() if i < len(lane)]
    elif order == "random":
        from nnbench.model.streams import generator

        chosen = generator(cells[0].config.seed, "sweep").permutation(len(cells))
        waiting = [cells[i] for i in chosen]
    arranged: list[Cell] = []
    while waiting:
        ready = [cell for cell in waiting if is_ready(cell, waiting)]
        if not ready:
            raise ConfigError("These cases start from each other's weights; break the circle.")
        arranged += ready
        taken = set(ready)
        waiting = [cell for cell in waiting if cell not in taken]
    return arranged


def is_ready(cell: Cell, unfinished: Sequence[Cell]) -> bool:
    """Tell whether no unfinished cell is the one whose weights `cell` takes."""
    return _source(unfinished, _needs(cell), cell.config.seed) is None


def _needs(cell: Cell) -> str | None:
    """Return the case whose weights `cell` takes."""
    init = cell.config.init
    if isinstance(init, FromRun) and init.run.startswith("case:"):
        return init.run.removeprefix("case:")
    return None


def _source(cells: Sequence[Cell], case: str | None, seed: int) -> Cell | None:
    """Return the cell of `case` with this seed."""
    if case is None:
        return None
    found = (cell for cell in cells if cell.config.case == case and cell.config.seed == seed)
    return next(found, None)


def described(packages: tuple[str, ...], device: str, target: str) -> dict[str, Any]:
    """Return what a run of a backend would record of this machine and of the source, as of now."""
    return machine.describe(packages, device=device, target=target)
