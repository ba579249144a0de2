"""Claims as a study.yaml has them: what is said, how it is measured, what counts as reproduced."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, get_args

from nnbench.backends.operations import FACTS, MEANINGS
from nnbench.config.located import refused
from nnbench.config.studies import check_keys
from nnbench.errors import ConfigError
from nnbench.reporting.claims.expression import Figures, evaluate, names
from nnbench.reporting.claims.figures import FIGURES
from nnbench.schema import suggest
from nnbench.schema.deferred import dataclass

Way = Literal["published", "matched"]
WAYS: tuple[Way, ...] = ("published", "matched")
Unit = Literal["%", "points", "s", "times", "bytes", ""]
FIGURE_KEYS = ("statement", "unit", "published", "measure", "note")
CLAIM_KEYS = ("id", *FIGURE_KEYS, "claimed", "within", "because", "untestable")


@dataclass(frozen=True)
class Claim:
    """One statement of a publication, or (`id` None) a figure beside them that claims nothing.

    `measure` is an expression by way, `low` and `high` bound what counts as reproduced;
    `published` is what the publication has, as text. `because` are the ids of the claims that say,
    and measure, why this one is not reproduced, or a reason as text, which nothing measures.
    `note` is what else to know of it; `untestable` says why there is no measure. `stand_ins` says
    by way what was run in place of the original: that gives no verdict.
    """

    statement: str
    id: str | None = None
    unit: Unit = ""
    measure: Mapping[Way, str] = field(default_factory=dict)
    published: str = "-"
    low: float = -math.inf
    high: float = math.inf
    because: tuple[str, ...] | str | None = None
    note: str | None = None
    untestable: str | None = None
    stand_ins: Mapping[Way, str] = field(default_factory=dict)


def read_claims(study: Mapping[str, Any]) -> list[Claim]:
    """Return the claims of a study. Raises ConfigError where one is malformed."""
    found = _read(study, "claims", CLAIM_KEYS)
    ids = [claim.id for claim in found]
    for claim, values in zip(found, study.get("claims") or (), strict=True):
        if ids.count(claim.id) > 1:
            raise refused(values, "id", f"Received id: {claim.id} twice; each claim has its own.")
        for cause in claim.because if isinstance(claim.because, tuple) else ():
            if cause not in ids:
                hint = suggest(cause, [i for i in ids if i]) or "."
                raise refused(
                    values, "because", f"Unknown claim '{cause}' in because; name its id{hint}"
                )
    return found


def read_figures(study: Mapping[str, Any]) -> list[Claim]:
    """Return the figures that a study shows beside its claims. Raises ConfigError."""
    return _read(study, "figures", FIGURE_KEYS)


def cases_of_claims(claims: Sequence[Claim]) -> list[str]:
    """Return the cases that the claims are about, each once."""
    texts = [text for claim in claims for text in claim.measure.values()]
    return list(dict.fromkeys(name for text in texts for name in names(text)))


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
        found.append(_claim(values, known, study.get("stand_ins") or {}))
    return found


def _known_figures(study: Mapping[str, Any]) -> Figures:
    """Return every figure that expressions may have, each of another value."""
    names = FIGURES if "measured" not in study else (*MEANINGS, *FACTS)
    cases: Iterable[str] = study.get("measured") or study["cases"]
    found = {c: {n: 1 + i + j / 100 for j, n in enumerate(names)} for i, c in enumerate(cases)}
    return found | {c: dict.fromkeys(FACTS, 2.0) for c in study.get("facts", ())}


def _claim(values: Mapping[str, Any], known: Figures, stand_ins: Mapping[str, str]) -> Claim:
    unit, measure = values.get("unit", ""), values.get("measure") or {}
    if unit not in get_args(Unit):
        allowed = ", ".join(word for word in get_args(Unit) if word)
        raise refused(
            values, "unit", f"Received unit: {unit}; must be one of {allowed}, or left out."
        )
    _check_measure(values, measure, known)
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
        because=_because(values),
        note=values.get("note"),
        untestable=values.get("untestable"),
        stand_ins=_stand_ins(measure, stand_ins),
    )


def _check_measure(values: Mapping[str, Any], measure: Any, known: Figures) -> None:
    """Raise ConfigError unless `measure` has expressions over figures that there are."""
    if not isinstance(measure, Mapping):
        raise refused(values, "measure", f"Received measure: {measure}; must be WAY: EXPRESSION.")
    check_keys(measure, WAYS, "measure")
    for way, text in measure.items():
        try:
            found = evaluate(str(text), known, f"{way}:")
        except ConfigError as error:
            raise refused(measure, way, str(error)) from None
        if isinstance(found, bool):
            raise refused(
                measure, way, f"Received {way}: {text}; must be a number, not a condition."
            )
    if not measure and "untestable" not in values:
        raise refused(values, "statement", "Missing 'measure' or 'untestable' of a claim.")


def _because(values: Mapping[str, Any]) -> tuple[str, ...] | str | None:
    """Return the ids of a claim's causes, or a reason that nothing measures as its text."""
    found = values.get("because")
    if isinstance(found, list):
        return tuple(map(str, found))
    text = None if found is None else str(found)
    return (text,) if text and re.fullmatch(r"[\w.]+-\w+", text) else text


def _stand_ins(measure: Mapping[Way, str], known: Mapping[str, str]) -> dict[Way, str]:
    """Return what the cases of the published way stand in for; matched there is no original."""
    text = str(measure.get("published", "0"))
    met = [known[case] for case in names(text) if case in known]
    return {"published": "; ".join(dict.fromkeys(met))} if met else {}


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
