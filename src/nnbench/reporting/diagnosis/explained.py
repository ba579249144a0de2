"""From program A to program B, one difference at a time: what each does to loss, accuracy, time.

The runs are ordinary ones, of what was read, in matched semantics. Initial weights are changed
first; from then on all runs start from B's weights and take samples in one order. The framework is
changed last, in both orders of the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nnbench.errors import RunFailed
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.reporting.diagnosis.differences import Difference
from nnbench.reporting.diagnosis.starts import OF, PLAIN, Starts
from nnbench.reporting.explain.bridge import Bridge, bridge, cell, is_possible
from nnbench.reporting.explain.change import Change, Values
from nnbench.reporting.explain.explanation import Gap, average, gap
from nnbench.reporting.explain.noise import with_noise
from nnbench.reporting.explain.walk import run_plain
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import check

INITIAL, FRAMEWORK = "initial weights", "backend"
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
    """The configurations between two programs, by two orders of their differences."""

    first: Values
    last: Values
    way: Bridge
    framework: Change | None

    def ways(self) -> list[Way]:
        """Return both ways from A with B's weights to B."""
        found = []
        for steps, path in (
            (self.way.changes, self.way.forward),
            (self.way.opposite, self.way.backward),
        ):
            names = ["", *(step.name for step in steps)]
            way = list(zip(names, path, strict=True))
            if self.framework is not None:
                way.append((FRAMEWORK, self.last))
            found.append(way)
        return found

    def between(self) -> list[Values]:
        """Return the configurations that tell scores alone."""
        met = {id(values) for values in self.timed()}
        return [v for way in self.ways() for _, v in way if id(v) not in met]

    def timed(self) -> list[Values]:
        """Return the configurations whose times are compared: A, A with all of B's, and B."""
        return [self.first, self.way.forward[-1], self.last]


def plan(first: Values, last: Values, found: Sequence[Difference]) -> Plan:
    """Return the configurations between those of A and of B."""
    a = dict(first) | {OF: FROM["A"]}
    b = dict(last) | {OF: FROM["B"]}
    start = a | {OF: FROM["B"]}
    end = b | {"backend": a["backend"]}
    checked = is_possible(check)
    steps = [each.change for each in found if each.change.keys]
    way = bridge(start, end, lambda v: checked(dict(v) | {OF: PLAIN}), steps)
    framework = None
    if first["backend"] != last["backend"]:
        names = (first["backend"]["name"], last["backend"]["name"])
        framework = Change(("backend",), FRAMEWORK, " to ".join(names))
        b_end = b
    else:
        b_end = way.forward[-1]  # type: ignore[assignment]
    return Plan(a, b_end, way, framework)


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
    texts |= {INITIAL: "A's to B's", ALL: "in one framework"}
    if planned.framework is not None:
        texts[FRAMEWORK] = planned.framework.text
    known = {each.change.name: each.known for each in found}
    ways = planned.ways()
    met = {id(v): {s: of(v, s) for s in seeds} for way in ways for _, v in way}
    met |= {id(v): {s: of(v, s) for s in seeds} for v in planned.timed()}
    figures = ["test loss"]
    if planned.first["task"] == "classification":
        figures.append("test accuracy")
    parts: dict[str, list[Gap]] = {"whole": [], "initial": [], "rest": []}
    first: Way = [("", planned.first), (INITIAL, ways[0][0][1])]
    whole: Way = [("", planned.first), (ALL, planned.last)]
    for figure in figures:
        if cautions and figure == "test loss":
            continue
        for name, both in (("whole", [whole] * 2), ("initial", [first] * 2), ("rest", ways)):
            parts[name].append(_gap(figure, both, met, seeds, texts, known))
    parts["whole"].append(_time(planned, met, seeds, texts))
    return Explained(*(tuple(parts[name]) for name in parts), runs=len(runs), cautions=cautions)


def _run(
    planned: Plan, starts: Starts, seeds: Sequence[int], observer: Observer
) -> dict[str, RunResult]:
    """Run everything: what is timed one after the other, the others as the launcher has it."""
    found: dict[str, RunResult] = {}
    alone = {"launcher": {"name": "sequential"}}
    several = {"launcher": {"name": "parallel", "n_jobs": None, "per_gpu": 1}}
    for what, launcher in ((planned.timed(), alone), (planned.between(), several)):
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
    """Return the gap in time: all differences in A's framework, then the framework."""
    names = ["", ALL] + ([FRAMEWORK] if planned.framework is not None else [])
    ends = planned.timed()[: len(names)]
    by_seed = []
    for seed in seeds:
        way = [(n, met[id(v)][seed].epoch_seconds or math.nan) for n, v in
               zip(names, ends, strict=True)]  # fmt: skip
        by_seed.append(gap("time per epoch", way, way, texts, ratio=True))
    return average(by_seed)


def _figure(run: RunResult, name: str) -> float:
    """Return a figure of a run. Raises RunFailed where it has none."""
    kept = run.kept or (run.epochs[-1] if run.epochs else None)
    value = kept and (kept.test_accuracy if name == "test accuracy" else kept.test_loss)
    if value is None:
        raise RunFailed(f"{run.shown} has no {name} to explain ({run.directory}).")
    return value


def without(found: Explained, *names: str) -> Explained:
    """Return what is explained without the figures `names`."""
    kept = {
        part: tuple(g for g in getattr(found, part) if g.figure not in names)
        for part in ("whole", "initial", "rest")
    }
    return replace(found, **kept)  # type: ignore[arg-type]
