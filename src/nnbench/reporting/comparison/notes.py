"""What a reader of a table must know besides its figures: seeds, what was left out, machines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from nnbench.formatting import ONE_EPOCH, count
from nnbench.records.certificate import label
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.facts import NOT_RECORDED
from nnbench.reporting.comparison.fairness import Caution
from nnbench.reporting.comparison.groups import Group, Table, is_contended, seed
from nnbench.reporting.comparison.treatment import EXPECTED
from nnbench.reporting.statistics import FEWEST, outliers

MOST_NAMED = 3  # in a sentence about pairs of groups


def table_notes(table: Table) -> list[str]:
    """Return what is missing from a table or stands out in it."""
    notes = [f"Certificates: {table.word}."] if table.word else []
    for group in table.groups:
        if 0 < len(group.finished) < FEWEST:
            notes.append(
                f"{group.label}: {count(len(group.finished), 'seed')}; {FEWEST} are needed for a "
                "verdict."
            )
        if group.diverged:
            names = ", ".join(f"seed {seed(run)}" for run in group.diverged)
            notes.append(f"{group.label}: diverged with {names}; not in the means.")
        for run in group.out:
            notes.append(f"{group.label}: seed {seed(run)} is not ranked: {standing(run).reason}.")
        seconds = group.seconds()
        for i in outliers(list(seconds.values())) if len(seconds) > FEWEST else []:
            s = list(seconds)[i]
            notes.append(
                f"{group.label}: seed {s} took {seconds[s]:.4g} s per epoch, far from the others; "
                "it is in the figures."
            )
        if any(len(run.epochs) == 1 for run in group.finished):
            notes.append(f"{group.label}: times are {ONE_EPOCH}.")
        if group.repeated:
            notes.append(f"{group.label}: {group.repeated} earlier runs of these seeds left out.")
    missing = {s for g in table.groups for s in g.seconds()}
    for group in table.groups:
        lacks = sorted(missing - {seed(run) for run in group.finished})
        if lacks and group.seconds():
            words = ", ".join(map(str, lacks))
            notes.append(f"{group.label}: no finished run with seed {words}, pairs are missing.")
    return [*notes, *contention_notes(table), *order_notes(table)]


def contention_notes(table: Table) -> list[str]:
    """Say which runs shared their processor with other processes, and what that means here."""
    disturbed = {g.label: [seed(r) for r in g.finished if is_contended(r)] for g in table.groups}
    if not any(disturbed.values()):
        return []
    if not any(group.undisturbed_only for group in table.groups):
        return [
            "Every run was contended (other processes took its processor): times are those of a "
            "busy machine."
        ]
    notes = []
    for group in table.groups:
        seeds = ", ".join(f"seed {s}" for s in disturbed[group.label])
        left = "not in the times" if group.timed else "there is no verdict on its time"
        if seeds:
            what = "contended (other processes took its processor)"
            notes.append(f"{group.label}: {what} with {seeds}; {left}.")
    return [*notes, "For their times, run contended runs again on a quiet machine, with --fresh."]


def order_notes(table: Table) -> list[str]:
    """Say who ran first in every pair, so that a drift of the machine looks like a difference."""
    began = [{seed(run): run.created for run in group.timed} for group in table.groups]
    found = []
    for (i, a), (j, b) in itertools.permutations(enumerate(began), 2):
        shared = a.keys() & b.keys()
        if len(shared) >= FEWEST and all(a[s] < b[s] for s in shared):
            found.append(f"{table.groups[i].label} before {table.groups[j].label}")
    if not found:
        return []
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return [
        f"Always ran first: {', '.join(found[:MOST_NAMED])}{more}. Had the machine changed "
        "meanwhile, their ratio would show it; order=counterbalanced lets them take turns."
    ]


def caution_notes(found: Sequence[Caution]) -> list[str]:
    """Say in which facts the runs of a table differ."""
    return [f"Caution: {caution}." for caution in found]


def lacking_notes(groups: Sequence[Group]) -> list[str]:
    """Say which facts the records lack, so that nobody knows whether they differ."""
    runs = sum(len(group.runs) for group in groups)
    found = {
        key: sum(value == NOT_RECORDED for g in groups for value in g.facts[key].values())
        for key in EXPECTED
    }
    by_number: dict[int, list[str]] = {}
    for key, number in found.items():
        by_number.setdefault(number, []).append(key.removeprefix("machine."))
    return [
        f"{', '.join(keys)}: {NOT_RECORDED} for {number} of {count(runs, 'run')} (by an older "
        "nnbench); whether they differ is unknown."
        for number, keys in by_number.items()
        if number
    ]


def caution_line(cautions: Sequence[Caution]) -> str | None:
    """Return what to say before anything else: in what facts runs that are compared differ."""
    names = dict.fromkeys(each.key.removeprefix("machine.") for each in cautions)
    if not names:
        return None
    return f"Caution: runs compared here differ besides their settings in {', '.join(names)}."


def unfinished(runs: Sequence[RunResult]) -> list[str]:
    """Name the runs that a report leaves out because they did not end."""
    left = [run for run in runs if run.status not in ("finished", "diverged")]
    return [f"left out, {run.status}: {run.shown} ({run.run_id})" for run in left]


def environment(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    """Return what the runs ran on; several values where they differ."""

    def every(find: Any) -> str:
        values = dict.fromkeys(str(value) for run in runs if (value := find(run.machine)))
        return " | ".join(values) or "unknown"

    names = dict.fromkeys(k for run in runs for k in (run.machine.get("versions") or {}))
    found = {
        name: dict.fromkeys(
            str(v) for run in runs if (v := (run.machine.get("versions") or {}).get(name))
        )
        for name in names
    }
    orders = dict.fromkeys(str(run.config.get("order", "not recorded")) for run in runs)
    return [
        ("order of runs", " | ".join(orders)),
        ("processor", every(lambda m: m.get("cpu"))),
        ("cores", every(lambda m: (m.get("cores") or {}).get("usable"))),
        ("GPU", every(lambda m: m.get("gpu")) if any(r.machine.get("gpu") for r in runs) else "-"),
        ("BLAS kernel", every(lambda m: m.get("blas_kernel"))),
        ("threads in use", every(lambda m: (m.get("threads") or {}).get("in_use"))),
        ("memory", every(lambda m: (b := m.get("memory_bytes")) and f"{b / 2**30:.1f} GiB")),
        ("host", every(lambda m: m.get("hostname"))),
        ("system", every(lambda m: m.get("platform"))),
        ("Python", every(lambda m: m.get("python"))),
        *((name, " | ".join(values)) for name, values in found.items()),
        ("nnbench commit", every(lambda m: m.get("commit"))),
        *_backends(runs),
    ]


def _backends(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    """Return what each backend is: its class and source, what it sets, uses and chooses."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        backend, source = run.config["backend"], run.machine.get("backend_source") or {}
        digest = str(source.get("digest") or NOT_RECORDED)[:12]
        blas = (f"{p.get('library')} {p.get('num_threads')}" for p in run.machine.get("blas") or ())
        chosen = (f"{k}={v}" for k, v in run.choices.items() if v is not None)
        what = (backend.get("_target_"), f"source {digest}", *(backend.get("env") or ()))
        words = ", ".join(map(str, (*what, *blas, *chosen)))
        found.setdefault(f"backend {label(run)}", {})[words] = None
    return [(name, " | ".join(list(each)[:3])) for name, each in found.items()]
