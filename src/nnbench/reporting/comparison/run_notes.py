"""What has to be said beside the figures of runs, whatever they are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.formatting import EPOCH_TIME, ONE_EPOCH, ONLY_EPOCH
from nnbench.records.environment import forced_kernels
from nnbench.records.run import RunResult


def epoch_note(runs: Sequence[RunResult]) -> str:
    """Say what the epoch times of `runs` are."""
    single = sum(len(run.epochs) == 1 for run in runs)
    if single == len(runs):
        return f"epoch: training time {ONE_EPOCH}"
    which = f"; of runs with one epoch, {ONLY_EPOCH}" if single else ""
    return f"epoch: {EPOCH_TIME}{which}"


def flag_notes(runs: Sequence[RunResult]) -> list[str]:
    """Return the flags of `runs`, each with the runs that it is about."""
    flags = dict.fromkeys(flag for run in runs for flag in run.flags)
    return [f"{', '.join(r.shown for r in runs if flag in r.flags)}: {flag}" for flag in flags]


def forced_kernel_notes(runs: Sequence[RunResult]) -> list[str]:
    """Say which environment variables chose the kernels that were timed."""
    found = {name for run in runs for name in forced_kernels(run.machine.get("environment", {}))}
    if not found:
        return []
    return [
        f"times are those of {', '.join(sorted(found))}, not of this processor (nnbench doctor)"
    ]
