"""One colour for each backend, wherever runs are shown: figures, pages, MLflow.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which the colour-blind tell
apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

COLORS = {  # on white, and on a dark page
    "blue": ("#0072b2", "#4aa8e0"),
    "vermillion": ("#d55e00", "#f2803a"),
    "green": ("#009e73", "#2bc79a"),
    "purple": ("#cc79a7", "#e39cc4"),
    "orange": ("#e69f00", "#f5bd45"),
    "sky": ("#56b4e9", "#8accf3"),
    "olive": ("#7a7300", "#c9c04a"),
    "rise": ("#5e4fa2", "#a79be0"),  # what adds to a figure, and what takes from it
    "fall": ("#a6761d", "#d9a957"),
    "ink": ("#1c1e21", "#e6e8eb"),
    "soft": ("#5d6570", "#9aa3ad"),
    "line": ("#d8dde3", "#343b44"),
    "phase-1": ("#dfe3e8", "#39414b"),  # of phases of a run other than training
    "phase-2": ("#b9c0c9", "#55606c"),
    "phase-3": ("#919ba6", "#76828f"),
    "phase-4": ("#6a7480", "#9ba7b4"),
}
BACKENDS = {
    "numpy": "blue", "torch": "vermillion", "keras": "green", "forgenn": "purple",
    "minitorch": "orange",
}  # fmt: skip
OTHERS = ("sky", "olive", "purple", "orange", "soft")  # for backends that have no colour above


def colors(backends: Iterable[str]) -> dict[str, str]:
    """Return the colour of each backend by its label: its own, or the next that nobody has."""
    names = list(dict.fromkeys(backends))
    found = {name: BACKENDS[name] for name in names if name in BACKENDS}
    free = [name for name in OTHERS if name not in found.values()]
    spare = cycle(free or OTHERS)
    return {name: COLORS[found.get(name) or next(spare)][0] for name in names}


def color_of(backend: str) -> str | None:
    """Return the colour that a backend has by its label, whatever others there are; else None."""
    return COLORS[BACKENDS[backend]][0] if backend in BACKENDS else None
