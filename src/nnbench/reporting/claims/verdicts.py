"""What publications claim, measured: a figure with its interval, and a verdict, for each claim.

A study's `claims` are data: what is said, an expression over the figures of its cases
(`nnbench.reporting.claims.expression`), and what was published. Every seed gives one value.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from nnbench.backends.operations import MEANINGS
from nnbench.config.located import refused
from nnbench.config.studies import check_keys
from nnbench.errors import ConfigError
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.claims.expression import Figures, evaluate, names
from nnbench.reporting.statistics import Difference, interval

Way = Literal["published", "matched"]
WAYS: tuple[Way, ...] = ("published", "matched")
Word = Literal["reproduced", "not reproduced", "undecided"]
Outcome = Literal[
    "reproduced", "reproduced one way, not the other", "not reproduced", "undecided",
    "cannot be tested here", "not run",
]  # fmt: skip
Unit = Literal["%", "points", "s", "times", "bytes", ""]
Figure = Mapping[str, float]
FIGURES = (
    "accuracy", "train_accuracy", "gap", "loss", "time", "training_time", "total_time", "startup",
    "epochs", "updates", "parameters", "memory",
)  # fmt: skip
FIGURE_KEYS = ("statement", "unit", "published", "measure")
CLAIM_KEYS = ("id", *FIGURE_KEYS, "claimed", "within", "because", "untestable")


@dataclass(frozen=True)
class Claim:
    """One statement of a publication, or (`id` None) a figure beside them that claims nothing.

    `measure` is an expression by way, `low` and `high` bound what counts as reproduced;
    `published` is what the publication has, as text. `because` says why the measurement differs,
    `untestable` why there is none.
    """

    statement: str
    id: str | None = None
    unit: Unit = ""
    measure: Mapping[Way, str] = field(default_factory=dict)
    published: str = "-"
    low: float = -math.inf
    high: float = math.inf
    because: str | None = None
    untestable: str | None = None


@dataclass(frozen=True)
class Measured:
    """What one way of running a claim's cases gave, over `seeds` of them."""

    value: Difference
    seeds: int
    word: Word


@dataclass(frozen=True)
class Answer:
    """A claim with what was measured; ways without runs are missing."""

    claim: Claim
    measured: Mapping[Way, Measured]

    @property
    def outcome(self) -> Outcome:
        """Return what the ways come to together."""
        if self.claim.untestable is not None:
            return "cannot be tested here"
        if len(self.measured) < len(self.claim.measure):
            return "not run"
        words = {found.word for found in self.measured.values()}
        return words.pop() if len(words) == 1 else "reproduced one way, not the other"

    @property
    def reason(self) -> str | None:
        """Return why the claim is not measured, or why the measurement differs."""
        if self.claim.untestable is not None:
            return self.claim.untestable
        differs = any(found.word == "not reproduced" for found in self.measured.values())
        return self.claim.because if differs and self.outcome != "not run" else None


def read_claims(study: Mapping[str, Any]) -> list[Claim]:
    """Return the claims of a study. Raises ConfigError where one is malformed."""
    return _read(study, "claims", CLAIM_KEYS)


def read_figures(study: Mapping[str, Any]) -> list[Claim]:
    """Return the figures that a study shows beside its claims. Raises ConfigError."""
    return _read(study, "figures", FIGURE_KEYS)


def _read(study: Mapping[str, Any], key: str, allowed: Sequence[str]) -> list[Claim]:
    known = _known_figures(study)
    found = []
    for values in study.get(key) or ():
        if not isinstance(values, Mapping):
            raise refused(
                study, key, f"Received {values!r:.40} in {key}; must be KEY: VALUE lines."
            )
        check_keys(values, allowed, "a claim" if "id" in allowed else "a figure")
        for needed in [k for k in ("id", "statement") if k in allowed and k not in values]:
            raise refused(values, "", f"Missing '{needed}' of one of the {key}.")
        found.append(_claim(values, known))
    return found


def _known_figures(study: Mapping[str, Any]) -> Figures:
    """Return every figure that expressions may have, each of another value."""
    names = FIGURES if "measured" not in study else tuple(MEANINGS)
    cases: Iterable[str] = study.get("measured") or study["cases"]
    return {c: {n: 1 + i + j / 100 for j, n in enumerate(names)} for i, c in enumerate(cases)}


