"""A report as JUnit XML, which CI servers show: a test case for each condition, verdict and run.

Conditions that are met and runs that diverged or whose certificates fail are failures. A verdict
fails nothing: to be slower is no fault unless a condition says so; where nothing was decided it is
skipped. In the form that Jenkins, GitLab and GitHub's readers share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from nnbench.formatting import printable
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.against import Against
from nnbench.reporting.comparison.conditions import Condition
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.statistics import Comparison
from nnbench.schema.deferred import dataclass

_NO_XML = re.compile("[\ufffe\uffff]|[\U0001fffe\U0001ffff]")  # the rest is `printable`'s
UNDECIDED = ("undecided", "too few")


@dataclass(frozen=True)
class Case:
    """A test case: what it says, and the line that says why it failed or was skipped."""

    name: str
    text: str
    failed: str | None = None
    skipped: str | None = None


def junit(report: Report, title: str, conditions: Sequence[Condition] = ()) -> str:
    """Return the XML, each text in it on one line."""
    suites = {
        "conditions": [Case(c.text, str(c), failed=str(c) if c.met else None) for c in conditions],
        "verdicts": list(_verdicts(report)),
        "certificates": [_certificate(run) for run in report.runs],
    }
    every = [case for cases in suites.values() for case in cases]
    root = ET.Element("testsuites", {"name": _line(title), **_counts(every)})
    for name, cases in suites.items():
        skipped = str(sum(case.skipped is not None for case in cases))
        counts = {"name": name, **_counts(cases), "skipped": skipped}
        suite = ET.SubElement(root, "testsuite", counts)
        for case in cases:
            suite.append(_element(case, f"nnbench.{name}"))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    failed = sum(case.failed is not None for case in cases)
    return {"tests": str(len(cases)), "failures": str(failed), "errors": "0"}


def _element(case: Case, where: str) -> ET.Element:
    found = ET.Element("testcase", classname=where, name=_line(case.name))
    if case.skipped is not None:
        ET.SubElement(found, "skipped", message=_line(case.skipped))
    if case.failed is not None:
        reason = _line(case.failed)
        ET.SubElement(found, "failure", message=reason, type="failed").text = reason
    ET.SubElement(found, "system-out").text = _line(case.text)
    return found


def _verdicts(report: Report) -> Iterator[Case]:
    """Yield the verdicts of each fair pair, on time and on its test samples."""
    for number, content in enumerate(report.tables, start=1):
        for against in content.against:
            if against.fair:
                yield from _of_pair(against, f"table {number}: " * (len(report.tables) > 1))


def _of_pair(against: Against, where: str) -> Iterator[Case]:
    quality, name = against.quality, f"{where}{against.pair()}"
    why = _undecided(against.time, "no times that may be compared")
    yield Case(f"{name}: time", str(against), skipped=why)
    if against.reaching is not None and str(against.reaching):
        text = str(against.reaching)
        why = _undecided(against.reaching.time, text)
        yield Case(f"{name}: time to target", text, skipped=why)
    if quality is not None:
        yield Case(f"{name}: {quality.name}", str(quality))


def _undecided(time: Comparison | None, without: str) -> str | None:
    """Say why a verdict on time decides nothing, `without` one too; None where it decides."""
    if time is None:
        return without
    return str(time) if time.word in UNDECIDED else None


def _certificate(run: RunResult) -> Case:
    found, name = standing(run), f"{run.shown} ({run.run_id})"
    if run.status == "diverged":
        return Case(name, "diverged", failed="diverged: its loss is not finite")
    if not found.ranked:
        return Case(name, found.word, failed=found.reason)
    if found.word:
        return Case(name, found.word, skipped=found.word)
    return Case(name, str((run.parity or {}).get("text", "agrees")))


def _line(text: str) -> str:
    """Return `text` as a line of characters that XML may have."""
    return " ".join(_NO_XML.sub("\ufffd", printable(text)).split())
