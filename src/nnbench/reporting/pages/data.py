"""A report as plain data for JSON: verdicts, figures with intervals, certificates, conditions.

docs/pipelines.md says what every key means. Versions of the schema:
1: the first
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nnbench.config.installation import VERSION
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.claims.verdicts import Answer
from nnbench.reporting.comparison.against import Against, Quality
from nnbench.reporting.comparison.conditions import Condition, Intervals, all_intervals
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.comparison.groups import UNSHOWN, Group, seed
from nnbench.reporting.comparison.reaching import ToTarget
from nnbench.reporting.statistics import CONFIDENCE, Comparison

SCHEMA_VERSION = 1


def report_data(
    report: Report,
    title: str,
    conditions: Sequence[Condition] = (),
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Return all that a report says as mappings, lists, texts and finite numbers; None for none."""
    numbered = list(enumerate(report.tables, start=1))
    return {
        "schema": "nnbench.report",
        "schema_version": SCHEMA_VERSION,
        "nnbench": VERSION,
        "title": title,
        "question": report.question,
        "caution": report.caution,
        "confidence": CONFIDENCE,
        "conditions": [
            {"condition": c.text, "met": c.met, "figures": _plain(c.figures)} for c in conditions
        ],
        "verdicts": [
            {"table": i, **_verdict(each)} for i, table in numbered for each in table.against
        ],
        "groups": [
            {"table": i, **_group(group, all_intervals(report, table=i - 1))}
            for i, table in numbered
            for group in table.table.groups
        ],
        "tables": [
            {"table": i, "varying": list(table.table.varying), "notes": list(table.notes)}
            for i, table in numbered
        ],
        "claims": [
            {"study": study.name, **_claim(answer)}
            for study in report.claims
            for answer in study.answers
        ],
        "certificates": list(report.parity),
        "apart": list(report.apart),
        "hints": list(report.hints),
        "notes": list(report.notes),
        "left_out": list(left_out),
        "environment": dict(report.environment),
    }


def _verdict(found: Against) -> dict[str, Any]:
    return {
        "group": found.group,
        "baseline": found.baseline,
        "name": found.pair(),
        "fair": found.fair,
        "text": str(found),
        "time": found.time and _time(found.time),
        "quality": found.quality and _quality(found.quality),
        "reaching": found.reaching and _reaching(found.reaching),
        "differences": list(found.differences),
        "cautions": [{"fact": c.key, "text": str(c)} for c in found.cautions],
    }


def _time(found: Comparison) -> dict[str, Any]:
    return {
        "ratio": found.ratio.value,
        **_ends(found.ratio.low, found.ratio.high),
        "verdict": found.word,
        "runs": list(found.runs),
        "paired": found.paired,
        "p": found.p,
        "among": found.among,
        "text": str(found),
    }


def _reaching(found: ToTarget) -> dict[str, Any]:
    return {
        "target": found.group.target,
        "reached": {"group": len(found.group.seconds), "baseline": len(found.baseline.seconds)},
        "of": {"group": found.group.of, "baseline": found.baseline.of},
        "time": found.time and _time(found.time),
        "text": str(found),
    }


def _quality(found: Quality) -> dict[str, Any]:
    contrast = found.contrast
    word = "higher" if contrast.difference.value > 0 else "lower"
    return {
        "figure": found.name.replace(" ", "_"),
        "difference": contrast.difference.value,
        **_ends(contrast.difference.low, contrast.difference.high),
        "verdict": word if contrast.differs else "no significant difference",
        "runs": list(contrast.runs),
        "paired": contrast.paired,
        "samples": contrast.samples,
        "p": contrast.p,
        "among": contrast.among,
        "basis": found.basis,
        "text": str(found),
    }


def _group(group: Group, known: Intervals) -> dict[str, Any]:
    return {
        "group": group.label,
        "settings": {k: _plain(v) for k, v in group.settings.items() if k not in UNSHOWN},
        "figures": {
            name: {"value": _plain(found.value), **_ends(found.low, found.high)}
            for name, found in known[group.label].items()
        },
        "runs": [run_data(run) for run in group.runs],
    }


def run_data(run: RunResult) -> dict[str, Any]:
    """Return what a run is called, how it ended, and what its certificate says."""
    found = standing(run)
    certificate = found.word or (run.parity or {}).get("outcome")
    return {
        "id": run.run_id,
        "name": run.name,
        "seed": seed(run),
        "status": run.status,
        "ranked": found.ranked and run.status == "finished",
        "certificate": certificate,
        "reason": found.reason,
        "flags": [str(flag) for flag in run.flags],
    }


def _claim(answer: Answer) -> dict[str, Any]:
    claim = answer.claim
    return {"id": claim.id, "statement": claim.statement, "outcome": answer.outcome}


def _ends(low: float, high: float) -> dict[str, float | None]:
    """Return both ends of an interval, None where there is none."""
    known = math.isfinite(low) and math.isfinite(high)
    return {"low": low if known else None, "high": high if known else None}


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it, which knows no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
