"""From program A to program B, one difference at a time: what each does to loss, accuracy, time.

The runs are ordinary ones, of what was read, in matched semantics. Initial weights are changed
first; from then on all runs start from B's weights and take samples in one order. Between the two
frameworks the differences are walked on NumPy, whose runs begin soonest, in two orders: in matched
semantics a framework is rounding and time, and what it does add is counted as the framework's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnbench.config.backend import label_of
from nnbench.errors import RunFailed
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.reporting.diagnosis.difference import Difference
from nnbench.reporting.diagnosis.starts import OF, PLAIN, Starts
from nnbench.reporting.explain.bridge import Bridge, bridge, cell, is_possible
from nnbench.reporting.explain.change import Values
from nnbench.reporting.explain.explanation import Gap, average, gap
from nnbench.reporting.explain.noise import with_noise
from nnbench.reporting.explain.walk import run_plain
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import check

INITIAL, FRAMEWORK, ROUNDING = "initial weights", "backend", "rounding"
ALL = "all differences"
FROM = {side: {"name": "from_run", "run": side, "missing": "error"} for side in "AB"}
Way = Sequence[tuple[str, Values]]  # each change with where it leads; the first has no name


@dataclass(frozen=True)
class Explained:
    """What explains the gaps: `initial` from A to A with B's weights, `rest` from there to B.

    `whole` is from A to B. Each has a gap for every figure, in the same order.
    """

    whole: tuple[Gap, ...]
    initial: tuple[Gap, ...]
    rest: tuple[Gap, ...]
    runs: int
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The configurations between two programs: `first` is A's, `second` A's with B's weights.

    `way` leads from there to B's settings on NumPy, by two orders of the differences; `last` is
    B's own. `middle` has all of B's settings in A's framework, None where none costs time.
    """

    first: Values
    second: Values
    way: Bridge
    last: Values
    middle: Values | None
    framework: str

    def ways(self) -> list[Way]:
        """Return both ways from A with B's weights to B."""
        found: list[Way] = []
        for steps, path in (
            (self.way.changes, self.way.forward),
            (self.way.opposite, self.way.backward),
        ):
            names = [self.framework, *(step.name for step in steps)]
            between = list(zip(names, path, strict=True)) if steps else []
            found.append([("", self.second), *between, (self.framework, self.last)])
        return found

    def scored(self) -> list[Values]:
        """Return the configurations that tell scores alone, each once."""
        timed = {id(values) for values in self.timed()}
        met = {id(v): v for way in self.ways() for _, v in way if id(v) not in timed}
        return list(met.values())

    def timed(self) -> list[Values]:
        """Return the configurations whose times are compared."""
        return [self.first, *filter(None, [self.middle]), self.last]

    @property
    def runs(self) -> int:
        """Return how many runs each seed takes."""
        return len(self.timed()) + len(self.scored())


def plan(first: Values, last: Values, numpy: Values, found: Sequence[Difference]) -> Plan:
    """Return the configurations between those of A and of B; `numpy` is the backend between."""
    a, b = dict(first) | {OF: FROM["A"]}, dict(last) | {OF: FROM["B"]}
    second = a | {OF: FROM["B"]}
    checked = is_possible(check)
    steps = [each.change for each in found if each.change.keys]
    start, end = second | {"backend": numpy}, b | {"backend": numpy}
    way = bridge(start, end, lambda v: checked(dict(v) | {OF: PLAIN}), steps)
    costs = any(each.part == "layers" or each.key == "optimizer" for each in found)
    middle = b | {"backend": a["backend"]} if costs and a["backend"] != b["backend"] else None
    name = FRAMEWORK if a["backend"] != b["backend"] else ROUNDING
    return Plan(a, second, way, b, middle, name)


