"""The runs of a bridge: what is missing of them is run, and their figures are gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from nnbench.config.run import Cell
from nnbench.errors import RunFailed
from nnbench.formatting import count
from nnbench.records.identity import deciding
from nnbench.records.run import RunResult
from nnbench.reporting.explain.bridge import Bridge, cell
from nnbench.reporting.explain.change import Change, Values
from nnbench.reporting.explain.explanation import Gap, average, gap
from nnbench.reporting.explain.native import FRAMEWORK, Crossing
from nnbench.reporting.explain.noise import with_noise
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.loop import run_sweep
from nnbench.sweeps.observer import Observer

Figures = Mapping[str, RunResult]  # the runs of a bridge by what decides them


@dataclass(frozen=True)
class Words:
    """What to say of changes, by name: their values, what is known of them.

    `part_of`: the effect that a change is counted in, where not its own.
    """

    texts: Mapping[str, str]
    known: Mapping[str, str] = field(default_factory=dict)
    part_of: Mapping[str, str] = field(default_factory=dict)


def _ways(way: Bridge) -> list[tuple[str, tuple[Change, ...], tuple[Values, ...]]]:
    """Return both ways: what to call a step on it, its changes, and where each leads."""
    return [("with", way.changes, way.forward), ("opposite, with", way.opposite, way.backward)]


def run_way(way: Bridge, seeds: Sequence[int], observer: Observer) -> Figures:
    """Run what is not finished yet of the bridge; return the runs by what decides them."""
    cells: dict[str, Cell] = {}
    for seed in seeds:
        for words, steps, path in _ways(way):
            said = ["start", *(f"{words} {step.name}" for step in steps[:-1]), "end"]
            for i, (text, values) in enumerate(zip(said, path, strict=True)):
                name = f"{i}/{len(steps)} {text}" + (f" s{seed}" if len(seeds) > 1 else "")
                each = cell(seeded(values, seed, seeds), name)
                cells.setdefault(deciding(each.values), each)
    changes, runs = count(len(way.named), "change"), count(len(cells), "run")
    observer.say(f"{changes}, {runs} in two orders")
    return {deciding(run.config): run for run in _sweep(list(cells.values()), observer)}


def run_plain(
    configurations: Sequence[Values], names: Sequence[str], observer: Observer
) -> list[RunResult]:
    """Run configurations under `names`, what is not finished of them; return the runs in order."""
    cells: dict[str, Cell] = {}
    for values, name in zip(configurations, names, strict=True):
        cells.setdefault(deciding(cell(values).values), cell(values, name))
    runs = {deciding(run.config): run for run in _sweep(list(cells.values()), observer)}
    return [runs[deciding(cell(values).values)] for values in configurations]


def _sweep(cells: Sequence[Cell], observer: Observer) -> Sequence[RunResult]:
    name = f"explain-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    result = run_sweep(cells, name, observer)
    result.check_done()
    return result.runs


def seeded(values: Values, seed: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return `values` with `seed`, where several are asked for."""
    return dict(values) | ({"seed": seed} if len(seeds) > 1 else {})


def words(way: Bridge, crossing: Crossing | None, has_unnamed: bool) -> list[Words]:
    """Return what to say of each change, for scores and for times.

    What formulas cost in time is the framework's: its own code computes them, not nnbench's.
    """
    texts = {change.name: change.text for change in way.named}
    known = {change.name: change.known for change in way.named}
    if crossing is None or not crossing.is_native:
        return [Words(texts, known), Words(texts)]
    own = [f"its own {what}" for what in crossing.drawn]
    own += ["not explained by a named formula"] * has_unnamed
    scores = texts | {FRAMEWORK: ", ".join([texts[FRAMEWORK], *own])}
    part_of = {change.name: FRAMEWORK for change in way.named if change.formula}
    return [Words(scores, known), Words(texts, {}, part_of)]


def gaps(way: Bridge, runs: Figures, seeds: Sequence[int], told: Sequence[Words]) -> list[Gap]:
    """Return the gap in accuracy (or loss) and that in time, each explained by the changes."""
    regression = way.forward[0]["task"] == "regression"
    figures = {"test loss" if regression else "test accuracy": False, "time per epoch": True}
    ways = [
        [
            (name, {s: runs[deciding(cell(seeded(values, s, seeds)).values)] for s in seeds})
            for name, values in zip(("", *(step.name for step in steps)), path, strict=True)
        ]
        for _, steps, path in _ways(way)
    ]
    found = []
    for (name, ratio), each in zip(figures.items(), told, strict=True):
        by_seed = []
        for seed in seeds:
            there, back = ([(n, _figure(met[seed], name)) for n, met in w] for w in ways)
            by_seed.append(
                gap(name, there, back, each.texts, ratio=ratio, known=each.known,
                    part_of=each.part_of)
            )  # fmt: skip
        whole = average(by_seed)
        found.append(whole if ratio else with_noise(whole, ways))
    return found


def _figure(run: RunResult, name: str) -> float:
    """Return a figure of a run. Raises RunFailed where it has none."""
    if name == "time per epoch":
        assert run.epoch_seconds is not None
        return run.epoch_seconds
    kept = run.kept or run.epochs[-1]
    value = kept.test_accuracy if name == "test accuracy" else kept.test_loss
    if value is None:
        raise RunFailed(f"{run.shown} diverged: it has no {name} to explain ({run.directory}).")
    return value
