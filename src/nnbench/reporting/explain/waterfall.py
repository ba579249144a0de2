"""A waterfall: from one run's figure to another's, a bar for what each change adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nnbench.formatting import count
from nnbench.records.machine import cpu_name
from nnbench.reporting.explain.explanation import Effect, Gap
from nnbench.reporting.pages import axis, room
from nnbench.reporting.pages.drawn import Drawn
from nnbench.reporting.pages.looks import FALL, INK, RISE, SOFT, fitted
from nnbench.reporting.pages.scene import sentences

WIDTH, ROW, LABEL = 2.7, 0.27, 36  # inches of the axes and of a row, characters of a label
TOLD = 8.5  # points of the figures beside the bars
TINY = 0.01  # of the gap: smaller ones share a row where there are several
FEWEST_TINY = 3


def waterfall(gap: Gap) -> Drawn:
    """Return the figure: both ends grey, rises plain, falls hatched; changes by size.

    Steps are the means of both orders, so that they add up to the gap (multiply, for times). What
    cannot be told from noise is an outline; whiskers are intervals.
    """
    effects = gathered(gap)
    labels = fitted([_label(e) for e in effects], LABEL)
    told = [gap.told(gap.first), *(_told(gap, e) for e in effects), gap.told(gap.last)]
    rows = ["start", *labels, "end"]
    right = max(map(len, told)) * TOLD * room.CHARACTER + 2 * room.EDGE
    height = ROW * len(rows)
    drawn = Drawn(room.figure(WIDTH, height, room.Around(room.before(rows), right)))
    axes = drawn.figure.subplots()
    place, low = _scale(axes, gap, effects)
    for row, value, name in ((0, gap.first, "start"), (len(rows) - 1, gap.last, "end")):
        end = value if gap.ratio else place(value)
        axes.barh(row, end - low, left=low, color=SOFT, height=0.72)
        drawn.mark(axes, row, [(end, row, f"{name}: {gap.told(value)}")])
    at = math.log(gap.first) if gap.ratio else gap.first
    for row, effect in enumerate(effects, start=1):
        axes.plot([place(at)] * 2, [row - 1.36, row + 0.36], color=SOFT, linewidth=0.7)
        _bar(axes, gap, effect, row, at, place)
        at += effect.middle
        drawn.mark(axes, row, [(place(at), row, f"{labels[row - 1]}: {told[row]}")])
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    for row, text in enumerate(told):
        axes.text(1.03, row, text, transform=axes.get_yaxis_transform(), va="center",
                  fontsize=TOLD)  # fmt: skip
    drawn.caption = caption(gap)
    return drawn


def gathered(gap: Gap) -> list[Effect]:
    """Return the effects by size; those that do next to nothing as one, where they are several."""
    ordered = sorted(gap.effects, key=lambda e: -abs(e.middle))
    tiny = [e for e in ordered if abs(e.middle) < TINY * abs(gap.total)]
    if len(tiny) < FEWEST_TINY:
        return ordered
    both = (sum(e.forward for e in tiny), sum(e.backward for e in tiny))
    rest = replace(tiny[0], name=f"{len(tiny)} other changes", text="", forward=both[0],
                   backward=both[1], half=None)  # fmt: skip
    return [*(e for e in ordered if e not in tiny), rest]


def caption(gap: Gap) -> str:
    """Return what the figure of a gap shows, in sentences."""
    ways = "multiply" if gap.ratio else "add up"
    known = any(e.half is not None and math.isfinite(e.half) for e in gap.effects)
    return sentences(
        f"From {gap.told(gap.first)} to {gap.told(gap.last)}: what each change does to the "
        f"{gap.figure}.",
        f"Means of two orders over {count(gap.seeds, 'seed')}, which {ways} to the gap; rises are "
        "plain, falls hatched.",
        "Whiskers are 95 % intervals, of all changes together; within noise there is an outline."
        if known else "There are no intervals.",
        f"Measured on {cpu_name()}.",  # what was recorded elsewhere is not repeated, and no part
    )  # fmt: skip


def _scale(
    axes: Any, gap: Gap, effects: Sequence[Effect]
) -> tuple[Callable[[float], float], float]:
    """Set the horizontal axis; return what places a value on it, and where its bars begin."""
    if gap.ratio:
        at, ends = math.log(gap.first), [gap.first, gap.last]
        for effect in effects:
            at += effect.middle
            ends.append(math.exp(at))
        low, high = axis.around(ends, 0.12)
        axis.logarithmic(axes.xaxis, low / 1.15, high)
        axes.set_xlabel(f"{gap.figure}, s (log scale)")
        return math.exp, low / 1.15
    scale = 100 if "accuracy" in gap.figure else 1
    axes.set_xlabel(gap.figure + ", %" * (scale > 1))
    axes.locator_params(axis="x", nbins=5)
    return (lambda value: scale * value), 0.0


def _bar(
    axes: Any, gap: Gap, effect: Effect, row: int, at: float, place: Callable[[float], float]
) -> None:
    """Draw what a change adds to `at`, with its interval where it has one."""
    left, right = sorted((place(at), place(at + effect.middle)))
    color, hatch = (RISE, "") if effect.middle > 0 else (FALL, "/////")
    fill = "none" if effect.is_noise or hatch else color
    axes.barh(row, right - left, left=left, facecolor=fill, edgecolor=color, linewidth=1.1,
              hatch="" if effect.is_noise else hatch, height=0.72)  # fmt: skip
    if effect.half is not None and math.isfinite(effect.half):
        ends = [place(at + effect.middle + side * effect.half) for side in (-1, 1)]
        axes.plot(ends, [row, row], color=INK, linewidth=0.9, marker="|", markersize=5)


def _label(effect: Effect) -> str:
    return f"{effect.name}: {effect.text}" if effect.text else effect.name


def _told(gap: Gap, effect: Effect) -> str:
    return gap.moved(effect.middle) + " (within noise)" * effect.is_noise
