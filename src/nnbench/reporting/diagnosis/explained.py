"""From program A to program B, one difference at a time: what each does to loss, accuracy, time.

The runs are ordinary ones, of what was read, in matched semantics. Initial weights are changed
first; from then on all runs start from B's weights and take samples in one order. Between the two
frameworks the differences are walked on NumPy, whose runs begin soonest, in two orders: in matched
semantics a framework is rounding and time, and what it does add is counted as the framework's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nnbench.config.backend import label_of
from nnbench.records.run import RunResult
from nnbench.reporting.diagnosis.difference import Difference
from nnbench.reporting.diagnosis.starts import OF, PLAIN, Starts
from nnbench.reporting.explain.bridge import Bridge, bridge, is_possible
from nnbench.reporting.explain.change import Values
from nnbench.reporting.explain.explanation import Gap, average, gap
from nnbench.reporting.explain.noise import with_noise
from nnbench.reporting.explain.walk import run_plain
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import check

INITIAL, FRAMEWORK, ROUNDING = "initial weights", "backend", "rounding"
ALL = "all differences"
FROM = {side: {"name": "from_run", "run": side, "missing": "error"} for side in "AB"}
Met = Mapping[int, Mapping[int, RunResult]]  # the runs of a configuration, by its id, by seed
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

    def names(self) -> dict[int, str]:
        """Return what to call the run of each configuration, by its id."""
        found: dict[int, str] = {}
        for words, steps, path in (
            ("opposite, with", self.way.opposite, self.way.backward),
            ("with", self.way.changes, self.way.forward),
        ):
            found |= {
                id(v): f"{words} {step.name}" for step, v in zip(steps, path[1:], strict=True)
            }
        found |= {id(self.way.forward[0]): "on NumPy", id(self.way.forward[-1]): "with all"}
        found |= {id(self.first): "A", id(self.second): "A from B's weights", id(self.last): "B"}
        return found | {id(v): "A with all" for v in [self.middle] if v is not None}

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
    met = _run(planned, starts, seeds, observer)
    texts = {each.change.name: each.change.text for each in found}
    texts |= {step.name: step.text for step in planned.way.changes}
    labels = [label_of(v["backend"]) for v in (planned.first, planned.last)]
    texts |= {INITIAL: "A's to B's", ALL: "in one framework"}
    texts[planned.framework] = " to ".join(dict.fromkeys(labels))
    known = {each.change.name: each.known for each in found}
    first: Way = [("", planned.first), (INITIAL, planned.second)]
    whole: Way = [("", planned.first), (ALL, planned.last)]
    figures = ["test loss"]
    if planned.first["task"] == "classification":
        figures.append("test accuracy")
    parts: dict[str, list[Gap]] = {"whole": [], "initial": [], "rest": []}
    cautions = _diverged(planned, met, seeds)
    for figure in figures:
        if any(_figure(run, figure) is None for each in met.values() for run in each.values()):
            cautions.append(f"Of the {figure} nothing is explained: not every run has one.")
            continue
        for name, both in (("whole", [whole] * 2), ("initial", [first] * 2),
                           ("rest", planned.ways())):  # fmt: skip
            parts[name].append(_gap(figure, both, met, seeds, texts, known))
    if all(run.epoch_seconds for v in planned.timed() for run in met[id(v)].values()):
        parts["whole"].append(_time(planned, met, seeds, texts))
    whole_gaps, initial, rest = (tuple(each) for each in parts.values())
    runs = planned.runs * len(seeds)
    return Explained(whole_gaps, initial, rest, runs, tuple(cautions))


def _diverged(planned: Plan, met: Met, seeds: Sequence[int]) -> list[str]:
    """Say which end diverges."""
    told = []
    for name, values in (("A", planned.first), ("B", planned.last)):
        count = sum(run.status == "diverged" for run in met[id(values)].values())
        if count:
            told.append(
                f"{name} diverges with {count} of {len(seeds)} seeds: its loss is no number."
            )
    return told


def _run(planned: Plan, starts: Starts, seeds: Sequence[int], observer: Observer) -> Met:
    """Run everything: what is timed one after the other, the others as many as fit the cores."""
    found: dict[int, dict[int, RunResult]] = {}
    alone = {"launcher": {"name": "sequential"}}
    several = {"launcher": {"name": "parallel", "n_jobs": None, "per_gpu": 1}}
    names = planned.names()
    for what, launcher in ((planned.timed(), alone), (planned.scored(), several)):
        each = [(values, seed) for seed in seeds for values in what]
        cells = [starts.placed(values, seed) | launcher for values, seed in each]
        called = [f"{names[id(values)]} s{seed}" for values, seed in each]
        for (values, seed), run in zip(each, run_plain(cells, called, observer), strict=True):
            found.setdefault(id(values), {})[seed] = run
    return found


def _gap(
    figure: str,
    ways: Sequence[Way],
    met: Met,
    seeds: Sequence[int],
    texts: Mapping[str, str],
    known: Mapping[str, str],
) -> Gap:
    by_seed = []
    for seed in seeds:
        there, back = (
            [(name, _figure(met[id(v)][seed], figure) or 0.0) for name, v in way] for way in ways
        )
        by_seed.append(gap(figure, there, back, texts, known=known))
    found = average(by_seed)
    if figure == "test loss":  # its samples are not kept: the seeds alone tell
        return found
    return with_noise(found, [[(name, met[id(v)]) for name, v in way] for way in ways])


def _time(
    planned: Plan,
    met: Met,
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


def _figure(run: RunResult, name: str) -> float | None:
    """Return a figure of a run, None where it has none."""
    kept = run.kept or (run.epochs[-1] if run.epochs else None)
    if kept is None:
        return None
    return kept.test_accuracy if name == "test accuracy" else kept.test_loss
