"""What is passed around: the setting of a proof, the jobs of a part, the rows of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "measured", "skipped"]


@dataclass(frozen=True)
class Setting:
    """Where the proof runs: the device, whether at reduced length, the packages there are."""

    device: Literal["cuda", "cpu"]
    quick: bool
    packages: tuple[str, ...]

    def lacks(self, *names: str) -> list[str]:
        """Return those of `names` that are not installed."""
        return [name for name in names if name not in self.packages]


@dataclass(frozen=True)
class Row:
    """One line of the report; `figures` by name, their unit at the end of the name."""

    subject: str
    outcome: Outcome
    detail: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A piece of a part, done in a process of its own.

    `arguments` go to the `run` of the part's module; `env` is set before anything is imported.
    `seconds` is the most it may take; without it, its share of what the part has left. `timed`:
    nothing may run beside it.
    """

    subject: str
    arguments: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    timed: bool = False
