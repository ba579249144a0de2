"""The claims of studies with their verdicts: in the terminal, as Markdown, for a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from nnbench.config.studies import read_study, studies, with_origin
from nnbench.records.run import RunResult
from nnbench.reporting.claims.claim import WAYS, Way, read_claims, read_figures
from nnbench.reporting.claims.expression import Figures
from nnbench.reporting.claims.figures import by_seed
from nnbench.reporting.claims.verdicts import Answer, answer, shown, ways, with_causes
from nnbench.reporting.pages.grid import fold, titled
from nnbench.schema.deferred import dataclass

HEADS = ("claim", "published", "measured, as published", "measured, matched", "verdict")
_WAYS: dict[Way, str] = {"published": "as published", "matched": "matched"}
HOW = (
    "Figures are means over seeds, ratios geometric means, with 95 % intervals (Student's t). "
    "Reproduced: the whole interval lies within what is claimed; not reproduced: all of it lies "
    "outside; else undecided. A stand-in gives no verdict on the original. A fact and its cause "
    "are two claims. "
    "*As published* repeats what each side of the publication did; *matched* differs in the "
    "framework alone."
)


@dataclass(frozen=True)
class Pair:
    """Two cases that differ in the framework alone, and the largest difference of their weights.

    The `difference`, over all seeds, is None where their weights cannot be compared.
    """

    a: str
    b: str
    epochs: int
    difference: float | None

    def __str__(self) -> str:
        found = self.difference
        end = "are not comparable" if found is None else f"differ by at most {found:.1e}"
        return (
            f"{self.a} and {self.b} differ in the framework alone: after {self.epochs} "
            f"epoch{'s' * (self.epochs > 1)} their weights {end}."
        )


@dataclass(frozen=True)
class StudyAnswers:
    """A study's claims, answered over `seeds`, or over `rounds` of timing operations.

    `changed` are the overrides that make its cases others than the published ones; `cautions`
    say in what else the runs differ, or how recorded ones would be other runs now.
    """

    name: str
    title: str
    question: str
    answers: tuple[Answer, ...]
    seeds: tuple[int, ...] = ()
    rounds: int = 0
    changed: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def basis(self) -> str:
        """Say what the figures are over."""
        text = f"{self.rounds} rounds" if self.rounds else "no runs"
        if self.seeds:
            text = f"seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
            text += ", which has no interval: see nnbench claims" * (len(self.seeds) == 1)
        return text + f", with {' '.join(self.changed)}: not as published" * bool(self.changed)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of the table: claim, published, measured twice, verdict."""
        return [
            (
                f"{a.claim.id}: {a.claim.statement}" if a.claim.id else a.claim.statement,
                a.claim.published,
                *(shown(a, way) for way in WAYS),
                verdict(a),
            )
            for a in self.answers
        ]


def verdict(answer: Answer) -> str:
    """Say what came of a claim, and what else there is to know: its causes, its note."""
    return "; ".join((_outcome(answer), *remarks(answer)))


def remarks(answer: Answer) -> list[str]:
    """Return what else there is to say: why nothing was measured, stand-ins, causes, the note."""
    claim, found = answer.claim, []
    if claim.untestable is not None:
        found.append(claim.untestable)
    found += dict.fromkeys(answer.missing.values())
    for way, what in claim.stand_ins.items():
        found.append(f"{_WAYS[way]} it is a stand-in: {what}")
    if answer.differs:
        for cause, outcome in answer.causes.items():
            found.append(f"the cause: {cause}, {outcome}")
        if isinstance(claim.because, str):
            found.append(f"said to be, and not measured: {claim.because}")
    return [*found, claim.note] if claim.note else found


def _outcome(answer: Answer) -> str:
    if answer.claim.id is None:
        return "-"
    words: dict[Way, str] = {**ways(answer), **dict.fromkeys(answer.missing, "not run")}
    if len(set(words.values())) < 2:
        return answer.outcome
    return ", ".join(f"{_WAYS[way]} {words[way]}" for way in WAYS if way in words)


def counts(studies: Sequence[StudyAnswers]) -> str:
    """Say how many claims have which outcome."""
    found = Counter(a.outcome for study in studies for a in study.answers if a.claim.id)
    return f"{found.total()} claims: {', '.join(f'{n} {word}' for word, n in found.items())}."


def claims_text(studies: Sequence[StudyAnswers]) -> Group:
    """Return the claims for the terminal: cautions, a table for each study, and the reasons."""
    parts: list[Any] = [Text(f"{study.name}: {c}") for study in studies for c in study.cautions]
    for study in studies:
        title = Text(f"{study.title} ({with_origin(study.name)}; {study.basis})", style="bold")
        table = titled(*map(fold, HEADS))
        for each, row in zip(study.answers, study.rows(), strict=True):
            table.add_row(*map(Text, (*row[:-1], _outcome(each))))
        parts += ["", title, Text(study.question), table]
        for each in study.answers:
            if said := "; ".join(remarks(each)):
                name = each.claim.id or each.claim.statement
                parts.append(Padding(Text(f"{name}: {said}"), (0, 0, 0, 1)))
        parts += [Text(line) for line in ("", *map(str, study.pairs), *study.notes)]
    return Group(*parts, counts(studies))


def claims_markdown(
    studies: Sequence[StudyAnswers], environment: Sequence[tuple[str, str]], asked: str
) -> str:
    """Return the document that `nnbench claims --out` writes; `asked` is the command."""
    lines = ["# The claims of the publications, measured", ""]
    lines += [f"<!-- written by `{asked}`; not by hand -->", "", f"{counts(studies)} {HOW}"]
    for study in studies:
        lines += ["", f"## {study.title}", "", study.question, ""]
        lines += [f"`{study.name}`, {study.basis}.", ""]
        lines += [line for caution in study.cautions for line in (caution, "")]
        lines += markdown_table(study)
        lines += [line for pair in study.pairs for line in ("", str(pair))]
    lines += ["", "## Where", "", *(f"- {name}: {value}" for name, value in environment)]
    return "\n".join(lines) + "\n"


def markdown_table(study: StudyAnswers) -> list[str]:
    """Return a study's table as lines of Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{' --- |' * len(HEADS)}"]
    for row in study.rows():
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return lines


def answered(runs: Sequence[RunResult]) -> list[StudyAnswers]:
    """Return the claims of the studies whose cases are among `runs`, as far as these tell."""
    names = {str(run.config.get("case") or "").partition("/")[0] for run in runs}
    return [
        answer_study(name, read_study(name), by_seed(name, runs))
        for name in sorted(names & studies().keys())
    ]


def answer_study(
    name: str,
    study: Mapping[str, Any],
    figures: Mapping[int, Figures],
    lacking: Mapping[str, str] | None = None,
) -> StudyAnswers:
    """Answer the claims of a study over `figures`, by seed or by round of timing operations.

    `lacking` says of cases why they have no figures.
    """
    asked = [*read_claims(study), *read_figures(study)]
    answers = with_causes([answer(claim, figures, lacking) for claim in asked])
    seeds, rounds = ((), len(figures)) if "measured" in study else (tuple(sorted(figures)), 0)
    return StudyAnswers(name, study["title"], study["question"], answers, seeds, rounds)
