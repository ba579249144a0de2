"""A diagnosis as plain data, and in sentences: the verdict, the causes, the mend."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from nnbench.backends.proof import Proof, proof_data
from nnbench.reporting.diagnosis.explained import FRAMEWORK, ROUNDING
from nnbench.reporting.explain.explanation import Effect, Gap
from nnbench.sweeps.programs import Program

if TYPE_CHECKING:
    from nnbench.reporting.diagnosis.diagnosis import Diagnosis

LOSS = "test loss"


def diagnosis_data(found: Diagnosis) -> dict[str, Any]:
    """Return everything that is known, as plain data for JSON."""
    explained = found.explained
    repairs = found.mended
    return {
        "a": side_data(found.a),
        "b": side_data(found.b),
        "understood": found.understood,
        "verdict": verdict(found),
        "initial_weights": {
            "text": str(found.initial) if found.initial else None,
            "differ": [list(row) for row in found.initial.rows] if found.initial else [],
        },
        "differences": [
            {
                "name": each.name,
                "a": each.a,
                "b": each.b,
                "known": each.known,
                "place_a": str(each.place_a) if each.place_a else None,
                "place_b": str(each.place_b) if each.place_b else None,
            }
            for each in found.differences
        ],
        "explained": None
        if explained is None
        else {
            part: [gap_data(gap) for gap in getattr(explained, part)]
            for part in ("whole", "initial", "rest")
        }
        | {"cautions": list(explained.cautions), "seeds": list(found.seeds)},
        "mends": []
        if repairs is None
        else [
            dataclasses.asdict(each) | {"place": str(each.place) if each.place else None}
            for each in repairs.mends
        ],
        "cannot": list(repairs.remaining) if repairs else [],
        "not_run": found.why,
    }


def side_data(side: Program) -> dict[str, Any]:
    """Return a side: what was read, and the proof."""
    return {
        "name": side.name,
        "understood": side.understood,
        "reading": side.reading.as_data(),
        "proof": proof_data(side.proof) if side.proof is not None else None,
    }


def gap_data(gap: Gap) -> dict[str, Any]:
    """Return a gap with what each change does; what is no number is None."""
    return {
        "figure": gap.figure,
        "first": _number(gap.first),
        "last": _number(gap.last),
        "interval_half": _number(gap.half),
        "noise": gap.is_noise or gap.is_small,
        "effects": [
            {
                "name": each.name,
                "moved": _number(each.middle),
                "interval_half": _number(each.half),
                "share": _number(gap.share(each)),
                "noise": each.is_noise,
            }
            for each in gap.effects
        ],
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def verdict(found: Diagnosis) -> str:
    """Return the answer in a sentence, and in another what initial weights do if they do much."""
    return _verdict(found) + _initial_weights(found)


def _initial_weights(found: Diagnosis) -> str:
    gap = next(iter(found.explained.initial), None) if found.explained else None
    if gap is None or not found.differences:
        return ""
    (effect,) = gap.effects[:1]
    if effect.is_noise or gap.is_small:
        return ""
    return f" Before that, other initial weights move it by {gap.moved(effect.middle)}."


def _verdict(found: Diagnosis) -> str:
    if not found.understood:
        names = [side.name for side in (found.a, found.b) if not side.understood]
        return f"{' and '.join(names)}: not understood; nothing is explained."
    named = ", ".join(each.name for each in found.differences)
    drawn = str(found.initial)
    alone = f"Initial weights alone: {drawn}."
    if not found.differences:
        one = "from the same weights both are one model"
        return f"{alone} Besides them nothing differs: {one}{_noise(found)}."
    gap = main_gap(found)
    if gap is None:
        cautions = found.explained.cautions if found.explained else ()
        return f"They differ in {named}; {found.why or ' '.join(cautions) or 'nothing was run.'}"
    if gap.is_noise or gap.is_small:
        return (
            f"They differ in {named}; from the same weights the gap in {gap.figure} is not "
            f"distinguishable from noise over {len(found.seeds)} seeds."
        )
    causes = [e for e in sorted(gap.effects, key=lambda e: -abs(e.middle)) if is_cause(gap, e)]
    ends = f"{gap.figure} {gap.told(gap.first)} against {gap.told(gap.last)}"
    if not causes:
        return f"{named}: together {together(gap)} of the gap, {ends}; none is sure by itself."
    values = {d.change.name: f"{d.a} against {d.b}" for d in found.differences
              if d.key != "mistake"}  # fmt: skip
    told = " and ".join(
        f"{', '.join(filter(None, [each.name, values.get(each.name)]))} "
        f"({gap.percent(each)} of the gap)"
        for each in causes
    )
    return f"{told}: {ends}."


def together(gap: Gap) -> str:
    """Return the share of all differences together, without the framework's."""
    return f"{round(100 * sum(gap.share(e) for e in named_effects(gap))):d} %"


def named_effects(gap: Gap) -> list[Effect]:
    """Return the effects of differences, without those of the framework and of rounding."""
    return [e for e in gap.effects if e.name not in (FRAMEWORK, ROUNDING)]


def _noise(found: Diagnosis) -> str:
    whole = found.explained.whole if found.explained else ()
    gap = next((g for g in whole if g.figure == LOSS), None)
    if gap is None or not (gap.is_noise or gap.is_small):
        return ""
    return ", and the gap is not distinguishable from noise"


def main_gap(found: Diagnosis) -> Gap | None:
    """Return the gap from equal weights in test loss, in accuracy where there is no loss."""
    rest = found.explained.rest if found.explained else ()
    return next(iter(rest), None)


def is_cause(gap: Gap, effect: Effect) -> bool:
    """Tell whether an effect is large enough, and sure enough, to be called a cause."""
    return abs(effect.middle) >= gap.least and is_sure(gap, effect)


def is_sure(gap: Gap, effect: Effect) -> bool:
    """Tell whether an effect is distinguishable from noise; a difference alone is as its gap is."""
    if gap.is_noise or gap.is_small:
        return False
    return not effect.is_noise or named_effects(gap) == [effect]


def proof_line(side: Program) -> str:
    """Return how far a side is understood, in one line."""
    proof: Proof | None = side.proof
    if side.reading.framework == "nnbench":
        return "a configuration of nnbench's own"
    if side.reading.unknown or not side.reading.understood:
        return "NOT UNDERSTOOD: " + "; ".join(
            f"{each.text} ({each.place})" if each.place else each.text
            for each in side.reading.unknown
        )
    if proof is None:
        return "read, not proved"
    if proof.outcome == "agrees":
        return (
            f"understood: {proof.steps} steps agree in {proof.dtype} (difference "
            f"{proof.difference:.1e}, allowed {proof.envelope:.1e})"
        )
    if proof.understood:
        return f"understood as far as can be compared: {proof.compared} of {proof.steps} steps"
    where = f" in layer {proof.layer + 1}" if proof.layer is not None else ""
    instead = f"; it would agree with {' or '.join(proof.instead)}" if proof.instead else ""
    return f"NOT UNDERSTOOD: diverges at step {proof.step}{where}{instead}"
