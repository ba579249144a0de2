"""What publications claim, measured: a figure with its interval, and a verdict, for each claim.

A study's `claims` are data: what is said, an expression over the figures of its cases
(`nnbench.reporting.claims.expression`), and what was published. Every seed gives one value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

from nnbench.errors import ConfigError
from nnbench.reporting.claims.claim import WAYS, Claim, Unit, Way
from nnbench.reporting.claims.expression import Figures, evaluate, figures_in
from nnbench.reporting.claims.figures import EXACT
from nnbench.reporting.statistics import Difference, interval
from nnbench.schema.deferred import dataclass

Word = Literal["reproduced", "not reproduced", "undecided", "stand-in"]
Outcome = Literal[
    "reproduced", "reproduced one way, not the other", "not reproduced", "undecided",
    "undecided one way", "no verdict: a stand-in", "cannot be tested here", "not run",
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What one way of running a claim's cases gave, over `seeds` of them."""

    value: Difference
    seeds: int
    word: Word


@dataclass(frozen=True)
class Answer:
    """A claim with what was measured; `missing` says by way why there is nothing.

    `causes` are the outcomes of the claims that say why it is not reproduced, by their ids.
    """

    claim: Claim
    measured: Mapping[Way, Measured]
    missing: Mapping[Way, str] = field(default_factory=dict)
    causes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """Return what the ways come to together; a stand-in counts for nothing."""
        if self.claim.untestable is not None:
            return "cannot be tested here"
        if len(self.measured) < len(self.claim.measure):
            return "not run"
        words = {found.word for found in self.measured.values()} - {"stand-in"}
        if not words:
            return "no verdict: a stand-in"
        if words == {"reproduced", "not reproduced"}:
            return "reproduced one way, not the other"
        if len(words) > 1:
            return "undecided one way"
        return words.pop()  # type: ignore[return-value]

    @property
    def differs(self) -> bool:
        """Tell whether a measurement contradicts the claim."""
        return any(found.word == "not reproduced" for found in self.measured.values())


def answer(
    claim: Claim, figures: Mapping[int, Figures], lacking: Mapping[str, str] | None = None
) -> Answer:
    """Measure a claim over the `figures` of its cases by seed.

    `lacking` says why a case has none.
    """
    measured: dict[Way, Measured] = {}
    missing: dict[Way, str] = {}
    for way, text in claim.measure.items():
        needed = figures_in(text)
        absent = _absent(needed, figures, lacking or {})
        if absent is not None:
            missing[way] = absent
            continue
        try:
            values = _values(claim, text, figures)
        except ConfigError:  # its grammar was read long before
            missing[way] = f"'{text}' divides by zero"
            continue
        found = interval(values, ratios=claim.unit == "times")
        if all(name in EXACT for _, name in needed) and min(values) == max(values):
            found = Difference(values[0], values[0], values[0])
        word: Word = "stand-in" if way in claim.stand_ins else _word(claim, found)
        measured[way] = Measured(found, len(values), word)
    return Answer(claim, measured, missing)


def _values(claim: Claim, text: str, figures: Mapping[int, Figures]) -> list[float]:
    """Return what an expression comes to, by seed; once where it has no figures at all."""
    needed = figures_in(text)
    return [
        float(evaluate(text, known, f"claim {claim.id}:"))
        for _, known in sorted(figures.items())
        if needed and all(name in known.get(case, ()) for case, name in needed)
    ] or [float(evaluate(text, {}, f"claim {claim.id}:"))]


def _absent(
    needed: Collection[tuple[str, str]], figures: Mapping[int, Figures], lacking: Mapping[str, str]
) -> str | None:
    """Say which of the figures `needed` no seed has all of, and why; None where one has."""
    together = [k for k in figures.values() if all(n in k.get(c, ()) for c, n in needed)]
    if together or not needed:
        return None
    for case, _ in needed:
        if case in lacking:
            return lacking[case]
    for case, name in needed:
        if any(case in known for known in figures.values()) and not any(
            name in known.get(case, ()) for known in figures.values()
        ):
            return f"{case} has no {name}"
    runs = [case for case, _ in needed if not any(case in known for known in figures.values())]
    if not runs:
        return "no seed has all of them"
    return f"no finished run of {', '.join(dict.fromkeys(runs))}"


def _word(claim: Claim, found: Difference) -> Word:
    """Judge a measurement by its whole interval, alike for both verdicts.

    That of a single seed is infinitely wide: it decides nothing.
    """
    if claim.low <= found.low and found.high <= claim.high:
        return "reproduced"
    if found.high < claim.low or found.low > claim.high:
        return "not reproduced"
    return "undecided"


def with_causes(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Return the answers of a study, each with the outcomes of the claims that are its causes."""
    outcomes = {each.claim.id: each.outcome for each in answers}
    return tuple(
        replace(each, causes={cause: outcomes[cause] for cause in each.claim.because})
        if isinstance(each.claim.because, tuple)
        else each
        for each in answers
    )


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
    return text + " (stand-in)" * (found.word == "stand-in")


def ways(answer: Answer) -> dict[Way, Word]:
    """Return the verdict of each way that was measured."""
    return {way: answer.measured[way].word for way in WAYS if way in answer.measured}
