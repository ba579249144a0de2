"""Figures as text, and what has to be said beside them."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.record import RunResult
from nnbench.switches import forced_kernels


def percent(value: float | None) -> str:
    """Format a share from 0 to 1 as per cent."""
    return "-" if value is None else f"{100 * value:.2f}%"


def number(value: float | None) -> str:
    """Format a loss or difference."""
    return "-" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Format seconds with the unit that suits."""
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{1e6 * seconds:.0f} us"
    return f"{1e3 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def memory(count: float) -> str:
    """Format bytes as the most that a process had in memory."""
    return f"{count / 2**20:,.0f} MiB at most"


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


def kept_figure(run: RunResult, figure: str) -> float | None:
    """Return a figure of the kept epoch, None where there is none."""
    return getattr(run.kept, figure) if run.kept else None
