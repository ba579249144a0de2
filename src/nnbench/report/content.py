"""What a report says, as data: verdicts, tables, differences, times; no text format yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from nnbench.certificate import sentences
from nnbench.record import Phases, RunResult
from nnbench.report.fairness import COMPARED, apart_sentences, findings
from nnbench.report.figures import flag_notes, forced_kernel_notes
from nnbench.report.groups import Group, Table, seed, tables
from nnbench.report.statistics import (
    FEWEST,
    Comparison,
    Difference,
    compare_times,
    corrected,
    outliers,
    paired_difference,
)

TARGET = 0.95  # of the best median test accuracy: the accuracy that times are taken to


@dataclass(frozen=True)
class Row:
    """One group's line; accuracies and gaps are shares, times seconds, memory bytes.

    Figures are means over `seeds` runs, times medians; `*_low` and `*_high` are the least and the
    greatest. None where there is none.
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


@dataclass(frozen=True)
class Against:
    """One group against the baseline: time, test accuracy, and what else differs."""

    group: str
    baseline: str
    time: Comparison
    accuracy: Difference | None
    accuracy_p: float | None
    differences: tuple[str, ...]

    @property
    def fair(self) -> bool:
        """Tell whether the two differ in the backend alone."""
        return not self.differences

    def __str__(self) -> str:
        """Return the verdict as a sentence."""
        text = f"{self.group} against {self.baseline}: {self.time}"
        if self.accuracy is not None and self.time.pairs >= FEWEST:
            d = self.accuracy
            found = "no difference in test accuracy"
            if self.accuracy_p is not None and self.accuracy_p < 0.05:
                found = f"test accuracy {'higher' if d.value > 0 else 'lower'} by "
                found += f"{100 * abs(d.value):.2f} points"
            text += f"; {found} ({100 * d.low:+.2f} to {100 * d.high:+.2f} points)"
        if self.differences:
            text += f". Not a comparison of backends alone: {'; '.join(self.differences)}"
        return text + "."


@dataclass(frozen=True)
class TableContent:
    """One table of groups that may be ranked, with what it compares to `baseline`."""

    table: Table
    target: float | None
    rows: tuple[Row, ...]
    against: tuple[Against, ...]
    notes: tuple[str, ...]

    @property
    def unfair(self) -> list[Against]:
        """Return the pairs that differ in more than the backend; the others are the verdicts."""
        return [against for against in self.against if not against.fair]


