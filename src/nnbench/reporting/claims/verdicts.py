"""What publications claim, measured: a figure with its interval, and a verdict, for each claim.

A study's `claims` are data: what is said, an expression over the figures of its cases
(`nnbench.reporting.claims.expression`), and what was published. Every seed gives one value.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nnbench.errors import ConfigError
from nnbench.records.run import RunResult
from nnbench.reporting.claims.expression import Figures, evaluate, names
from nnbench.reporting.statistics import Difference, interval

Way = Literal["published", "matched"]
WAYS: tuple[Way, ...] = ("published", "matched")
Word = Literal["reproduced", "not reproduced", "undecided", "not run"]
Unit = Literal["%", "points", "s", "times", "bytes", ""]
Figure = Mapping[str, float]


@dataclass(frozen=True)
class Claim:
    """One statement of a publication.

    `measure` is an expression by way, `low` and `high` bound what counts as reproduced;
    `published` is what was told, as text. `because` says why the measurement differs,
    `untestable` why there is none; `found` is what else there is to know.
    """

    id: str
    study: str
    statement: str
    unit: Unit = ""
    measure: Mapping[Way, str] = field(default_factory=dict)
    published: str = ""
    low: float = -math.inf
    high: float = math.inf
    because: str | None = None
    untestable: str | None = None
    found: str | None = None


@dataclass(frozen=True)
class Measured:
    """What one way of running a claim's cases came to, over `seeds`."""

    value: Difference
    seeds: int
    word: Word


@dataclass(frozen=True)
class Answer:
    """A claim with what was measured; ways without runs are missing."""

    claim: Claim
    measured: Mapping[Way, Measured]

    @property
    def verdict(self) -> str:
        """Return the verdict: its word, and why."""
        claim = self.claim
        if claim.untestable is not None:
            return f"cannot be tested here: {claim.untestable}"
        words = {way: self.measured[way].word for way in claim.measure if way in self.measured}
        if len(words) < len(claim.measure):
            return "not run"
        if set(words.values()) == {"reproduced"}:
            return "reproduced" + (f"; {claim.found}" if claim.found else "")
        if len(words) == 2 and len(set(words.values())) == 2:
            told = f"as published {words['published']}, matched {words['matched']}"
        else:
            told = next(iter(words.values()))
        if "not reproduced" in words.values() and claim.because is not None:
            return f"{told}; differs because {claim.because}"
        return told + (f"; {claim.found}" if claim.found else "")


def read_claims(name: str, study: Mapping[str, Any]) -> list[Claim]:
    """Return the claims of the study `name`. Raises ConfigError where one is malformed."""
    return [_claim(name, dict(values)) for values in study.get("claims", ())]


def _claim(name: str, values: dict[str, Any]) -> Claim:
    claimed, within = values.pop("claimed", None), values.pop("within", 0.0)
    scale = 0.01 if values.get("unit") in ("%", "points") else 1.0
    low, high = _bounds(name, values.get("id"), claimed, within)
    text = values.pop("published", None) or _as_published(claimed, values.get("unit", ""))
    try:
        return Claim(
            study=name,
            published=text,
            low=scale * low,
            high=scale * high,
            measure=values.pop("measure", {}),
            **values,
        )
    except TypeError as error:
        raise ConfigError(f"Received a claim of {name} with {error}.") from None


def _bounds(study: str, name: object, claimed: Any, within: float) -> tuple[float, float]:
    if claimed is None:
        return -math.inf, math.inf
    if isinstance(claimed, list):
        return float(claimed[0]), float(claimed[1])
    if isinstance(claimed, int | float):
        return claimed - within, claimed + within
    if match := re.fullmatch(r"([<>]) *([-+.\de]+)", claimed):
        bound = float(match[2])  # itself not within
        if match[1] == "<":
            return -math.inf, math.nextafter(bound, -math.inf)
        return math.nextafter(bound, math.inf), math.inf
    raise ConfigError(f"Received claimed: {claimed} in claim {name} of {study}; it has no bounds.")


