"""In which order the runs of a sweep follow each other, so that a drift of the machine cancels.

Runs with the same seed are a block: pairs for verdicts are taken within it. Contenders are the
cells of a block, alike but for what is compared. Every other block is the one before backwards, so
that what changes steadily while the sweep lasts (a processor that warms up) is as good for one
contender as for the other; the rows between are those of Williams ("Experimental designs balanced
for the estimation of residual effects of treatments", Austral. J. Sci. Res. A 2, 1949), so that
each contender has each place in turn, and each successor. Which of two blocks comes first follows
Thue and Morse, ABBA BAAB ..., so that no rhythm of the machine falls in with the sweep's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from nnbench.config.run import Cell
from nnbench.records.identity import deciding


def counterbalanced(cells: Sequence[Cell]) -> list[Cell]:
    """Put `cells` into blocks by seed, and each block's contenders into an order of its own.

    The first block is in the order given. A contender that lacks a seed is left out there.
    """
    lanes: defaultdict[str, defaultdict[int, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        lanes[contender(cell)][cell.config.seed].append(cell)
    contenders = list(lanes.values())
    arranged: list[Cell] = []
    for number, seed in enumerate(dict.fromkeys(cell.config.seed for cell in cells)):
        for place in row(len(contenders), number):
            arranged += contenders[place].get(seed, [])
    return arranged


def contender(cell: Cell) -> str:
    """Return what is compared: the configuration of `cell` but for its seed."""
    return deciding({key: value for key, value in cell.values.items() if key != "seed"})


def row(contenders: int, block: int) -> list[int]:
    """Return the order of the contenders 0, 1, ... in a block, counted from 0."""
    pair, second = divmod(block, 2)
    rows = contenders if contenders % 2 else max(1, contenders // 2)  # the rest are backwards
    ways = [i // 2 if i % 2 == 0 else -(i + 1) // 2 for i in range(contenders)]  # 0 -1 1 -2 2 ...
    rank = {way % contenders: place for place, way in enumerate(ways)}
    found = [rank[(way + pair % rows) % contenders] for way in ways]
    backwards = (pair.bit_count() + second) % 2 == 1
    return found[::-1] if backwards else found
