"""Runs beside each other: no contender always has the slower place."""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter
from functools import cache

import pytest

from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.sweeps.launchers.pool import run_in_places
from nnbench.sweeps.plan import arrange
from nnbench.sweeps.session import Place
from support.commands import PATIENCE


@cache
def cells(contenders: int, seeds: int) -> tuple[Cell, ...]:
    values = compose(["epochs=1"]).values
    return tuple(
        Cell(values | {"seed": seed, "batch_size": 1 + contender})
        for contender in range(contenders)
        for seed in range(seeds)
    )


class Clock:
    """Lets `count` runs end one after the other by the seconds that each takes, without waiting.

    The next one ends when every one of the `places` that still has a run to come has it.
    """

    def __init__(self, places: int, count: int) -> None:
        self.places, self.left, self.now = places, count, 0.0
        self.lock, self.ends = threading.Lock(), list[tuple[float, int, threading.Event]]()

    def sleep(self, seconds: float) -> None:
        over = threading.Event()
        with self.lock:
            heapq.heappush(self.ends, (self.now + seconds, id(over), over))
            while self.ends and len(self.ends) == min(self.places, self.left):
                self.now, _, first = heapq.heappop(self.ends)
                self.left -= 1
                first.set()
        assert over.wait(PATIENCE)


@pytest.mark.parametrize(("contenders", "seeds"), [(2, 4), (2, 10), (3, 6), (4, 4)])
@pytest.mark.parametrize("slow", [1.0, 5.0])
def test_places_are_shared_alike(contenders: int, seeds: int, slow: float) -> None:
    """Two places; every second contender takes `slow` times as long as the others."""
    places = [Place(cores=(0,)), Place(cores=(1,))]
    been: Counter[tuple[int, Place]] = Counter()
    rng, clock = random.Random(seeds), Clock(len(places), contenders * seeds)

    def do(cell: Cell, place: Place) -> None:
        been[cell.config.batch_size, place] += 1
        seconds = rng.uniform(0.001, 0.002)
        clock.sleep(seconds * (slow if cell.config.batch_size % 2 else 1.0))

    run_in_places(arrange(cells(contenders, seeds)), places, do, lambda: False)
    assert sum(been.values()) == contenders * seeds
    for contender in range(1, contenders + 1):
        assert max(been[contender, place] for place in places) <= seeds / 2 + 1