def explained(
    planned: Plan, found: Sequence[Difference], starts: Starts, seeds: Sequence[int],
    observer: Observer,
) -> Explained:  # fmt: skip
    """Run what is not on record, and say what each difference does."""
    runs = _run(planned, starts, seeds, observer)

    def of(values: Values, seed: int) -> RunResult:
        return runs[deciding(cell(starts.placed(values, seed)).values)]

    ended = {name: [of(v, s).status for s in seeds] for name, v in
             (("A", planned.first), ("B", planned.last))}  # fmt: skip
    cautions = tuple(
        f"{name} diverges: its loss is no longer a number ({states.count('diverged')} of "
        f"{len(seeds)} seeds)."
        for name, states in ended.items() if "diverged" in states
    )  # fmt: skip
    texts = {each.change.name: each.change.text for each in found}
    texts |= {step.name: step.text for step in planned.way.changes}
    labels = [label_of(v["backend"]) for v in (planned.first, planned.last)]
    texts |= {INITIAL: "A's to B's", ALL: "in one framework"}
    texts[planned.framework] = " to ".join(dict.fromkeys(labels))
    known = {each.change.name: each.known for each in found}
    ways = planned.ways()
    met = {id(v): {s: of(v, s) for s in seeds} for way in ways for _, v in way}
    met |= {id(v): {s: of(v, s) for s in seeds} for v in planned.timed()}
    figures = ["test loss"]
    if planned.first["task"] == "classification":
        figures.append("test accuracy")
    parts: dict[str, list[Gap]] = {"whole": [], "initial": [], "rest": []}
    first: Way = [("", planned.first), (INITIAL, planned.second)]
    whole: Way = [("", planned.first), (ALL, planned.last)]
    for figure in figures:
        if cautions and figure == "test loss":
            continue
        for name, both in (("whole", [whole] * 2), ("initial", [first] * 2), ("rest", ways)):
            parts[name].append(_gap(figure, both, met, seeds, texts, known))
    parts["whole"].append(_time(planned, met, seeds, texts))
    whole_gaps, initial, rest = (tuple(each) for each in parts.values())
    return Explained(whole_gaps, initial, rest, len(runs), cautions)


def _run(
    planned: Plan, starts: Starts, seeds: Sequence[int], observer: Observer
) -> dict[str, RunResult]:
    """Run everything: what is timed one after the other, the others as the launcher has it."""
    found: dict[str, RunResult] = {}
    alone = {"launcher": {"name": "sequential"}}
    several = {"launcher": {"name": "parallel", "n_jobs": None, "per_gpu": 1}}
    for what, launcher in ((planned.timed(), alone), (planned.scored(), several)):
        cells = [starts.placed(v, s) | launcher for s in seeds for v in what]
        names = [f"{i % max(len(what), 1)} s{v['seed']}" for i, v in enumerate(cells)]
        if cells:
            runs = run_plain(cells, names, observer)
            found |= {deciding(cell(v).values): run for v, run in zip(cells, runs, strict=True)}
    return found


def _gap(
    figure: str,
    ways: Sequence[Way],
    met: Mapping[int, Mapping[int, RunResult]],
    seeds: Sequence[int],
    texts: Mapping[str, str],
    known: Mapping[str, str],
) -> Gap:
    by_seed = []
    for seed in seeds:
        there, back = (
            [(name, _figure(met[id(values)][seed], figure)) for name, values in way] for way in ways
        )
        by_seed.append(gap(figure, there, back, texts, known=known))
    found = average(by_seed)
    if figure == "test loss":  # its samples are not kept: the seeds alone tell
        return found
    return with_noise(found, [[(name, met[id(v)]) for name, v in way] for way in ways])


def _time(
    planned: Plan,
    met: Mapping[int, Mapping[int, RunResult]],
    seeds: Sequence[int],
    texts: Mapping[str, str],
) -> Gap:
    """Return the gap in time: all differences in A's framework where they cost any, then B's."""
    ends = planned.timed()
    names = ["", *([ALL] if planned.middle is not None else []), planned.framework]
    by_seed = []
    for seed in seeds:
        way = [
            (name, met[id(values)][seed].epoch_seconds or math.nan)
            for name, values in zip(names, ends, strict=True)
        ]
        by_seed.append(gap("time per epoch", way, way, texts, ratio=True))
    return average(by_seed)


def _figure(run: RunResult, name: str) -> float:
    """Return a figure of a run. Raises RunFailed where it has none."""
    kept = run.kept or (run.epochs[-1] if run.epochs else None)
    value = None
    if kept is not None:
        value = kept.test_accuracy if name == "test accuracy" else kept.test_loss
    if value is None:
        raise RunFailed(f"{run.shown} has no {name} to explain ({run.directory}).")
    return value
