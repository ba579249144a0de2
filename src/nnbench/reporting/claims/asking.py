"""Studies, asked: run what is missing of them, and answer their claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nnbench.config.composition import compose_all
from nnbench.config.run import Cell
from nnbench.config.studies import problems, read_study, sound
from nnbench.errors import ConfigError, MissingPackage
from nnbench.records.folder import read_runs
from nnbench.records.identity import LEFT_OUT
from nnbench.records.run import RunResult
from nnbench.reporting.claims.claim import cases_of_claims, read_claims, read_figures
from nnbench.reporting.claims.expression import Figures
from nnbench.reporting.claims.figures import by_seed
from nnbench.reporting.claims.recorded import mixed, stale
from nnbench.reporting.claims.text import Pair, StudyAnswers, answer_study
from nnbench.reporting.comparison.run_notes import flag_notes
from nnbench.reporting.pages.tables import weight_difference
from nnbench.schema.deferred import dataclass
from nnbench.sweeps.loop import run_sweep
from nnbench.sweeps.observer import Observer
from nnbench.sweeps.operations import Times, facts, measured_once
from nnbench.sweeps.session import check_packages

SEEDS = 3


@dataclass(frozen=True)
class Asked:
    """What came of asking: the answers by study, the `runs` behind them, how many are missing."""

    studies: tuple[StudyAnswers, ...]
    runs: tuple[RunResult, ...]
    missing: int


def ask(
    names: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seeds: int = SEEDS,
    recorded: bool = False,
    observer: Observer | None = None,
) -> Asked:
    """Answer the claims of the studies `names`, all without any, over the seeds 0, 1, ...

    `overrides` apply to every case. `recorded`: nothing is run. Raises ConfigError for an unknown
    study or a mistake in one, before anything runs.
    """
    if seeds < 1:
        raise ConfigError(f"Received --seeds {seeds}; must be at least 1.")
    observer = observer or Observer()
    for problem in () if names else problems():
        observer.say(f"Left out: {problem}")
    chosen = {name: read_study(name) for name in names or sound()}
    planned = {
        name: _cells(name, study, overrides, seeds, observer)
        for name, study in chosen.items()
        if "measured" not in study
    }
    changed = tuple(word for word in overrides if re.split("[.=]", word)[0] not in LEFT_OUT)
    answers: list[StudyAnswers] = []
    runs: list[RunResult] = []
    missing = 0
    for name, study in chosen.items():
        if "measured" in study:
            times, lacking = measured_once(name, study, overrides, recorded, observer)
            operations = answer_study(name, study, _by_round(times), lacking)
            answers.append(replace(operations, changed=changed))
            continue
        cells, lacking = planned[name]
        found, left, failed = _runs(name, cells, recorded, observer)
        lacking |= failed
        figures = by_seed(name, found)
        for backend in study["facts"]:
            try:
                with observer.work(name) as work:
                    work(0, 0, f"facts about {backend}")
                    known = facts(backend)
            except MissingPackage as error:
                lacking[backend] = str(error)
                continue
            figures = {seed: {**each, backend: known} for seed, each in figures.items()}
        pairs = (_pair(f"{name}/{a}", f"{name}/{b}", found) for a, b in study["pairs"])
        answers.append(
            replace(
                answer_study(name, study, figures, lacking),
                changed=changed,
                pairs=tuple(pair for pair in pairs if pair is not None),
                notes=tuple(f"note: {note}" for note in flag_notes(found)),
                cautions=(*stale(found, cells), *mixed(found)),
            )
        )
        runs, missing = [*runs, *found], missing + left
    return Asked(tuple(answers), tuple(runs), missing)


def _cells(
    name: str, study: Mapping[str, Any], overrides: Sequence[str], seeds: int, observer: Observer
) -> tuple[list[Cell], dict[str, str]]:
    """Return the runs that a study needs; a case whose packages are missing is left out, aloud.

    And of those that are left out, by case, the reason.
    """
    named = cases_of_claims([*read_claims(study), *read_figures(study)])
    cases = [case for case in named if case not in study["facts"]]
    if not cases:
        return [], {}
    listed = ",".join(f"{name}/{case}" for case in cases)
    seed = ",".join(map(str, range(seeds)))
    cells: list[Cell] = []
    skipped: dict[str | None, MissingPackage] = {}
    words = [f"experiment={listed}", "parity=false", f"seed={seed}", *overrides]
    for cell in compose_all(words):
        try:
            check_packages(cell.config)
            cells.append(cell)
        except MissingPackage as error:
            skipped[cell.config.case] = error
    for case, reason in skipped.items():
        observer.say(f"Skipping {case}: {reason}")
    lacking = {str(case).partition("/")[2]: str(skipped[case]) for case in skipped}
    return cells, lacking


def _runs(
    name: str, cells: Sequence[Cell], recorded: bool, observer: Observer
) -> tuple[Sequence[RunResult], int, dict[str, str]]:
    """Return the runs of `cells`, how many of them are missing, and by case why some failed."""
    if not cells:
        return (), 0, {}
    if recorded:
        wanted = {cell.config.case for cell in cells}
        known = read_runs(Path(cells[0].config.results))
        return [run for run in known if run.config.get("case") in wanted], 0, {}
    observer.say(f"{name}: {len(cells)} runs")
    result = run_sweep(cells, f"{name}-{datetime.now():%Y%m%d-%H%M%S}", observer)
    result.check_stopped()
    failed = {
        str(each.cell.config.case).partition("/")[2]: str(each.error) for each in result.failures
    }
    return result.runs, result.left, failed


def _by_round(times: Times) -> dict[int, Figures]:
    """Return the seconds of each operation by round and backend."""
    rounds = min((len(v) for by in times.values() for v in by.values()), default=0)
    return {
        i: {backend: {name: v[i] for name, v in by.items()} for backend, by in times.items()}
        for i in range(rounds)
    }


def _pair(a: str, b: str, runs: Sequence[RunResult]) -> Pair | None:
    """Return the largest difference of the weights of two cases over the seeds of both."""
    by_case = {
        case: {r.config["seed"]: r for r in runs if r.config.get("case") == case} for case in (a, b)
    }
    both = [(run, by_case[b][seed]) for seed, run in by_case[a].items() if seed in by_case[b]]
    if not both:
        return None
    found = [weight_difference(*runs) for runs in both]
    known = [value for value in found if value is not None]
    largest = max(known) if len(known) == len(found) else None
    return Pair(a.partition("/")[2], b.partition("/")[2], len(both[0][0].epochs), largest)
