"""What the figures of a report have in common: groups and their looks, and words for captions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from rich.cells import cell_len

from nnbench.formatting import count
from nnbench.records.colors import colors
from nnbench.reporting.comparison.content import Report, TableContent
from nnbench.reporting.comparison.fairness import COMPARED
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.pages import room
from nnbench.reporting.pages.drawn import Drawn
from nnbench.reporting.pages.looks import LINE, Look, fitted, looks
from nnbench.schema.deferred import dataclass

WIDTH, HEIGHT, LEFT = 3.5, 2.4, 0.72  # inches of axes, and of what stands left of them
LABEL = 30  # characters of a group's label beside its curve
SWATCH, AFTER = 0.30, 0.07  # inches of the line before a label, and of the gaps around it
NEAR = 0.1  # of the axes' width: a curve that ends further from its label has no line to it
APART = 11.0  # points from one label to the next
SMALL = 8.5  # points of a label's text
SHORT = 44  # characters of a processor's name


@dataclass(frozen=True)
class Scene:
    """The first table of a report, as its figures show it: `groups` are those that are drawn."""

    content: TableContent
    report: Report

    @cached_property
    def looks(self) -> list[Look]:
        """Return how each group that is drawn looks."""
        return looks(self.content.table.groups)

    @property
    def groups(self) -> Sequence[Group]:
        """Return the groups that are drawn, of which there are not too many to be told apart."""
        return self.content.table.groups[: len(self.looks)]

    @cached_property
    def names(self) -> list[str]:
        """Return what each group is called where there is little room."""
        return fitted([group.label for group in self.groups], LABEL)

    @cached_property
    def colors(self) -> dict[str, str]:
        """Return the colour of each backend."""
        return colors(str(group.settings[COMPARED]) for group in self.content.table.groups)

    def color(self, group: Group) -> str:
        """Return the colour of a group's backend."""
        return self.colors[str(group.settings[COMPARED])]

    def number(self, label: str) -> int:
        """Return the number of the group with this label, one of those that are drawn."""
        return [look.name for look in self.looks].index(label)

    @property
    def machine(self) -> str:
        """Return a sentence on where it was measured."""
        runs = [run for group in self.content.table.groups for run in group.runs]
        cpu = dict.fromkeys(str(c) for r in runs if (c := r.machine.get("cpu")))
        gpu = dict.fromkeys(str(g) for r in runs if (g := r.machine.get("gpu")))
        found = [name if len(name) <= SHORT else name[: SHORT - 3] + "..." for name in (*cpu, *gpu)]
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        return f"Measured on {' and '.join(found[:2])}{more}." if found else "Machine not recorded."

    @property
    def left_out(self) -> str:
        """Return sentences on groups that are not drawn, and on runs that end early."""
        drawn, there = len(self.groups), len(self.content.table.groups)
        first = f"The first {drawn} of {there} groups are drawn." if drawn < there else ""
        diverged = any(group.diverged for group in self.groups)
        return sentences(first, "Diverged runs end with their figures." if diverged else "")


def seeds(numbers: Iterable[int]) -> str:
    """Return how many seeds groups have: `3 seeds`, `2 to 5 seeds`."""
    known = sorted(set(numbers)) or [0]
    if len(known) == 1:
        return count(known[0], "seed")
    return f"{known[0]} to {count(known[-1], 'seed')}"


def sentences(*parts: str) -> str:
    """Return a caption of the sentences that there are."""
    return " ".join(part for part in parts if part)


def stage(
    labels: Iterable[str], height: float = HEIGHT, parts: Sequence[float] = (1.0,)
) -> tuple[Drawn, Any]:
    """Return a figure with room for `labels` at the right of its axes: one, or `parts` of them.

    They share `height` (inches) in these proportions, and the horizontal axis.
    """
    widest = SWATCH + 3 * AFTER + max(map(cell_len, labels), default=0) * SMALL * room.CHARACTER
    figure = room.figure(WIDTH, height, room.Around(LEFT, widest + room.EDGE / 2))
    several = len(parts) > 1
    grid = {"height_ratios": list(parts), "hspace": 0.12}
    return Drawn(figure), figure.subplots(len(parts), 1, sharex=several, gridspec_kw=grid)


def label_ends(
    drawn: Drawn, axes: Any, ends: Sequence[tuple[int, float, float, str]], looks: Sequence[Look]
) -> None:
    """Write each group's label beside the end of its curve, behind a piece of its line.

    `ends` are (group, x, y, label) in data coordinates; labels of curves that end together stand
    below each other, in the order of their ends, so that all can be read.
    """
    from matplotlib.lines import Line2D

    figure = drawn.figure
    scale = figure.dpi_scale_trans
    axes.get_xlim(), axes.get_ylim()
    box = axes.get_position()
    wide, high = figure.get_size_inches()
    right, bottom, top = box.x1 * wide, box.y0 * high, box.y1 * high
    placed = [scale.inverted().transform(axes.transData.transform((x, y))) for _, x, y, _ in ends]
    order = sorted(range(len(ends)), key=lambda i: (-placed[i][1], ends[i][0]))
    heights = spread([placed[i][1] for i in order], APART / 72, bottom, top)
    for i, height in zip(order, heights, strict=True):
        group, _, _, label = ends[i]
        look, start = looks[group], right + 2 * AFTER
        here: Any = {"transform": scale, "clip_on": False}
        middle = (start + SWATCH / 2, height)
        lead = Line2D([placed[i][0], start], [placed[i][1], height], color=LINE, linewidth=0.7,
                      zorder=0.5, **here)  # fmt: skip
        swatch = Line2D([start, start + SWATCH], [height] * 2, **look.line, **here)
        point = Line2D([middle[0]], [middle[1]], **look.points, **here)
        led = right - placed[i][0] < NEAR * (right - box.x0 * wide)
        for artist in (lead, swatch, point)[not led :]:
            figure.add_artist(artist)
        text = figure.text(
            start + SWATCH + AFTER,
            height - 0.01,
            label,
            transform=scale,
            va="center",
            fontsize=SMALL,
        )
        drawn.belongs(group, lead, swatch, point, text)


def spread(heights: Sequence[float], apart: float, bottom: float, top: float) -> list[float]:
    """Return falling `heights` moved so little that they are `apart`, within bottom and top.

    Where they do not fit, they fill the room evenly.
    """
    n = len(heights)
    if n > 1 and (n - 1) * apart >= top - bottom:
        return [top - i * (top - bottom) / (n - 1) for i in range(n)]
    blocks: list[list[float]] = []  # [sum of the wanted middles, how many] of touching labels
    for height in heights:
        blocks.append([height, 1])
        while len(blocks) > 1:
            (upper, a), (lower, b) = blocks[-2:]
            if upper / a - lower / b >= apart * (a + b) / 2:
                break
            blocks[-2:] = [[upper + lower, a + b]]
    found: list[float] = []
    for total, number in blocks:
        first = total / number + apart * (number - 1) / 2
        found += [first - apart * i for i in range(int(number))]
    return _within(found, apart, bottom, top)


def _within(heights: list[float], apart: float, bottom: float, top: float) -> list[float]:
    """Return the heights moved into the room, from its top down and from its bottom up."""
    for i, height in enumerate(heights):
        heights[i] = min(height, top - i * apart)
    for i in range(len(heights) - 1, -1, -1):
        heights[i] = max(heights[i], bottom + (len(heights) - 1 - i) * apart)
    return heights
