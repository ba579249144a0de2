"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from nnbench.formatting import percent
from nnbench.reporting.claims.text import markdown_table
from nnbench.reporting.comparison.content import Report, TableContent
from nnbench.reporting.pages.cells import COLUMNS

NO_PLOTS: Mapping[str, str] = MappingProxyType({})
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")


def markdown(report: Report, title: str, plots: Mapping[str, str] = NO_PLOTS) -> str:
    """Return the whole report; `plots` are files beside it, with their captions."""
    lines = [f"# {escape(title)}", "", f"**{escape(report.question)}**", ""]
    lines += [escape(report.caution), ""] if report.caution else []
    lines += _list(report.verdicts)
    for i, content in enumerate(report.tables, start=1):
        lines += ["", f"## Table {i}", "", *_table(content)]
    for sentences in (report.apart, report.hints):
        lines += ["", *_list(sentences)] if sentences else []
    if plots:
        lines += ["", "## Figures"]
        for name, caption in plots.items():
            lines += ["", f"![{escape(caption)}]({name})", "", escape(caption)]
    if report.parity:
        lines += ["", "## Do the backends agree?", "", *_list(report.parity)]
    for study in report.claims:
        lines += ["", f"## Claims: {escape(study.title)}", "", escape(study.basis), ""]
        lines += markdown_table(study)
    if report.notes:
        lines += ["", "## Notes", "", *_list(report.notes)]
    lines += ["", "## Environment", "", "| | |", "|---|---|"]
    lines += [f"| {escape(key)} | {escape(value)} |" for key, value in report.environment]
    lines += ["", "## Runs", "", "| run | id | status | folder |", "|---|---|---|---|"]
    lines += [
        f"| {escape(r.shown)} | {r.run_id} | {r.status} | {escape(str(r.directory))} |"
        for r in report.runs
    ]
    return "\n".join(lines) + "\n"


def _table(content: TableContent) -> list[str]:
    lines = [
        "| " + " | ".join(column.title for column in COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
    ]
    for row in content.rows:
        lines.append("| " + " | ".join(escape(column.text(row)) for column in COLUMNS) + " |")
    if content.target is not None:
        lines += ["", f"Target: {percent(content.target)} test accuracy."]
    lines += ["", *_list(map(str, content.unfair)), *_list(content.notes)]
    return lines


def escape(text: str) -> str:
    """Return `text` so that Markdown, and HTML in it, shows it as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _list(items: Iterable[str]) -> list[str]:
    return [f"- {escape(item)}" for item in items]