@dataclass(frozen=True)
class Report:
    """Everything a report says."""

    question: str
    verdicts: tuple[str, ...]
    tables: tuple[TableContent, ...]
    apart: tuple[str, ...]
    parity: tuple[str, ...]
    notes: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    runs: tuple[RunResult, ...]

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the figures that conditions may use, by group; of the first table."""
        found = {}
        for row in self.tables[0].rows:
            values = {
                "time": row.epoch,
                "accuracy": row.test_accuracy,
                "train_accuracy": row.train_accuracy,
                "gap": row.gap,
                "loss": row.test_loss,
                "total_time": row.total_time,
                "parameters": float(row.parameters),
                "memory": row.memory,
            }
            found[row.group] = {k: v for k, v in values.items() if v is not None}
        return found


def build(runs: Sequence[RunResult], baseline: str | None = None) -> Report:
    """Return the report over `runs`, ratios taken against the group or backend `baseline`.

    Without one it is numpy's group where there is one, else the first.
    """
    over = [run for run in runs if run.status in ("finished", "diverged")]
    found = tables(over)
    contents = tuple(_content(table, baseline) for table in found)
    shared = contents[0].table.varying
    what = ", ".join(shared) if shared else "the seed"
    question = f"What does a difference in {what} come to?"
    return Report(
        question=question,
        verdicts=tuple(_verdicts(contents)),
        tables=contents,
        apart=tuple(apart_sentences(found)),
        parity=tuple(sentences([run for run in over if run.parity])),
        notes=(*flag_notes(over), *forced_kernel_notes(over), *_unfinished(runs)),
        environment=tuple(_environment(over)),
        runs=tuple(over),
    )


def _content(table: Table, baseline: str | None) -> TableContent:
    best = [median(f.values()) for g in table.groups if (f := g.figures("test_accuracy"))]
    target = TARGET * max(best) if best else None
    rows = tuple(_row(group, target) for group in table.groups)
    pairs = _pairs(table, baseline)
    times = corrected([compare_times(a.seconds(), b.seconds()) for a, b in pairs])
    against = tuple(_against(a, b, time) for (a, b), time in zip(pairs, times, strict=True))
    return TableContent(table, target, rows, against, tuple(_table_notes(table)))


def _pairs(table: Table, wanted: str | None) -> list[tuple[Group, Group]]:
    """Return who is compared to whom: each group to the baseline's with the same other settings.

    The baseline is a backend (`wanted`, else numpy, else the first) where backends vary, or the
    group called `wanted`. A group without a counterpart is compared to the baseline's first.
    """
    groups = [group for group in table.groups if group.seconds()]
    if not groups:
        return []
    named = [group for group in groups if group.label == wanted]
    backends = dict.fromkeys(str(group.settings.get(COMPARED)) for group in groups)
    chosen = next((name for name in (wanted, "numpy") if name in backends), next(iter(backends)))
    bases = named or [g for g in groups if str(g.settings.get(COMPARED)) == chosen]
    if len(backends) == 1 and not named:
        bases = groups[:1]
    pairs = []
    for group in groups:
        counterparts = [base for base in bases if not findings(base, group)]
        if group not in bases:
            pairs.append(((counterparts or bases)[0], group))
    return pairs


def _against(base: Group, group: Group, time: Comparison) -> Against:
    a, b = base.figures("test_accuracy"), group.figures("test_accuracy")
    shared = sorted(a.keys() & b.keys())
    accuracy, p = None, None
    if len(shared) > 1:
        accuracy, p = paired_difference([a[s] for s in shared], [b[s] for s in shared])
    different = tuple(str(finding) for finding in findings(base, group))
    return Against(group.label, base.label, time, accuracy, p, different)


def _row(group: Group, target: float | None) -> Row:
    seconds = sorted(group.seconds().values())
    accuracies = sorted(group.figures("test_accuracy").values())
    finished = group.finished
    reached = [t for run in finished if (t := seconds_to(run, target)) is not None]
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
        first_epoch=median(r.epochs[0].train_seconds for r in finished) if finished else None,
        epoch=median(seconds) if seconds else None,
        epoch_low=seconds[0] if seconds else None,
        epoch_high=seconds[-1] if seconds else None,
        to_target=median(reached) if reached and len(reached) == len(finished) else None,
        total_time=median(r.phases.wall_seconds for r in finished) if finished else None,
        parameters=group.first.parameters,
        memory=median(memory) if memory else None,
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
    values = [v for v in values if v is not None and math.isfinite(v)]
    return mean(values) if values else None


def _verdicts(contents: Sequence[TableContent]) -> list[str]:
    found = [str(a) for content in contents for a in content.against if a.fair]
    unfair = sum(not a.fair for content in contents for a in content.against)
    if not found and not unfair:
        found.append("There is one group alone: nothing to compare.")
    if unfair:
        found.append(
            f"{unfair} more pair{'s' * (unfair > 1)} differ{'s' * (unfair == 1)} in more than the "
            "backend; see below."
        )
    return found


def _table_notes(table: Table) -> list[str]:
    notes = []
    for group in table.groups:
        if 0 < len(group.finished) < FEWEST:
            notes.append(
                f"{group.label}: {len(group.finished)} seed"
                f"{'s' * (len(group.finished) > 1)}; {FEWEST} are needed for a verdict."
            )
        if group.diverged:
            names = ", ".join(f"seed {seed(run)}" for run in group.diverged)
            notes.append(f"{group.label}: diverged with {names}; not in the means.")
        seconds = group.seconds()
        for i in outliers(list(seconds.values())) if len(seconds) > FEWEST else []:
            s = list(seconds)[i]
            notes.append(
                f"{group.label}: seed {s} took {seconds[s]:.4g} s per epoch, far from the others; "
                "it is in the figures."
            )
        if group.repeated:
            notes.append(f"{group.label}: {group.repeated} earlier runs of these seeds left out.")
    missing = {s for g in table.groups for s in g.seconds()}
    for group in table.groups:
        lacks = sorted(missing - group.seconds().keys())
        if lacks and group.seconds():
            words = ", ".join(map(str, lacks))
            notes.append(f"{group.label}: no finished run with seed {words}, pairs are missing.")
    return notes


def _unfinished(runs: Sequence[RunResult]) -> list[str]:
    left = [run for run in runs if run.status not in ("finished", "diverged")]
    return [f"left out, {run.status}: {run.name} ({run.run_id})" for run in left]


def _environment(runs: Sequence[RunResult]) -> list[tuple[str, str]]:
    """Return what the runs ran on; several values where they differ."""

    def every(find: Any) -> str:
        values = dict.fromkeys(str(value) for run in runs if (value := find(run.machine)))
        return " | ".join(values) or "unknown"

    def versions(machine: dict[str, Any]) -> str:
        return ", ".join(f"{k} {v}" for k, v in (machine.get("versions") or {}).items())

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


def ledger(group: Group) -> dict[str, float]:
    """Return the mean seconds of a group's runs by phase, what no phase accounts for too."""
    runs = group.finished
    names = [n for n in asdict(Phases()) if n != "wall_seconds"]
    found = {n.removesuffix("_seconds"): mean(getattr(r.phases, n) for r in runs) for n in names}
    return found | {"unattributed": mean(r.phases.unattributed_seconds for r in runs)}
