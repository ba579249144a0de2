"""What a report says, as data: verdicts, tables, differences, times; no text format yet."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from nnbench.errors import ConfigError
from nnbench.formatting import EPOCH_TIME, count
from nnbench.records.certificate import sentences
from nnbench.records.run import RunResult
from nnbench.reporting.claims.text import StudyAnswers, answered
from nnbench.reporting.comparison.against import Against, compare
from nnbench.reporting.comparison.answers import AllAnswers, agreement_sentences, all_answers
from nnbench.reporting.comparison.fairness import (
    COMPARED,
    Caution,
    apart_sentences,
    cautions,
    findings,
)
from nnbench.reporting.comparison.groups import Group, Table, tables
from nnbench.reporting.comparison.learning import has_learnt, hints
from nnbench.reporting.comparison.notes import (
    caution_line,
    caution_notes,
    environment,
    lacking_notes,
    table_notes,
    unfinished,
)
from nnbench.reporting.comparison.rows import Row, row
from nnbench.reporting.comparison.run_notes import flag_notes, forced_kernel_notes
from nnbench.reporting.comparison.tested import Read, Tested, once
from nnbench.schema import suggest
from nnbench.schema.deferred import dataclass
from nnbench.schema.progress import Tell, nobody

TARGET = 0.95  # of the best median test accuracy: the accuracy that times are taken to

READING = (
    f"Epoch: {EPOCH_TIME}; a row shows the median over its seeds.",
    "A verdict on time is about pairs of runs with the same seed, the geometric mean of their "
    "ratios: it can differ from the ratio of two rows.",
    "A verdict on accuracy is about other seeds and other test samples of the same kind: its "
    "interval has both sources of chance.",
)
ONE_GROUP = "There is only one group: nothing to compare."


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
    """Everything a report says; `answers` are those of the first table's groups.

    `hints`: what nets that have hardly learnt could try. `apart`: why groups have tables of their
    own.
    """

    question: str
    verdicts: tuple[str, ...]
    tables: tuple[TableContent, ...]
    hints: tuple[str, ...]
    apart: tuple[str, ...]
    parity: tuple[str, ...]
    notes: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    claims: tuple[StudyAnswers, ...]
    answers: AllAnswers
    runs: tuple[RunResult, ...]

    @property
    def headlines(self) -> tuple[str, ...]:
        """Return the verdicts for a reader in a hurry; what they rest on is in `verdicts`."""
        return tuple(_verdicts(self.tables, short=True))

    @property
    def caution(self) -> str | None:
        """Return what is said before the verdicts: in what unset facts compared runs differ."""
        pairs = [c for t in self.tables for against in t.against for c in against.cautions]
        return caution_line([*pairs, *(c for table in self.tables for c in table.cautions)])


def build(runs: Sequence[RunResult], baseline: str | None = None, tell: Tell = nobody) -> Report:
    """Return the report over `runs`, ratios taken against the group or backend `baseline`.

    Without one it is numpy's group where there is one, else the first. Raises ConfigError where
    there is no such group or backend.
    """
    over = [run for run in runs if run.status in ("finished", "diverged")]
    found = tables(over)
    _check_baseline(baseline, found)
    known, seen = once(), set[str]()

    def read(run: RunResult) -> Tested | None:
        seen.add(run.run_id)
        tell(len(seen), len(over), f"comparing run {len(seen):,} of {len(over):,}")
        return known(run)

    contents = tuple(_content(table, baseline, read) for table in found)
    answers = all_answers(contents[0].table.groups, read)
    shared = contents[0].table.varying
    what = ", ".join(shared) if shared else "the seed"
    question = f"What is the effect of {what}?" if len(over) > 1 else "How did this run do?"
    return Report(
        question=question,
        verdicts=tuple(_verdicts(contents)),
        tables=contents,
        hints=tuple(hints(over)),
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


def _content(table: Table, baseline: str | None, read: Read) -> TableContent:
    learnt = [group for group in table.groups if any(map(has_learnt, group.runs))]
    best = [median(f.values()) for g in learnt if (f := g.figures("test_accuracy"))]
    target = TARGET * max(best) if best else None
    rows = tuple(row(group, target, table.word) for group in table.groups)
    against = tuple(compare(_pairs(table, baseline), read, target))
    told = {caution.key for each in against for caution in each.cautions}
    besides = tuple(c for c in cautions(table.groups, table.varying) if c.key not in told)
    notes = (*READING, *table_notes(table), *caution_notes(besides), *lacking_notes(table.groups))
    return TableContent(table, target, rows, against, notes, besides)


def _pairs(table: Table, wanted: str | None) -> list[tuple[Group, Group]]:
    """Return who is compared to whom: each group to the baseline's with the same other settings.

    The baseline is a backend (`wanted`, else numpy, else the first) where backends vary, or the
    group called `wanted`. A group without a counterpart is compared to the baseline's first.
    """
    groups = [group for group in table.groups if group.finished]
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


def _verdicts(contents: Sequence[TableContent], short: bool = False) -> list[str]:
    several = sum(any(a.fair for a in content.against) for content in contents) > 1
    found = [
        f"Table {i}: " * several + (a.short if short else str(a))
        for i, content in enumerate(contents, 1)
        for a in content.against
        if a.fair
    ]
    unfair = sum(not a.fair for content in contents for a in content.against)
    if not found and not unfair:
        found.append(_nothing([g for content in contents for g in content.table.groups]))
    if unfair:
        found.append(
            f"{unfair} more pair{'s' * (unfair > 1)} differ{'s' * (unfair == 1)} in more than the "
            "backend; see below."
        )
    return found


def _nothing(groups: Sequence[Group]) -> str:
    """Say why there is nothing to compare."""
    ranked = sum(bool(group.finished) for group in groups)
    if ranked == 1:
        return ONE_GROUP
    runs = [run for group in groups for run in group.runs]
    diverged = sum(run.status == "diverged" for run in runs)
    if diverged == len(runs):
        return f"{count(diverged, 'run')} diverged, none finished: nothing to compare."
    if not ranked:
        return f"None of {count(len(runs), 'run')} has figures that count: nothing to compare."
    return "No two groups may be ranked against each other: nothing to compare."
