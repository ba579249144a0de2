"""What a report says, as data: verdicts, tables, differences, times; no text format yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from nnbench.errors import ConfigError
from nnbench.formatting import EPOCH_TIME
from nnbench.records.certificate import sentences
from nnbench.records.run import RunResult
from nnbench.reporting.claims.text import StudyAnswers, answered
from nnbench.reporting.comparison.answers import AllAnswers, agreement_sentences, all_answers
from nnbench.reporting.comparison.fairness import (
    COMPARED,
    Caution,
    apart_sentences,
    cautions,
    findings,
)
from nnbench.reporting.comparison.groups import Group, Table, tables
from nnbench.reporting.comparison.notes import (
    caution_line,
    caution_notes,
    environment,
    flag_notes,
    forced_kernel_notes,
    lacking_notes,
    table_notes,
    unfinished,
)
from nnbench.reporting.comparison.rows import Row, row
from nnbench.reporting.statistics import (
    FEWEST,
    Comparison,
    Difference,
    compare_times,
    corrected,
    paired_difference,
)
from nnbench.schema import suggest

TARGET = 0.95  # of the best median test accuracy: the accuracy that times are taken to

READING = (
    f"Epoch: {EPOCH_TIME}; a row shows the median over its seeds.",
    "A verdict is about pairs of runs with the same seed, the geometric mean of their ratios: it "
    "can differ from the ratio of two rows.",
)


@dataclass(frozen=True)
class Against:
    """One group against the baseline: time, test accuracy, and what else differs.

    `differences` are settings, `cautions` facts of the records that nobody set.
    """

    group: str
    baseline: str
    time: Comparison
    accuracy: Difference | None
    accuracy_p: float | None
    differences: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()

    @property
    def fair(self) -> bool:
        """Tell whether the two differ in the backend alone."""
        return not self.differences

    def pair(self) -> str:
        """Name both groups, what they share once: `torch against numpy (batch_size=8)`."""
        mine, others = self.group.split(), self.baseline.split()
        shared: list[str] = []
        while len(mine) > 1 and len(others) > 1 and mine[-1] == others[-1]:
            shared.insert(0, mine.pop())
            others.pop()
        told = f" ({' '.join(shared)})" if shared else ""
        return f"{' '.join(mine)} against {' '.join(others)}{told}"

    def __str__(self) -> str:
        """Return the verdict as a sentence."""
        text = f"{self.pair()}: {self.time}"
        if self.accuracy is not None and self.time.pairs >= FEWEST:
            d = self.accuracy
            found = "no difference in test accuracy"
            if self.accuracy_p is not None and self.accuracy_p < 0.05:
                found = f"test accuracy {'higher' if d.value > 0 else 'lower'} by "
                found += f"{100 * abs(d.value):.2f} points"
            text += f"; {found} ({100 * d.low:+.2f} to {100 * d.high:+.2f} points)"
        if self.differences:
            text += f". Not a comparison of backends alone: {'; '.join(self.differences)}"
        if self.cautions:
            text += f". Caution, recorded besides: {'; '.join(map(str, self.cautions))}"
        return text + "."


@dataclass(frozen=True)
class TableContent:
    """One table of groups that may be ranked, with what it compares to `baseline`.

    `cautions` are facts in which its runs differ and that no verdict tells.
    """

    table: Table
    target: float | None
    rows: tuple[Row, ...]
    against: tuple[Against, ...]
    notes: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()

    @property
    def unfair(self) -> list[Against]:
        """Return the pairs that differ in more than the backend; the others are the verdicts."""
        return [against for against in self.against if not against.fair]


@dataclass(frozen=True)
class Report:
    """Everything a report says; `answers` are those of the first table's groups."""

    question: str
    verdicts: tuple[str, ...]
    tables: tuple[TableContent, ...]
    apart: tuple[str, ...]
    parity: tuple[str, ...]
    notes: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    claims: tuple[StudyAnswers, ...]
    answers: AllAnswers
    runs: tuple[RunResult, ...]

    @property
    def caution(self) -> str | None:
        """Return what is said before the verdicts: in what unset facts compared runs differ."""
        pairs = [c for t in self.tables for against in t.against for c in against.cautions]
        return caution_line([*pairs, *(c for table in self.tables for c in table.cautions)])

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the figures that conditions may use, by group; of the first table."""
        found = {}
        for line in self.tables[0].rows:
            values = {
                "time": line.epoch,
                "accuracy": line.test_accuracy,
                "train_accuracy": line.train_accuracy,
                "gap": line.gap,
                "loss": line.test_loss,
                "total_time": line.total_time,
                "parameters": float(line.parameters),
                "memory": line.memory,
            }
            found[line.group] = {k: v for k, v in values.items() if v is not None}
        return found


def build(runs: Sequence[RunResult], baseline: str | None = None) -> Report:
    """Return the report over `runs`, ratios taken against the group or backend `baseline`.

    Without one it is numpy's group where there is one, else the first. Raises ConfigError where
    there is no such group or backend.
    """
    over = [run for run in runs if run.status in ("finished", "diverged")]
    found = tables(over)
    _check_baseline(baseline, found)
    contents = tuple(_content(table, baseline) for table in found)
    answers = all_answers(contents[0].table.groups)
    shared = contents[0].table.varying
    what = ", ".join(shared) if shared else "the seed"
    question = f"What is the effect of {what}?"
    return Report(
        question=question,
        verdicts=tuple(_verdicts(contents)),
        tables=contents,
        apart=tuple(apart_sentences(found)),
        parity=(
            *sentences([run for run in over if run.parity]),
            *agreement_sentences(answers),
        ),
        notes=(*flag_notes(over), *forced_kernel_notes(over), *unfinished(runs)),
        environment=tuple(environment(over)),
        claims=tuple(answered(over)),
        answers=answers,
        runs=tuple(over),
    )


def _check_baseline(wanted: str | None, found: Sequence[Table]) -> None:
    groups = [group for table in found for group in table.groups]
    backends = [str(group.settings.get(COMPARED)) for group in groups]
    known = list(dict.fromkeys([*backends, *(group.label for group in groups)]))
    if wanted is not None and wanted not in known:
        hint = suggest(wanted, known)
        raise ConfigError(f"Received --baseline {wanted}; there is {', '.join(known)}{hint}")


def _content(table: Table, baseline: str | None) -> TableContent:
    best = [median(f.values()) for g in table.groups if (f := g.figures("test_accuracy"))]
    target = TARGET * max(best) if best else None
    rows = tuple(row(group, target, table.word) for group in table.groups)
    pairs = _pairs(table, baseline)
    times = corrected([compare_times(a.seconds(), b.seconds()) for a, b in pairs])
    against = tuple(_against(a, b, time) for (a, b), time in zip(pairs, times, strict=True))
    told = {caution.key for each in against for caution in each.cautions}
    besides = tuple(c for c in cautions(table.groups, table.varying) if c.key not in told)
    notes = (*READING, *table_notes(table), *caution_notes(besides), *lacking_notes(table.groups))
    return TableContent(table, target, rows, against, notes, besides)


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
    different = tuple(findings(base, group).values())
    besides = tuple(cautions([base, group]))
    return Against(group.label, base.label, time, accuracy, p, different, besides)


def _verdicts(contents: Sequence[TableContent]) -> list[str]:
    found = [str(a) for content in contents for a in content.against if a.fair]
    unfair = sum(not a.fair for content in contents for a in content.against)
    if not found and not unfair:
        found.append("There is only one group: nothing to compare.")
    if unfair:
        found.append(
            f"{unfair} more pair{'s' * (unfair > 1)} differ{'s' * (unfair == 1)} in more than the "
            "backend; see below."
        )
    return found
