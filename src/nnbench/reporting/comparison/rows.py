"""The figures of a group of runs, as one line of a table and as a ledger of its time."""

from __future__ import annotations

from dataclasses import asdict
from statistics import mean, median
from typing import Any

from nnbench.formatting import finite
from nnbench.records.run import Phases, RunResult
from nnbench.reporting.comparison.groups import Group
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class Row:
    """One group's line; accuracies and gaps are fractions, times seconds, memory bytes.

    Figures are means over `seeds` runs, times medians; `*_low` and `*_high` are the least and the
    greatest. None where there is none. `word` says what is not proved of the group's runs.
    """

    group: str
    seeds: int
    diverged: int
    test_accuracy: float | None
    test_accuracy_low: float | None
    test_accuracy_high: float | None
    train_accuracy: float | None
    gap: float | None
    test_loss: float | None
    first_epoch: float | None
    epoch: float | None
    epoch_low: float | None
    epoch_high: float | None
    to_target: float | None
    total_time: float | None
    parameters: int
    memory: float | None
    word: str = ""


def row(group: Group, target: float | None, told: str = "") -> Row:
    """Return the figures of `group`; `target` is the accuracy that `to_target` is taken to.

    `told` is the word that the table says of all its groups.
    """
    seconds = sorted(group.seconds().values())
    accuracies = sorted(group.figures("test_accuracy").values())
    finished, timed = group.finished, group.timed
    reached = [t for run in timed if (t := seconds_to(run, target)) is not None]
    memory = [run.peak_memory_bytes for run in finished if run.peak_memory_bytes]
    return Row(
        group=group.label,
        seeds=len(finished),
        diverged=len(group.diverged),
        test_accuracy=_mean(accuracies),
        test_accuracy_low=accuracies[0] if accuracies else None,
        test_accuracy_high=accuracies[-1] if accuracies else None,
        train_accuracy=_mean(group.figures("train_accuracy").values()),
        gap=_mean(group.figures("generalization_gap").values()),
        test_loss=_mean(group.figures("test_loss").values()),
        first_epoch=median(r.epochs[0].train_seconds for r in timed) if timed else None,
        epoch=median(seconds) if seconds else None,
        epoch_low=seconds[0] if seconds else None,
        epoch_high=seconds[-1] if seconds else None,
        to_target=median(reached) if reached and len(reached) == len(timed) else None,
        total_time=median(r.phases.wall_seconds for r in timed) if timed else None,
        parameters=group.first.parameters,
        memory=median(memory) if memory else None,
        word="" if group.word == told else group.word,
    )


def seconds_to(run: RunResult, target: float | None) -> float | None:
    """Return the training seconds until test accuracy reaches `target`, None if it never does."""
    total = 0.0
    for record in run.epochs:
        total += record.train_seconds
        if target is None or record.test_accuracy is None:
            return None
        if record.test_accuracy >= target:
            return total
    return None


def _mean(values: Any) -> float | None:
    values = finite(values)
    return mean(values) if values else None


def ledger(group: Group) -> dict[str, float]:
    """Return the mean seconds of a group's runs by phase, what no phase accounts for too."""
    runs = group.finished
    names = [n for n in asdict(Phases()) if n != "wall_seconds"]
    found = {n.removesuffix("_seconds"): mean(getattr(r.phases, n) for r in runs) for n in names}
    return found | {"unattributed": mean(r.phases.unattributed_seconds for r in runs)}
