"""Asking why two runs differ: the bridge between them is run, and its figures are explained."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose, of_record
from nnbench.config.installation import lacking
from nnbench.config.run import Cell
from nnbench.config.studies import experiments
from nnbench.errors import ConfigError, ResultsError, RunFailed
from nnbench.records.identity import deciding
from nnbench.records.lookup import find_run, recorded
from nnbench.records.run import RunResult
from nnbench.reporting.explain.bridge import (
    Bridge,
    Change,
    Values,
    bridge,
    cell,
    changes,
    is_possible,
)
from nnbench.reporting.explain.explanation import Gap, as_markdown, average, gap
from nnbench.reporting.explain.noise import with_noise
from nnbench.reporting.explain.recorded import ended, repeated, said_first
from nnbench.sweeps.loop import run_sweep
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.plan import check
from nnbench.sweeps.side_by_side import Agreement, certify
from nnbench.writing import staged

QUIET = {"name": "local", "uri": None, "experiment": "explain", "system_metrics": False}
SHARED = ("launcher", "order", "on_error", "search")  # by both ends, and of no effect
Figures = Mapping[str, RunResult]  # the runs of a bridge by what decides them
End = tuple[str, RunResult | None, dict[str, Any]]  # name, record if it is one, settings


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why `first` and `last` differ: their `changes`, and what each does to every figure (`gaps`).

    Without changes the two are one configuration. Where the backend alone differs, in matched
    semantics, there are no gaps but an `agreement`: the two are certified. `cautions` come before
    all of it: what records say besides settings, and ends that cannot be repeated.
    """

    first: str
    last: str
    changes: tuple[Change, ...] = ()
    gaps: tuple[Gap, ...] = ()
    agreement: Agreement | None = None
    cautions: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return from where to where."""
        return f"From {self.first} to {self.last}"

    def sentences(self) -> list[str]:
        """Say what explains the gaps, and what does not."""
        if self.agreement is not None:
            return [*self.cautions, *map(str, self.agreement.certificates)]
        return [*self.cautions, *(text for each in self.gaps for text in each.sentences())]

    def markdown(self) -> str:
        """Return the explanation as Markdown, with both orders."""
        title, _, rest = as_markdown(self.title, self.gaps).partition("\n")
        return "\n".join([title, *(f"\n{line}" for line in self.cautions), rest])

    def write(self, folder: Path) -> Path:
        """Write Markdown and a waterfall plot of each gap into `folder`; return the page.

        Without matplotlib there are no plots.
        """
        try:
            with staged(folder) as new:
                (new / "explain.md").write_text(self.markdown(), encoding="utf-8")
                if not lacking("A waterfall plot", "matplotlib"):
                    from nnbench.reporting.explain.waterfall import waterfall

                    for each in self.gaps:
                        figure = waterfall(each)
                        for suffix in ("svg", "png"):
                            name = f"{each.figure.replace(' ', '_')}.{suffix}"
                            figure.savefig(new / name, dpi=150)
        except OSError as error:
            why = error.strerror or error
            raise ResultsError(f"Cannot write {folder}: {why}; choose --out.") from None
        return folder / "explain.md"

    def _repr_markdown_(self) -> str:
        """Return the explanation as Markdown, for notebooks."""
        return self.markdown()

    def __repr__(self) -> str:
        names = ", ".join(change.name for change in self.changes) or "nothing"
        return f"<Explanation {self.title}: {names}>"


def explain(
    first: str | RunResult,
    last: str | RunResult,
    overrides: Sequence[str] = (),
    seeds: int = 1,
    results: Path = Path("results"),
    observer: Observer | None = None,
) -> Explanation:
    """Walk from `first` to `last` one change at a time, in two orders, running what is missing.

    Each is a run on record (also by name, id or folder), a case (STUDY/CASE) or overrides in one
    string; `overrides` apply to cases and overrides. Seeds count from the first's.
    """
    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    observer = observer or Observer()
    ends = _ends((first, last), overrides, seeds, results)
    said = said_first([(name, run) for name, run, _ in ends if run is not None])
    for line in said:
        observer.say(line)
    (start, _, a), (end, _, b) = ends
    found = Explanation(start, end, tuple(changes(a, b)), cautions=tuple(said))
    if not found.changes:
        return found
    if [change.name for change in found.changes] == ["backend"] and a["semantics"] == "matched":
        observer.say("They differ in the backend alone: checking whether their weights diverge.")
        return replace(found, agreement=certify([cell(a), cell(b)]))
    way = bridge(a, b, is_possible(check))
    chosen = [a["seed"] + i for i in range(seeds)]
    runs = _run(way, chosen, observer)
    late = _late(ends, runs, chosen)
    for line in late:
        observer.say(line)
    gaps = tuple(_gaps(way, runs, chosen))
    return replace(found, changes=way.changes, gaps=gaps, cautions=(*said, *late))


def _ends(
    words: Sequence[str | RunResult], overrides: Sequence[str], seeds: int, results: Path
) -> list[End]:
    """Return both ends: how to call them, their records where they have some, their settings.

    Raises ConfigError or ResultsError.
    """
    found: list[End] = []
    for word in words:
        run = _record(word, overrides, results)
        values = of_record(run.config) if run is not None else _composed(str(word), overrides)
        name = word.name if isinstance(word, RunResult) else word
        found.append((name, run, copy.deepcopy(values)))
    first = found[0][2]
    same = {"results": str(results), "tracking": QUIET, "parity": False, "case": None, "name": None}
    same |= {key: first[key] for key in SHARED} | ({"seed": first["seed"]} if seeds > 1 else {})
    return [(name, run, values | same) for name, run, values in found]


def _late(ends: Sequence[End], runs: Figures, seeds: Sequence[int]) -> list[str]:
    """Say which ends, now that they are run, diverged or have other figures than on record."""
    found = []
    for name, run, values in ends:
        for s in seeds:
            now = runs[deciding(cell(_seeded(values, s, seeds)).values)]
            if run is None or now.run_id != run.run_id:
                ending = ended(now)
                found += [f"{name} {ending}."] if ending else []
            if run is not None and (other := repeated(name, run, now)):
                found.append(other)
    return found


def _record(word: str | RunResult, overrides: Sequence[str], results: Path) -> RunResult | None:
    """Return the run on record that `word` names, None for a case or overrides.

    Raises ConfigError or ResultsError.
    """
    if isinstance(word, RunResult):
        run = word
    elif word in experiments() or ("=" in word and find_run(word, results) is None):
        return None
    else:
        run = recorded(word, results)
    if overrides:
        raise ConfigError(
            f"Received {' '.join(overrides)} with the recorded run {run.shown}; overrides apply to "
            "cases and quoted overrides."
        )
    return run


def _composed(word: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a case or of overrides. Raises ConfigError."""
    typed = [f"experiment={word}"] if word in experiments() else shlex.split(word)
    return compose([*typed, *overrides]).values


