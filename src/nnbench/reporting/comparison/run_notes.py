"""What has to be said beside the figures of runs, whatever they are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.formatting import EPOCH_TIME, ONE_EPOCH, ONLY_EPOCH
from nnbench.records.environment import forced_kernels
from nnbench.records.flags import Flag
from nnbench.records.run import RunResult

MOST_NAMED = 3  # runs that a note names


def epoch_note(runs: Sequence[RunResult]) -> str:
    """Say what the epoch times of `runs` are."""
    single = sum(len(run.epochs) == 1 for run in runs)
    if single == len(runs):
        return f"epoch: training time {ONE_EPOCH}"
    which = f"; of runs with one epoch, {ONLY_EPOCH}" if single else ""
    return f"epoch: {EPOCH_TIME}{which}"


def flag_notes(runs: Sequence[RunResult]) -> list[str]:
    """Return the flags of `runs`, each with the runs that it is about."""
    found: dict[Flag, list[str]] = {}
    for run in runs:
        for flag in dict.fromkeys(run.flags):
            found.setdefault(flag, []).append(run.shown)
    return [
        f"{len(names)} of {len(runs)} runs ({few(names)}): {flag}"
        if len(names) > MOST_NAMED
        else f"{few(names)}: {flag}"
        for flag, names in found.items()
    ]


def few(names: Sequence[str]) -> str:
    """Return the names, of many the first."""
    return ", ".join([*names[:MOST_NAMED], *["..."] * (len(names) > MOST_NAMED)])


def forced_kernel_notes(runs: Sequence[RunResult]) -> list[str]:
    """Say which environment variables chose the kernels that were timed."""
    found = {name for run in runs for name in forced_kernels(run.machine.get("environment", {}))}
    if not found:
        return []
    return [
        f"times are those of {', '.join(sorted(found))}, not of this processor (nnbench doctor)"
    ]
