"""A report in under 60 lines of Markdown: for a pull request, or the summary of a job."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nnbench.config.installation import VERSION
from nnbench.formatting import NAME_CHARACTERS, count, cut, duration, number, percent, printable
from nnbench.records.standing import standing
from nnbench.reporting.comparison.conditions import Condition, all_intervals
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.pages.markdown import escape
from nnbench.reporting.statistics import Difference

MOST, MOST_NOTES = 8, 4  # conditions, verdicts, groups and runs that are listed; notes
MOST_CHARACTERS = 600  # of a sentence: one about groups with long names


def summary(report: Report, title: str, conditions: Sequence[Condition] = ()) -> str:
    """Return conditions, verdicts, the first table, certificates and notes, each cut short."""
    met = sum(each.met for each in conditions)
    end = f": {'failed' if met else 'passed'}, {met} of {count(len(conditions), 'condition')} met"
    lines = [f"## {_one(title)}{end * bool(conditions)}", "", f"**{_one(report.question)}**"]
    lines += ["", _one(report.caution)] if report.caution else []
    failing = sorted(conditions, key=lambda each: not each.met)
    lines += _listed(
        [f"{'**failed**' if c.met else 'passed'}, {_one(str(c))}" for c in failing], "conditions"
    )
    lines += _listed([_one(verdict) for verdict in report.headlines], "verdicts")
    lines += _table(report)
    lines += _listed([_one(line) for line in _certificates(report)], "runs")
    lines += _listed([_one(note) for note in report.notes], "notes", MOST_NOTES)
    lines += ["", f"<sub>{_one(_machine(report))}; intervals are 95 %; nnbench {VERSION}</sub>"]
    return "\n".join(lines) + "\n"


def _table(report: Report) -> list[str]:
    """Return the groups of the first table, figures with their intervals."""
    rows, known = report.tables[0].rows, all_intervals(report)
    classes = any(row.test_accuracy is not None for row in rows)
    title, figure, text = ("test accuracy", "accuracy", percent) if classes else (
        "test loss", "loss", number
    )  # fmt: skip
    lines = ["", f"| group | seeds | {title} | epoch |", "|---|---:|---:|---:|"]
    for row in rows[:MOST]:
        cells = [
            _one(cut(row.group, NAME_CHARACTERS)),
            f"{row.seeds}" + f", {row.diverged} diverged" * bool(row.diverged),
            _cell(known[row.group].get(figure), text),
            _cell(known[row.group].get("time"), duration),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    more, others = len(rows) - MOST, len(report.tables) - 1
    said = [count(more, "more group")] * (more > 0)
    said += [f"{count(others, 'more table')} of runs not ranked against these"] * (others > 0)
    return [*lines, *["", f"And {', '.join(said)}."] * bool(said)]


def _cell(found: Difference | None, text: Callable[[float | None], str]) -> str:
    """Return a figure, with its interval where it has one."""
    if found is None:
        return "-"
    known = math.isfinite(found.low) and math.isfinite(found.high)
    ends = f" ({text(found.low)} to {text(found.high)})" if known else ""
    return escape(text(found.value) + ends)


def _certificates(report: Report) -> list[str]:
    """Return a line on all runs that nothing is wrong with, one for each of the others."""
    wrong, unproved, good = [], 0, 0
    for run in report.runs:
        found = standing(run)
        if run.status == "diverged":
            wrong.append(f"failed, {run.shown}: diverged")
        elif not found.ranked:
            wrong.append(f"failed, {run.shown}: {found.reason}")
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