def _ways(way: Bridge) -> list[tuple[str, tuple[Change, ...], tuple[Values, ...]]]:
    """Return both ways: what to call a step on it, its changes, and where each leads."""
    return [("with", way.changes, way.forward), ("opposite, with", way.opposite, way.backward)]


def _run(way: Bridge, seeds: Sequence[int], observer: Observer) -> Figures:
    """Run what is not finished yet of the bridge; return the runs by what decides them."""
    cells: dict[str, Cell] = {}
    for seed in seeds:
        for words, steps, path in _ways(way):
            said = ["start", *(f"{words} {step.name}" for step in steps[:-1]), "end"]
            for i, (text, values) in enumerate(zip(said, path, strict=True)):
                name = f"{i}/{len(steps)} {text}" + (f" s{seed}" if len(seeds) > 1 else "")
                each = cell(_seeded(values, seed, seeds), name)
                cells.setdefault(deciding(each.values), each)
    observer.say(f"{len(way.changes)} changes, {len(cells)} runs in two orders")
    name = f"explain-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
    result = run_sweep(list(cells.values()), name, observer)
    result.check_done()
    return {deciding(run.config): run for run in result.runs}


def _seeded(values: Values, seed: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Return `values` with `seed`, where several are asked for."""
    return dict(values) | ({"seed": seed} if len(seeds) > 1 else {})


def _gaps(way: Bridge, runs: Figures, seeds: Sequence[int]) -> list[Gap]:
    texts = {change.name: change.text for change in way.changes}
    regression = way.forward[0]["task"] == "regression"
    figures = {"test loss" if regression else "test accuracy": False, "time per epoch": True}
    ways = [
        [
            (name, {s: runs[deciding(cell(_seeded(values, s, seeds)).values)] for s in seeds})
            for name, values in zip(("", *(step.name for step in steps)), path, strict=True)
        ]
        for _, steps, path in _ways(way)
    ]
    found = []
    for name, ratio in figures.items():
        by_seed = []
        for seed in seeds:
            forward, backward = ([(n, _figure(met[seed], name)) for n, met in w] for w in ways)
            by_seed.append(gap(name, forward, backward, texts, ratio=ratio))
        each = average(by_seed)
        found.append(each if ratio else with_noise(each, ways))
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
