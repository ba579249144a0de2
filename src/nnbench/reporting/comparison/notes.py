"""What a reader of a table must know besides its figures: seeds, what was left out, machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnbench.formatting import EPOCH_TIME, ONE_EPOCH, count
from nnbench.records.certificate import standing
from nnbench.records.environment import forced_kernels
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.groups import Table, seed
from nnbench.reporting.statistics import FEWEST, outliers


def table_notes(table: Table) -> list[str]:
    """Return what is missing from a table or stands out in it."""
    notes = []
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
        lacks = sorted(missing - group.seconds().keys())
        if lacks and group.seconds():
            words = ", ".join(map(str, lacks))
            notes.append(f"{group.label}: no finished run with seed {words}, pairs are missing.")
    return notes


def epoch_note(runs: Sequence[RunResult]) -> str:
    """Say what the epoch times of `runs` are."""
    single = sum(len(run.epochs) == 1 for run in runs)
    if single == len(runs):
        return f"epoch: training time {ONE_EPOCH}"
    return f"epoch: {EPOCH_TIME}" + (f"; where there is one, {ONE_EPOCH}" if single else "")


def unfinished(runs: Sequence[RunResult]) -> list[str]:
    """Name the runs that a report leaves out because they did not end."""
    left = [run for run in runs if run.status not in ("finished", "diverged")]
    return [f"left out, {run.status}: {run.name} ({run.run_id})" for run in left]


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
    return [
        ("processor", every(lambda m: m.get("cpu"))),
        ("cores", every(lambda m: (m.get("cores") or {}).get("usable"))),
        ("GPU", every(lambda m: m.get("gpu")) if any(r.machine.get("gpu") for r in runs) else "-"),
        ("BLAS kernel", every(lambda m: m.get("blas_kernel"))),
        ("system", every(lambda m: m.get("platform"))),
        ("Python", every(lambda m: m.get("python"))),
        *((name, " | ".join(values)) for name, values in found.items()),
        ("nnbench commit", every(lambda m: m.get("commit"))),
    ]


def flag_notes(runs: Sequence[RunResult]) -> list[str]:
    """Return the flags of `runs`, each with the runs that it is about."""
    flags = dict.fromkeys(flag for run in runs for flag in run.flags)
    return [f"{', '.join(r.name for r in runs if flag in r.flags)}: {flag}" for flag in flags]


def forced_kernel_notes(runs: Sequence[RunResult]) -> list[str]:
    """Say which environment variables chose the kernels that were timed."""
    found = {name for run in runs for name in forced_kernels(run.machine.get("environment", {}))}
    if not found:
        return []
    return [
        f"times are those of {', '.join(sorted(found))}, not of this processor (nnbench doctor)"
    ]
