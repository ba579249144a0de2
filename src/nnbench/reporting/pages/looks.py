"""How groups look in every figure: one colour for each backend, line and marker for each group.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which the colour-blind tell
apart; in black and white, and where curves coincide, groups are told apart by line and marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnbench.formatting import cut_inside
from nnbench.records.colors import COLORS, colors
from nnbench.reporting.comparison.fairness import COMPARED
from nnbench.reporting.comparison.groups import Group
from nnbench.schema.deferred import dataclass

MOST_GROUPS = 12  # in a figure: each has a marker of its own
INK, SOFT, LINE = (COLORS[name][0] for name in ("ink", "soft", "line"))
RISE, FALL = COLORS["rise"][0], COLORS["fall"][0]
PHASES = tuple(light for name, (light, _) in COLORS.items() if name.startswith("phase"))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
DASHES: tuple[tuple[float, ...], ...] = (
    (), (4.0, 1.6), (1.0, 1.3), (6.0, 1.3, 1.0, 1.3), (2.2, 1.3), (7.0, 1.3, 2.2, 1.3),
)  # fmt: skip
WIDTH, WIDE, NARROW = 1.6, 4.2, 1.7  # points: of a line, one with others on it, and those
CASING = 1.4  # points of white around a line that lies on another, seen in grey, too
SMALLEST, STEP = 4.0, 1.2  # points of hollow markers, which lie within each other

STYLE: Any = {
    "axes.grid": True, "axes.axisbelow": True, "axes.edgecolor": SOFT, "grid.color": LINE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.titley": 1.0,  # else each drawing measures all ticks for it
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "font.size": 9.5, "axes.titlesize": 9.5, "hatch.linewidth": 0.6, "grid.linewidth": 0.6,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "svg.hashsalt": "nnbench", "svg.fonttype": "none", "pdf.fonttype": 42,
    "text.parse_math": False,  # names are text
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a group is drawn: the `color` of its backend, a dash pattern (points) and a marker."""

    name: str
    color: str
    marker: str
    dash: tuple[float, ...]
    number: int = 0

    @property
    def line(self) -> dict[str, Any]:
        """Return what matplotlib needs for its line."""
        dash = (0, self.dash) if self.dash else "-"
        return {"color": self.color, "linewidth": WIDTH, "linestyle": dash}

    def among(self, below: int, above: int) -> dict[str, Any]:
        """Return what matplotlib needs for its line on `below` others and under `above`.

        The lowest is wide and solid, those on it are dashed and have a white casing: all are seen.
        """
        if below:
            from matplotlib.patheffects import withStroke

            casing = [withStroke(linewidth=NARROW + CASING, foreground="white")]
            dash = (0, self.dash or DASHES[1])
            return self.line | {"linewidth": NARROW, "linestyle": dash, "path_effects": casing}
        return self.line | ({"linewidth": WIDE, "linestyle": "-"} if above else {})

    @property
    def points(self) -> dict[str, Any]:
        """Return what matplotlib needs for its markers, through which others are seen."""
        size = SMALLEST + STEP * (self.number % 4)
        return {
            "marker": self.marker, "markersize": size, "markerfacecolor": "none",
            "markeredgecolor": self.color, "markeredgewidth": 1.1,
        }  # fmt: skip


def looks(groups: Sequence[Group]) -> list[Look]:
    """Return the look of each of the first `MOST_GROUPS` groups, the same in every figure."""
    shown = groups[:MOST_GROUPS]
    of = colors(str(group.settings[COMPARED]) for group in groups)
    return [
        Look(group.label, of[str(group.settings[COMPARED])], MARKERS[i], DASHES[i % len(DASHES)], i)
        for i, group in enumerate(shown)
    ]


def fitted(labels: Sequence[str], most: int) -> list[str]:
    """Return labels of at most `most` characters, cut in their middle, no two of them alike."""
    found: list[str] = []
    for label in labels:
        text = cut_inside(label, most)
        if text in found:
            tail = f" #{len(found) + 1}"
            text = cut_inside(label, most - len(tail)) + tail
        found.append(text)
    return found