def _as_published(claimed: Any, unit: str) -> str:
    if claimed is None:
        return "-"
    text = " to ".join(f"{c:,g}" for c in claimed) if isinstance(claimed, list) else str(claimed)
    return f"{text} {unit}".strip()


def run_figures(run: RunResult) -> Figure:
    """Return the figures of a run that claims may use.

    Accuracies and `gap` are shares, times seconds (`time` per epoch, `training_time` of all
    epochs, `startup` until the first step, data aside), `memory` bytes; `updates` per epoch.
    """
    phases = run.phases
    seconds = [record.train_seconds for record in run.epochs]
    samples = (run.data.get("samples") or {}).get("train", 0)
    startup = phases.import_seconds + phases.build_seconds + phases.warm_up_seconds
    found: dict[str, float | None] = {
        "accuracy": run.figure("test_accuracy"),
        "train_accuracy": run.figure("train_accuracy"),
        "gap": run.figure("generalization_gap"),
        "loss": run.figure("test_loss"),
        "time": run.epoch_seconds,
        "training_time": sum(seconds),
        "total_time": phases.wall_seconds,
        "startup": startup,
        "epochs": float(len(run.epochs)),
        "updates": float(math.ceil(samples / run.config["batch_size"])),
        "parameters": float(run.parameters),
        "memory": run.peak_memory_bytes,
    }
    return {k: float(v) for k, v in found.items() if v is not None and math.isfinite(v)}


def by_seed(study: str, runs: Sequence[RunResult]) -> dict[int, Figures]:
    """Return the figures of the study's runs by seed and case; the latest where there are more."""
    found: defaultdict[int, dict[str, Figure]] = defaultdict(dict)
    for run in runs:
        name, _, case = str(run.config.get("case") or "").partition("/")
        if name == study and run.status in ("finished", "diverged"):
            found[run.config["seed"]][case] = run_figures(run)
    return dict(found)


def cases_of_claims(claims: Sequence[Claim]) -> list[str]:
    """Return the cases that the claims are about, each once."""
    return list(
        dict.fromkeys(n for c in claims for text in c.measure.values() for n in names(text))
    )


def answer(claim: Claim, figures: Mapping[int, Figures]) -> Answer:
    """Measure a claim over the `figures` of its cases by seed."""
    measured = {}
    for way, text in claim.measure.items():
        needed = names(text)
        values = [
            float(evaluate(text, known, f"claim {claim.id}"))
            for _, known in sorted(figures.items())
            if all(case in known for case in needed)
        ]
        if values:
            found = interval(values, ratios=claim.unit == "times")
            measured[way] = Measured(found, len(values), _word(claim, found))
    return Answer(claim, measured)


def _word(claim: Claim, found: Difference) -> Word:
    if claim.low <= found.value <= claim.high:
        return "reproduced"
    reaches = math.isfinite(found.low) and found.low <= claim.high and found.high >= claim.low
    return "undecided" if reaches else "not reproduced"


def told(value: float, unit: Unit) -> str:
    """Return a figure with its unit."""
    match unit:
        case "%" | "points":
            return f"{100 * value:.2f} {unit}"
        case "s":
            return f"{value:.2f} s"
        case "times":
            return f"{value:.2f} times"
        case "bytes":
            return f"{value / 2**20:,.0f} MiB"
        case _:
            return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def shown(answer: Answer, way: Way) -> str:
    """Return what was measured in one way: the figure, its interval, how many seeds."""
    if way not in answer.claim.measure:
        return "-"
    found = answer.measured.get(way)
    if found is None:
        return "not run"
    unit, (value, low, high) = answer.claim.unit, found.value
    text = told(value, unit)
    if found.seeds > 1 and low != high:
        text += f" ({_bare(low, unit)} to {_bare(high, unit)})"
    return text


def _bare(value: float, unit: Unit) -> str:
    return told(value, unit).removesuffix(f" {unit}")
