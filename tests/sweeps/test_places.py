"""Runs beside each other: no contender always has the slower place."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from functools import cache

import pytest

from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.sweeps.launchers.pool import run_in_places
from nnbench.sweeps.plan import arrange
from nnbench.sweeps.session import Place


@cache
def cells(contenders: int, seeds: int) -> tuple[Cell, ...]:
    values = compose(["epochs=1"]).values
    return tuple(
        Cell(values | {"seed": seed, "batch_size": 1 + contender})
        for contender in range(contenders)
        for seed in range(seeds)
    )


@pytest.mark.parametrize(("contenders", "seeds"), [(2, 4), (2, 10), (3, 6), (4, 4)])
@pytest.mark.parametrize("slow", [1.0, 5.0])
def test_places_are_shared_alike(contenders: int, seeds: int, slow: float) -> None:
    """Two places; every second contender takes `slow` times as long as the others."""
    places = [Place(cores=(0,)), Place(cores=(1,))]
    been: Counter[tuple[int, Place]] = Counter()
    lock, rng = threading.Lock(), random.Random(seeds)

    def do(cell: Cell, place: Place) -> None:
        with lock:
            been[cell.config.batch_size, place] += 1
            seconds = rng.uniform(0.001, 0.002)
        time.sleep(seconds * (slow if cell.config.batch_size % 2 else 1.0))

    run_in_places(arrange(cells(contenders, seeds)), places, do, lambda: False)
    assert sum(been.values()) == contenders * seeds
    for contender in range(1, contenders + 1):
        assert max(been[contender, place] for place in places) <= seeds / 2 + 1