def _claim(values: Mapping[str, Any], known: Figures) -> Claim:
    unit, measure = values.get("unit", ""), values.get("measure") or {}
    if unit not in get_args(Unit):
        allowed = ", ".join(word for word in get_args(Unit) if word)
        raise refused(
            values, "unit", f"Received unit: {unit}; must be one of {allowed}, or left out."
        )
    if not isinstance(measure, Mapping):
        raise refused(values, "measure", f"Received measure: {measure}; must be WAY: EXPRESSION.")
    check_keys(measure, WAYS, "measure")
    for way, text in measure.items():
        try:
            evaluate(str(text), known, f"{way}:")
        except ConfigError as error:
            raise refused(measure, way, str(error)) from None
    if not measure and "untestable" not in values:
        raise refused(values, "statement", "Missing 'measure' or 'untestable' of a claim.")
    claimed = values.get("claimed")
    scale = 0.01 if unit in ("%", "points") else 1.0
    low, high = _bounds(values, claimed, values.get("within", 0.0))
    return Claim(
        statement=values["statement"],
        id=values.get("id"),
        unit=unit,
        measure=measure,
        published=values.get("published") or _as_published(claimed, unit),
        low=scale * low,
        high=scale * high,
        because=values.get("because"),
        untestable=values.get("untestable"),
    )


def _bounds(values: Mapping[str, Any], claimed: Any, within: Any) -> tuple[float, float]:
    match claimed:
        case None:
            return -math.inf, math.inf
        case [int() | float() as low, int() | float() as high]:
            return low, high
        case int() | float() if isinstance(within, int | float):
            return claimed - within, claimed + within
        case str() if found := re.fullmatch(r"([<>]) *([-+]?\d+\.?\d*)", claimed):
            bound = float(found[2])  # itself not within
            if found[1] == "<":
                return -math.inf, math.nextafter(bound, -math.inf)
            return math.nextafter(bound, math.inf), math.inf
    raise refused(
        values,
        "claimed",
        f"Received claimed: {claimed} in a claim; must be a number (with within: ...), "
        '[FROM, TO], "> NUMBER" or "< NUMBER".',
    )


def _as_published(claimed: Any, unit: str) -> str:
    if claimed is None:
        return "-"
    text = " to ".join(f"{c:,g}" for c in claimed) if isinstance(claimed, list) else str(claimed)
    return f"{text} {unit}".strip()


def run_figures(run: RunResult) -> Figure:
    """Return the figures of a run that claims may use.

    Accuracies and `gap` are fractions, times seconds (`time` per epoch, `training_time` of all
    epochs, `startup` until the first step, data aside), `memory` bytes; `updates` per epoch.
    """
    phases = run.phases
    seconds = [record.train_seconds for record in run.epochs]
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
        "updates": float(run.updates),
        "parameters": float(run.parameters),
        "memory": run.peak_memory_bytes,
    }
    return {k: float(v) for k, v in found.items() if v is not None and math.isfinite(v)}


def by_seed(study: str, runs: Sequence[RunResult]) -> dict[int, Figures]:
    """Return the figures of the study's runs by seed and case; the latest where there are more."""
    found: defaultdict[int, dict[str, Figure]] = defaultdict(dict)
    for run in runs:
        name, _, case = str(run.config.get("case") or "").partition("/")
        over = run.status in ("finished", "diverged")
        if name == study and over and standing(run).ranked:
            found[run.config["seed"]][case] = run_figures(run)
    return dict(found)


def cases_of_claims(claims: Sequence[Claim]) -> list[str]:
    """Return the cases that the claims are about, each once."""
    texts = [text for claim in claims for text in claim.measure.values()]
    return list(dict.fromkeys(name for text in texts for name in names(text)))


def answer(claim: Claim, figures: Mapping[int, Figures]) -> Answer:
    """Measure a claim over the `figures` of its cases by seed."""
    measured = {}
    for way, text in claim.measure.items():
        needed = names(text)
        values = [
            float(evaluate(text, known, f"claim {claim.id}:"))
            for _, known in sorted(figures.items())
            if all(case in known for case in needed)
        ]
        if values:
            found = interval(values, ratios=claim.unit == "times")
            measured[way] = Measured(found, len(values), _word(claim, found, len(values)))
    return Answer(claim, measured)


def _word(claim: Claim, found: Difference, seeds: int) -> Word:
    """Judge a measurement by its value, undecided where its interval alone reaches the claim."""
    if claim.low <= found.value <= claim.high:
        return "reproduced"
    reaches = found.low <= claim.high and found.high >= claim.low
    return "undecided" if seeds > 1 and reaches else "not reproduced"


def with_unit(value: float, unit: Unit) -> str:
    """Return a figure with its unit."""
    match unit:
        case "%" | "points":
            return f"{100 * value:.2f} {unit}"
        case "s" | "times":
            return f"{value:.2f} {unit}"
        case "bytes":
            return f"{value / 2**20:,.0f} MiB"
        case _:
            return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def shown(answer: Answer, way: Way) -> str:
    """Return what was measured in one way: the figure and its interval."""
    if way not in answer.claim.measure:
        return "-"
    found = answer.measured.get(way)
    if found is None:
        return "not run"
    unit, (value, low, high) = answer.claim.unit, found.value
    text = with_unit(value, unit)
    if found.seeds > 1 and low != high:
        ends = [with_unit(end, unit).removesuffix(f" {unit}") for end in (low, high)]
        text += f" ({ends[0]} to {ends[1]})"
    return text
