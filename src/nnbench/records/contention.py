"""Whether a run had its processor to itself, and its work done in time, by its own record.

The limits are measured (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Protocol

from nnbench.records.flags import Contended, Early, Flag
from nnbench.records.run import EpochRecord, RunResult

SLOWED = 0.05  # of epoch time that waiting for a processor may make up
WAITED = 0.2  # of all training time, where most epochs are too short to wait
IDLE = 0.1  # of all training time off the processor, where waiting is not recorded,
SWITCHES = 10.0  # together with so many involuntary switches a second
LATE = 0.05  # of training time, in at least half of the epochs
MOSTLY = 0.5  # of training time, in whatever epochs


class Effort(Protocol):
    """What an epoch says of its processor."""

    @property
    def train_seconds(self) -> float:
        """Return the wall seconds of training."""

    @property
    def cpu_seconds(self) -> float | None:
        """Return the processor seconds, None where they are not known."""

    @property
    def waited_seconds(self) -> float | None:
        """Return the seconds of waiting for a processor, None where they are not known."""

    @property
    def involuntary_switches(self) -> int | None:
        """Return how often the processor was taken away, None where it is not known."""


def flags(epochs: Sequence[EpochRecord]) -> tuple[Flag, ...]:
    """Return what the record of these epochs says against their times."""
    if not epochs:
        return ()
    early = (Early(),) if is_early(epochs) else ()
    return (*((Contended(),) if is_contended(epochs) else ()), *early)


def is_early(epochs: Sequence[EpochRecord]) -> bool:
    """Tell whether `train` used to return before its work was done.

    A charge in a few epochs is what a busy machine does to any trainer; it counts in their times
    all the same.
    """
    late = [record.late_seconds or 0.0 for record in epochs]
    share = sum(late) / (sum(record.train_seconds for record in epochs) or 1.0)
    usual = 2 * sum(seconds > 0.0 for seconds in late) >= len(late)
    return share > MOSTLY or (share > LATE and usual)


def is_contended(epochs: Sequence[Effort]) -> bool:
    """Tell whether other processes took the processor for a part of epoch time that matters.

    False where nothing of that kind is recorded.
    """
    records = epochs[1:] or epochs  # those that epoch time is taken from
    seconds = sum(record.train_seconds for record in records)
    waits = [record.waited_seconds for record in records]
    known = [(r.train_seconds, w) for r, w in zip(records, waits, strict=True) if w is not None]
    if known:
        usual = median(seconds for seconds, _ in known)
        undisturbed = median(seconds - waited for seconds, waited in known)
        slowed = usual - undisturbed > SLOWED * usual
        return slowed or sum(waited for _, waited in known) > WAITED * seconds
    work, switches = processor_seconds(records), involuntary_switches(records)
    if work is None or switches is None:
        return False
    return seconds - work > IDLE * seconds and switches > SWITCHES * seconds


def waited_seconds(epochs: Sequence[Effort]) -> float | None:
    """Return the sum over `epochs`, None where one has none on record."""
    return _sum([record.waited_seconds for record in epochs])


def processor_seconds(epochs: Sequence[Effort]) -> float | None:
    """Return the sum over `epochs`, None where one has none on record."""
    return _sum([record.cpu_seconds for record in epochs])


def involuntary_switches(epochs: Sequence[Effort]) -> float | None:
    """Return the sum over `epochs`, None where one has none on record."""
    return _sum([record.involuntary_switches for record in epochs])


def sentence(run: RunResult) -> str:
    """Say how much of the training time of `run` its processor was its own."""
    seconds = sum(record.train_seconds for record in run.epochs)
    work = processor_seconds(run.epochs)
    if work is None or not seconds:
        return "not recorded"
    parts = [f"one for {work / seconds:.0%} of the training time"]
    waited, switches = waited_seconds(run.epochs), involuntary_switches(run.epochs)
    if waited is not None:
        parts.append(f"{min(1.0, waited / seconds):.0%} waiting for one")
    if switches is not None:
        parts.append(f"{switches / seconds:.0f} involuntary switches a second")
    loads = [record.load for record in run.epochs if record.load is not None]
    if loads:
        parts.append(f"load {median(loads):.1f}")
    late = sum(record.late_seconds or 0.0 for record in run.epochs)
    if late:
        parts.append(f"{late / seconds:.0%} after train() had returned")
    return ", ".join(parts)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
