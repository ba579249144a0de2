"""The claims of studies with their verdicts: in the terminal, as Markdown, for a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from nnbench.config.studies import read_study, studies
from nnbench.records.run import RunResult
from nnbench.reporting.claims.expression import Figures
from nnbench.reporting.claims.verdicts import WAYS, Answer, answer, by_seed, read_claims, shown

HEADS = ("claim", "published", "measured, as published", "measured, matched", "verdict")
HOW = (
    "Figures are means over seeds, ratios geometric means, with 95 % intervals (Student's t). "
    "*As published* repeats what each side of the publication did; *matched* differs in the "
    "framework alone."
)


@dataclass(frozen=True)
class StudyAnswers:
    """A study's claims, answered; `seeds` says over what, `title` and `question` are its own."""

    name: str
    title: str
    question: str
    seeds: str
    answers: tuple[Answer, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of the table: claim, published, measured twice, verdict."""
        return [
            (
                f"{a.claim.id}: {a.claim.statement}",
                a.claim.published,
                *(shown(a, way) for way in WAYS),
                a.verdict,
            )
            for a in self.answers
        ]


def counts(studies: Sequence[StudyAnswers]) -> str:
    """Return how many claims came to what."""
    found: dict[str, int] = {}
    for study in studies:
        for each in study.answers:
            word = each.verdict.split(";")[0].split(":")[0]
            word = "reproduced one way, not the other" if word.startswith("as published") else word
            found[word] = found.get(word, 0) + 1
    total = sum(found.values())
    return f"{total} claims: " + ", ".join(f"{n} {word}" for word, n in found.items()) + "."


def claims_text(studies: Sequence[StudyAnswers]) -> Group:
    """Return the claims for the terminal: what is said, what was measured, the verdict."""
    parts: list[Any] = []
    for study in studies:
        parts += ["", Text(f"{study.title} ({study.name}; {study.seeds})", style="bold")]
        for row in study.rows():
            said, published, *measured, verdict = row
            figures = [f"published {published}"]
            ways = zip(("as published", "matched"), measured, strict=True)
            figures += [f"{way} {text}" for way, text in ways if text != "-"]
            parts += ["", Text(said, style="cyan"), Padding(Text("; ".join(figures)), (0, 0, 0, 4))]
            parts.append(Padding(Text(verdict), (0, 0, 0, 4)))
    return Group(*parts, "", counts(studies))


def claims_markdown(
    studies: Sequence[StudyAnswers], environment: Sequence[tuple[str, str]], asked: str
) -> str:
    """Return the document that `nnbench claims --out` writes; `asked` is the command."""
    lines = ["# The claims of the publications, measured", ""]
    lines += [f"<!-- written by `{asked}`; not by hand -->", "", f"{counts(studies)} {HOW}"]
    for study in studies:
        lines += [
            "",
            f"## {study.title}",
            "",
            study.question,
            "",
            f"`{study.name}`, {study.seeds}.",
        ]
        lines += ["", *markdown_table(study)]
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
    found = []
    for name in sorted(names & studies().keys()):
        figures = by_seed(name, runs)
        found.append(answer_study(name, read_study(name), figures, seeds_told(figures)))
    return found


def answer_study(
    name: str, study: Mapping[str, Any], figures: Mapping[int, Figures], told: str
) -> StudyAnswers:
    """Answer the claims of a study over `figures`; `told` says over what."""
    answers = tuple(answer(claim, figures) for claim in read_claims(name, study))
    return StudyAnswers(name, study["title"], study["question"], told, answers)


def seeds_told(figures: Mapping[int, Figures]) -> str:
    """Say which seeds there are figures of."""
    return f"seeds {', '.join(map(str, sorted(figures)))}"
