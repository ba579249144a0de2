"""A figure with its caption and the points that answer to a pointer; as files, and in a page."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nnbench.records.colors import COLORS
from nnbench.reporting.pages.typeface import named
from nnbench.schema.deferred import dataclass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 72.0  # of an inch; SVG's unit here
LARGEST = 1.6  # pixels of a point: larger is no better to read
MOST_MARKS = 600  # of a figure: more is not hit by a pointer, and makes the page large
_HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_COUNTED = re.compile(r' id="(?:figure|axes|patch|text|line2d|legend|[xy]tick|matplotlib\.axis|'
                      r'\w*Collection)_\d+"')  # fmt: skip
_GROUP = re.compile(r' id="group-(\d+)-\d+"')
_SIZE = re.compile(r' width="([\d.]+)pt"| height="[\d.]+pt"')
_COLORS = {light: f"var(--{name})" for name, (light, _) in COLORS.items()}
_COLORS["#ffffff"] = "var(--back)"
_COLOR = re.compile("(?<=(?:fill|roke): )(?:" + "|".join(_COLORS) + ")")


class Mark(NamedTuple):
    """A point of a figure: the number of its group, where it is (SVG units), what it says."""

    group: int
    x: float
    y: float
    text: str


@dataclass
class Drawn:
    """A figure while it is drawn; `legend` are the numbers and labels of the groups in it."""

    figure: Figure
    caption: str = ""
    legend: list[tuple[int, str]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    wide: bool = False
    _named: int = 0

    def belongs(self, group: int, *artists: Any) -> None:
        """Note that `artists` are those of a group, to be shown and hidden with it."""
        for artist in artists:
            self._named += 1
            artist.set_gid(f"group-{group}-{self._named}")

    def mark(self, axes: Any, group: int, at: Iterable[tuple[float, float, str]]) -> None:
        """Note what points of a group say, at data coordinates of `axes`, whose limits are set."""
        found = list(at)
        axes.get_xlim(), axes.get_ylim()  # which brings the transform up to date
        scale, height = POINTS / self.figure.dpi, self.figure.get_figheight() * POINTS
        places = axes.transData.transform([(x, y) for x, y, _ in found]) * scale
        self.marks += [
            Mark(group, round(float(x), 1), round(height - float(y), 1), text)
            for (x, y), (*_, text) in zip(places, found, strict=True)
        ]


@dataclass(frozen=True)
class Plot:
    """A figure as a page has it: SVG for a light page and a dark one, and its points as JSON."""

    name: str
    caption: str
    svg: str
    marks: str = "[]"
    legend: tuple[tuple[int, str], ...] = ()
    wide: bool = False

    @property
    def title(self) -> str:
        """Return the caption's first sentence, which says what is shown."""
        return self.caption.partition(". ")[0].rstrip(".")

    @property
    def rest(self) -> str:
        """Return the caption behind its first sentence."""
        return self.caption.partition(". ")[2]


def write(name: str, drawn: Drawn, folder: Path, formats: Sequence[str]) -> Plot:
    """Write the figure into `folder` as SVG and in `formats`; return it as a page has it."""
    path = folder / name
    svg = path.with_suffix(".svg")
    with warnings.catch_warnings():  # of labels that leave no room, and of missing glyphs
        warnings.simplefilter("ignore", UserWarning)
        drawn.figure.savefig(svg, metadata={"Date": None})
        for suffix in formats:
            metadata = {"CreationDate": None} if suffix == "pdf" else None
            drawn.figure.savefig(path.with_suffix(f".{suffix}"), dpi=150, metadata=metadata)
    text = named(svg.read_text(encoding="utf-8"))
    svg.write_text(text, encoding="utf-8")
    marks = drawn.marks[:: -(-len(drawn.marks) // MOST_MARKS) or 1]
    return Plot(
        name=name,
        caption=drawn.caption,
        svg=for_page(text, drawn.caption),
        marks=json.dumps(marks, separators=(",", ":")),
        legend=tuple(drawn.legend),
        wide=drawn.wide,
    )


def for_page(svg: str, label: str = "") -> str:
    """Return matplotlib's `svg` as it stands in a page: colours are the page's, groups are named.

    Texts in it are escaped by matplotlib; what the page has a rule for is left out.
    """
    from html import escape

    width = _SIZE.search(svg)
    text = _COUNTED.sub("", _SIZE.sub("", _HEAD.sub("", svg), count=2))
    text = _GROUP.sub(r' data-group="\1"', text)
    text = _COLOR.sub(lambda found: _COLORS[found.group()], text)
    widest = LARGEST * float(width[1]) if width else 0.0
    head = f'<svg role="img" aria-label="{escape(label)}" style="max-width: {widest:.0f}px" '
    return text.replace("<svg ", head, 1).rstrip()
