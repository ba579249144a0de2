"""A report in under 60 lines of Markdown: for a pull request, or the summary of a job."""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.config.installation import VERSION
from nnbench.formatting import NAME_CHARACTERS, count, cut, duration, percent, printable
from nnbench.records.standing import standing
from nnbench.reporting.comparison.conditions import Condition, all_intervals
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.pages.markdown import escape
from nnbench.reporting.statistics import Difference

MOST, MOST_NOTES = 8, 4  # conditions, verdicts, groups and runs that are listed; notes
MOST_CHARACTERS = 600  # of a sentence: one about groups with long names
HEAD = ("group", "seeds", "test accuracy", "epoch")


def summary(report: Report, title: str, conditions: Sequence[Condition] = ()) -> str:
    """Return conditions, verdicts, the first table, certificates and notes, each cut short."""
    met = sum(each.met for each in conditions)
    end = f": {'failed' if met else 'passed'}, {met} of {count(len(conditions), 'condition')} met"
    lines = [f"## {_one(title)}{end * bool(conditions)}", "", f"**{_one(report.question)}**"]
    lines += ["", _one(report.caution)] if report.caution else []
    failing = sorted(conditions, key=lambda each: not each.met)
    lines += _listed([f"{'❌' if c.met else '✅'} {_one(str(c))}" for c in failing], "conditions")
    lines += _listed([_one(verdict) for verdict in report.verdicts], "verdicts")
    lines += _table(report)
    lines += _listed([_one(line) for line in _certificates(report)], "runs")
    lines += _listed([_one(note) for note in report.notes], "notes", MOST_NOTES)
    lines += ["", f"<sub>{_one(_machine(report))}; intervals are 95 %; nnbench {VERSION}</sub>"]
    return "\n".join(lines) + "\n"


def _table(report: Report) -> list[str]:
    """Return the groups of the first table, figures with their intervals."""
    rows, known = report.tables[0].rows, all_intervals(report)
    lines = ["", f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1)]
    for row in rows[:MOST]:
        figures = known[row.group]
        cells = [
            _one(cut(row.group, NAME_CHARACTERS)),
            f"{row.seeds}" + f", {row.diverged} diverged" * bool(row.diverged),
            _cell(figures.get("accuracy"), percent),
            _cell(figures.get("time"), duration),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    more = len(rows) - MOST
    tables = len(report.tables) - 1
    said = [f"{count(more, 'more group')} and"] * (more > 0) if tables else []
    said += [f"{count(tables, 'more table')}, of runs that are not ranked against these."] * (
        tables > 0
    )
    said = said or [f"{count(more, 'more group')}."] * (more > 0)
    return [*lines, *([""] * bool(said)), *([" ".join(said)] if said else [])]


def _cell(found: Difference | None, text: object) -> str:
    assert callable(text)
    if found is None:
        return "-"
    shown = str(text(found.value))
    if abs(found.low) == float("inf") or found.high == float("inf"):
        return escape(shown)
    return escape(f"{shown} ({text(found.low)} to {text(found.high)})")


def _certificates(report: Report) -> list[str]:
    """Return a line on all runs that nothing is wrong with, one for each of the others."""
    wrong, unproved, good = [], 0, 0
    for run in report.runs:
        found = standing(run)
        if run.status == "diverged":
            wrong.append(f"❌ {run.shown}: diverged")
        elif not found.ranked:
            wrong.append(f"❌ {run.shown}: {found.reason}")
        else:
            good, unproved = good + (not found.word), unproved + bool(found.word)
    text = f"Certificates: {good} of {count(len(report.runs), 'run')} proved"
    return [text + f", {unproved} not proved or not checked" * bool(unproved), *wrong]


def _machine(report: Report) -> str:
    known = dict(report.environment)
    return f"{known['processor']}, {known['cores']} cores"


def _listed(items: Sequence[str], what: str, most: int = MOST) -> list[str]:
    more = [f"and {len(items) - most} more {what}"] * (len(items) > most)
    return [""] * bool(items) + [f"- {item}" for item in [*items[:most], *more]]


def _one(text: str) -> str:
    """Return `text` as a line of Markdown that shows it as it is."""
    return escape(printable(cut(text, MOST_CHARACTERS)))
