"""A diagnosis on one screen, and as an HTML page: verdict, causes, mend."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from nnbench.config.installation import lacking
from nnbench.model.network import describe
from nnbench.records.colors import COLORS
from nnbench.reporting.diagnosis.plain import (
    is_cause,
    is_sure,
    main_gap,
    proof_line,
    together,
    verdict,
)
from nnbench.reporting.explain.explanation import Gap
from nnbench.reporting.explain.page import write_waterfalls
from nnbench.reporting.pages.drawn import Plot
from nnbench.reporting.pages.grid import fold, titled
from nnbench.reporting.pages.html import environment
from nnbench.schema.progress import nobody

if TYPE_CHECKING:
    from nnbench.reporting.diagnosis.diagnosis import Diagnosis

MARK = "*"


def screen(found: Diagnosis) -> Group:
    """Return the verdict, what was read side by side, the causes and the mend."""
    parts: list[Any] = [verdict(found), ""]
    parts += [f"{which} {side.name}: {proof_line(side)}" for which, side in sides(found)]
    parts.append(_readings(found))
    parts += finding_lines(found)
    if found.initial is not None:
        parts.append(f"Initial weights: {found.initial}.{initial_effect(found)}")
    if found.differences:
        parts.append(_causes(found))
    parts += caution_lines(found)
    parts += mend_lines(found)
    return Group(*parts)


def sides(found: Diagnosis) -> list[tuple[str, Any]]:
    """Return both sides by their letter."""
    return [("A", found.a), ("B", found.b)]


def rows(found: Diagnosis) -> list[tuple[str, str, str, bool]]:
    """Return what was read, side by side: (part, A's, B's, whether they differ)."""
    a, b = found.sides
    apart = {pair for each in found.differences for pair in each.layers}
    shown: list[tuple[str, str, str, bool]] = []
    for i, j in found.pairs:
        old = "" if i is None else describe(a.layers[i])
        new = "" if j is None else describe(b.layers[j])
        number = (i if i is not None else j or 0) + 1
        shown.append((f"layer {number}", old, new, (i, j) in apart))
    parts = {each.part for each in found.differences}
    for part in ("loss", "optimizer", "schedule"):
        old, new = (_described(side, part) for side in (a, b))
        shown.append((part, old, new, part in parts))
    return shown


def _described(side: Any, part: str) -> str:
    found = getattr(side.reading, part)
    if found is None:
        return "not understood"
    if part == "loss" and found.name == "cross_entropy":
        found = replace(found, over_outputs="mean")  # has no effect there
    return describe(side.rule if part == "optimizer" else found)


def _readings(found: Diagnosis) -> Any:
    table = titled(fold(""), fold("A"), fold("B"))
    for part, old, new, differs in rows(found):
        table.add_row(f"{MARK if differs else ' '} {part}", old, new)
    return table


def finding_lines(found: Diagnosis) -> list[str]:
    """Return the classic mistakes and remarks of each side."""
    told = []
    for which, side in sides(found):
        for each in side.reading.findings:
            where = f" ({each.place})" if each.place else ""
            told.append(f"{which}: {each.text}{where}")
        told += [f"{which}: {remark}" for remark in side.reading.remarks]
    return told


def initial_effect(found: Diagnosis) -> str:
    """Return what other initial weights do, in a sentence."""
    gaps = found.explained.initial if found.explained else ()
    if not gaps:
        return ""
    gap = gaps[0]
    effect = gap.effects[0]
    doubt = ", not distinguishable from noise" if effect.is_noise or gap.is_small else ""
    return (
        f" They move the {gap.figure} by {gap.moved(effect.middle)}{_between(effect, gap)}{doubt}."
    )


def causes(found: Diagnosis) -> list[dict[str, str]]:
    """Return what each difference does: its values, effect, share, and where it is written."""
    gap = main_gap(found)
    by_name = {e.name: e for e in gap.effects} if gap is not None else {}
    listed = []
    for each in found.differences:
        effect = by_name.get(each.change.name)
        listed.append(
            {
                "name": each.name,
                "a": each.a,
                "b": each.b,
                "effect": _effect(gap, effect),
                "share": _share(gap, effect),
                "places": " / ".join(str(p) for p in (each.place_a, each.place_b) if p),
                "known": each.known,
            }
        )
    framework = by_name.get("backend")
    if framework is not None:
        versions = [next(iter(s.reading.versions.items()), ("", "")) for _, s in sides(found)]
        texts = [" ".join(v) for v in versions]
        listed.append(
            {"name": "the framework", "a": texts[0], "b": texts[1],
             "effect": _effect(gap, framework), "share": _share(gap, framework), "places": "",
             "known": ""}
        )  # fmt: skip
    return listed


def _effect(gap: Gap | None, effect: Any) -> str:
    if gap is None or effect is None:
        return "not run"
    return f"{gap.moved(effect.middle)}{_between(effect, gap)}"


def _between(effect: Any, gap: Gap) -> str:
    if effect.half is None:
        return ""
    low, high = (gap.moved(effect.middle + s * effect.half) for s in (-1, 1))
    return f" ({low} to {high})"


def _share(gap: Gap | None, effect: Any) -> str:
    if gap is None or effect is None:
        return ""
    if not is_sure(gap, effect):
        return "within noise"
    return gap.percent(effect) + ("" if is_cause(gap, effect) else ", small")


def _causes(found: Diagnosis) -> Any:
    gap = main_gap(found)
    figure = gap.figure if gap is not None else "effect"
    title = f"From equal weights and order, one difference at a time ({len(found.seeds)} seeds)"
    heads = ("difference", "A", "B", figure, "of the gap")
    table = titled(*map(fold, heads), title=title)
    for each in causes(found):
        table.add_row(*(each[key] for key in ("name", "a", "b", "effect", "share")))
    return table


def gap_lines(found: Diagnosis) -> list[str]:
    """Return each figure at both ends, and how sure the gap is."""
    told = []
    for gap in found.explained.whole if found.explained else ():
        half = gap.half
        noise = ": not distinguishable from noise" if gap.is_noise or gap.is_small else ""
        between = ""
        if half is not None:
            between = f", 95 % {gap.moved(gap.total - half)} to {gap.moved(gap.total + half)}"
        told.append(
            f"{gap.figure}: {gap.told(gap.first)} against {gap.told(gap.last)} "
            f"({gap.moved(gap.total)}{between}){noise}"
        )
    return told


def caution_lines(found: Diagnosis) -> list[str]:
    """Return the gaps in each figure and what has to be known of them."""
    cautions = found.explained.cautions if found.explained else ()
    gap = main_gap(found)
    shares = []
    if gap is not None and found.differences and not (gap.is_noise or gap.is_small):
        shares = [f"Together the differences explain {together(gap)} of the gap in {gap.figure}."]
    why = [found.why] if found.why else []
    return [*shares, *gap_lines(found), *cautions, *why]


def mend_lines(found: Diagnosis) -> list[str]:
    """Return the lines that mend each difference."""
    if found.mended is None or not found.mended.mends:
        return []
    told = ["", "To make them one model:"]
    for each in found.mended.mends:
        at = f", {_line_of(each.place)}" if each.place is not None and each.place.line else ""
        if each.line is not None:
            told.append(f"  {each.side}{at}: {each.line}")
        told += [f"  {each.side}{at}: cannot be said there: {what}" for what in each.cannot]
    return told


def _line_of(place: Any) -> str:
    return f"line {place.line}"


def page(found: Diagnosis) -> str:
    """Return the diagnosis as one HTML file that needs nothing beside it. Everything is escaped."""
    return (
        environment()
        .get_template("diagnosis.html.j2")
        .render(
            found=found,
            verdict=verdict(found),
            plot=_plot(found),
            colors=COLORS,
            proofs=[(which, side.name, proof_line(side)) for which, side in sides(found)],
            rows=rows(found),
            findings=finding_lines(found),
            initial=f"{found.initial}.{initial_effect(found)}" if found.initial else "",
            causes=causes(found),
            cautions=caution_lines(found),
            mends=mend_lines(found)[2:],
        )
    )


def _plot(found: Diagnosis) -> Plot | None:
    """Return the waterfall of the gap that matters most; None without one, or matplotlib."""
    gap = main_gap(found)
    if gap is None or not gap.effects or lacking("A waterfall plot", "matplotlib"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        return write_waterfalls([gap], Path(folder), nobody, ())[gap.figure]
