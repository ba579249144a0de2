"""The report: Markdown for people, JSON for machines, rewritten after every part."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.parts import Part
from gpu.rows import Row

FORMAT = 1  # of the JSON


@dataclass
class Section:
    """What a part came to."""

    part: Part
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Report:
    """All of it, in two files in `directory`."""

    directory: Path
    facts: dict[str, Any]
    sections: list[Section] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Return how many rows failed."""
        return sum(row.outcome == "failed" for section in self.sections for row in section.rows)

    def write(self) -> None:
        """Write gpu.json and gpu.md."""
        self.directory.mkdir(parents=True, exist_ok=True)
        data = {
            "format": FORMAT,
            "facts": self.facts,
            "parts": [
                {
                    "name": section.part.name,
                    "title": section.part.title,
                    "seconds": round(section.seconds, 1),
                    "rows": [dataclasses.asdict(row) for row in section.rows],
                }
                for section in self.sections
            ],
        }
        (self.directory / "gpu.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        (self.directory / "gpu.md").write_text(self.markdown(), "utf-8")

    def markdown(self) -> str:
        """Return the report for people."""
        facts = self.facts
        cards = [v for v in facts["gpu"].values() if isinstance(v, dict)]
        card = cards[0]["name"] if cards else facts["cpu"]
        versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
        lines = [
            f"# nnbench on {card}",
            "",
            f"`scripts/gpu_check --device {facts['device']}`: {card}, "
            f"driver {facts['driver'] or '-'}, {facts['cores']} cores of {facts['cpu']}, "
            f"Python {facts['python']}, {versions}. Source {facts['source_digest'][:12]}.",
        ]
        for name, said in facts["gpu"].items():
            lines += ["", f"- {name}: " + _gpu_line(said)]
        for section in self.sections:
            lines += ["", f"## {section.part.title}", ""]
            lines += [*_table(section.rows), "", f"{section.seconds:.0f} s."]
        return "\n".join([*lines, ""])


def _gpu_line(said: Any) -> str:
    if not isinstance(said, dict):
        return str(said)
    return ", ".join(f"{key} {value}" for key, value in said.items() if key != "name")


def _table(rows: list[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    heads = ["", "outcome", *(name.replace("_", " ") for name in names), "detail"]
    lines = [f"| {' | '.join(heads)} |", "|---|---" + "|---:" * len(names) + "|---|"]
    for row in rows:
        outcome = f"**{row.outcome}**" if row.outcome == "failed" else row.outcome
        cells = [_number(row.figures.get(name)) for name in names]
        detail = row.detail.replace("|", "\\|")
        lines.append(f"| {' | '.join([row.subject, outcome, *cells, detail])} |")
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
