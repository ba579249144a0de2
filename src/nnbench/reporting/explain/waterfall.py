"""A waterfall: from one run's figure to another's, a bar for what each change adds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nnbench.formatting import cut
from nnbench.reporting.explain.explanation import Gap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROW = 7.2, 0.42  # inches
ENDS, UP, DOWN = "#5d6570", "#2a7f62", "#b5443c"
FAINT = 0.35  # of what cannot be told from noise


def waterfall(gap: Gap) -> Figure:
    """Return the figure: both ends grey, rises green, falls red; changes by size.

    Steps are the means of both orders, so that they add up to the gap (multiply, for times).
    """
    from matplotlib.figure import Figure

    ordered = sorted(gap.effects, key=lambda e: -abs(e.middle))
    figure = Figure(figsize=(WIDTH, ROW * (len(ordered) + 2) + 0.9), layout="constrained")
    axes = figure.subplots()
    scale = 100 if "accuracy" in gap.figure else 1
    at = math.log(gap.first) if gap.ratio else gap.first

    def place(value: float) -> float:
        return math.exp(value) if gap.ratio else scale * value

    low = 0.0 if not gap.ratio else min(gap.first, gap.last) / 3
    axes.barh(0, place(at) - low, left=low, color=ENDS)
    rows, labels = [0], ["start"]
    told = [gap.told(gap.first)]
    for i, effect in enumerate(ordered, start=1):
        after = at + effect.middle
        left, right = sorted((place(at), place(after)))
        color = UP if effect.middle > 0 else DOWN
        axes.barh(i, right - left, left=left, color=color, alpha=FAINT if effect.is_noise else 1)
        axes.plot([place(at)] * 2, [i - 1, i], color=ENDS, linewidth=0.7)
        rows, labels, at = [*rows, i], [*labels, _label(effect.name, effect.text)], after
        told.append(gap.moved(effect.middle) + " (within noise)" * effect.is_noise)
    axes.barh(len(rows), place(at) - low, left=low, color=ENDS)
    rows, labels, told = [*rows, len(rows)], [*labels, "end"], [*told, gap.told(gap.last)]
    if gap.ratio:
        axes.set_xscale("log")
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.set_xlabel(gap.figure + (", %" if scale > 1 else ", s" if gap.ratio else ""))
    right_side = axes.secondary_yaxis("right")
    right_side.set_yticks(rows, told)
    right_side.tick_params(length=0)
    right_side.spines["right"].set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _label(name: str, text: str) -> str:
    return cut(f"{name}: {text}", 48).replace("$", r"\$")
