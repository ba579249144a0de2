"""The order of runs: what it is, and that no machine which drifts can make equals look different.

The machine is simulated; the order is `arrange`'s, the verdicts are those of reports.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from nnbench.config.composition import compose
from nnbench.config.run import Cell, Order
from nnbench.reporting.statistics import compare_times, corrected
from nnbench.sweeps.plan import arrange

Sweep = dict[Cell, tuple[int, int]]  # each cell's contender and seed
Seconds = NDArray[np.float64]
Machine = Callable[[int, np.random.Generator], Seconds]  # of runs one after the other


MOST_CONTENDERS, MOST_SEEDS = 7, 12


@functools.cache
def all_cells() -> Sweep:
    values = compose(["epochs=1"]).values
    return {
        Cell(values | {"seed": seed, "batch_size": 1 + contender}): (contender, seed)
        for contender in range(MOST_CONTENDERS)
        for seed in range(MOST_SEEDS)
    }


def sweep(contenders: int, seeds: int) -> Sweep:
    return {cell: (c, s) for cell, (c, s) in all_cells().items() if c < contenders and s < seeds}


def order_of(cells: Sweep, order: Order = "counterbalanced") -> list[tuple[int, int]]:
    return [cells[cell] for cell in arrange(list(cells), order)]


def drift(share: float) -> Machine:
    return lambda n, _: 1.0 + share * np.arange(n) / max(n - 1, 1)


def warming_up(share: float) -> Machine:
    return lambda n, _: 1.0 + share * (1.0 - np.exp(-5.0 * np.arange(n) / n))


def slow_start(share: float) -> Machine:
    return lambda n, _: 1.0 + share * np.exp(-np.arange(n) / 3.0)


def every(period: int, *slow: int) -> Machine:
    return lambda n, _: 1.0 + 0.03 * np.isin(np.arange(n) % period, slow)


def step(n: int, rng: np.random.Generator) -> Seconds:
    return 1.0 + 0.1 * (np.arange(n) >= rng.integers(1, n))


def walk(n: int, rng: np.random.Generator) -> Seconds:
    return np.exp(np.cumsum(rng.normal(0.0, 0.02, n)))


MACHINES: dict[str, Machine] = {
    "steady": drift(0.0),
    "drift of 10 %": drift(0.1),
    "drift of 20 %": drift(0.2),
    "drift of -20 %": drift(-0.2),
    "warming up by 20 %": warming_up(0.2),
    "slow start of 20 %": slow_start(0.2),
    "every second run slower": every(2, 1),
    "a step of 10 %": step,
    "a random walk": walk,
}


def declared(
    ran: Sequence[tuple[int, int]], machine: Machine, noise: float, trials: int
) -> NDArray[np.float64]:
    """Return how often equal contenders are called different from the first, `(contenders - 1,)`.

    Corrected for their number, as in a table of a report.
    """
    rng = np.random.default_rng(len(ran))
    contenders = 1 + max(contender for contender, _ in ran)
    found = np.zeros(contenders - 1)
    for _ in range(trials):
        seconds = machine(len(ran), rng) * rng.lognormal(0.0, noise, len(ran))
        times: list[dict[int, float]] = [{} for _ in range(contenders)]
        for (contender, seed), value in zip(ran, seconds, strict=True):
            times[contender][seed] = float(value)
        verdicts = corrected([compare_times(times[0], other) for other in times[1:]])
        found += [verdict.word in ("faster", "slower") for verdict in verdicts]
    return found / trials


@pytest.mark.parametrize("machine", [m for m in MACHINES if m != "a random walk"])
def test_two_equals_are_equal_on_a_machine_that_drifts(machine: str) -> None:
    for seeds in (3, 5, 10):
        ran = order_of(sweep(2, seeds))
        assert declared(ran, MACHINES[machine], 0.01, 150).max() < 0.075


def test_always_the_same_first_would_not_do() -> None:
    """The order that used to be: the checks above can fail."""
    cells = sweep(2, 5)
    backends = [Cell(c.values | {"backend": _named(c)}) for c in cells]
    known = dict(zip(backends, cells.values(), strict=True))
    ran = [known[cell] for cell in arrange(backends, "interleaved")]
    assert ran == [(contender, seed) for seed in range(5) for contender in range(2)]
    assert declared(ran, MACHINES["drift of 10 %"], 0.01, 150).max() > 0.12
    assert declared(ran, MACHINES["every second run slower"], 0.01, 150).max() > 0.5
    again = [known[cell] for cell in arrange(backends)]
    assert declared(again, MACHINES["every second run slower"], 0.01, 150).max() < 0.075


def _named(cell: Cell) -> dict[str, object]:
    return cell.values["backend"] | {"name": f"b{cell.values['batch_size']}"}


@pytest.mark.slow
@pytest.mark.parametrize("contenders", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("machine", MACHINES)
def test_equals_are_equal(machine: str, contenders: int) -> None:
    """Nominal: 5 %. Of 1,000 trials each, 6.5 % is 2.2 standard deviations more."""
    for seeds in (3, 5, 10):
        ran = order_of(sweep(contenders, seeds))
        for noise in (0.01, 0.03):
            assert declared(ran, MACHINES[machine], noise, 1000).max() < 0.065


@pytest.mark.slow
@pytest.mark.parametrize("contenders", [2, 3, 4, 5, 6])
def test_no_place_in_a_block_is_anybodys_own(contenders: int) -> None:
    """A place that is 3 % slower, whichever it is, in blocks of any number of contenders."""
    for place in range(contenders):
        for seeds in (3, 5, 10):
            ran = order_of(sweep(contenders, seeds))
            assert declared(ran, every(contenders, place), 0.01, 300).max() < 0.1


@pytest.mark.parametrize("contenders", [2, 3, 4, 5, 6, 7])
def test_what_is_left_of_a_steady_drift(contenders: int) -> None:
    """After an even number of blocks nothing; after an odd one less than a block's length."""
    for seeds in range(1, 11):
        ran = order_of(sweep(contenders, seeds))
        sums = np.zeros(contenders)
        for moment, (contender, _) in enumerate(ran):
            sums[contender] += moment
        most = 0 if seeds % 2 == 0 else contenders - 1
        assert np.ptp(sums) == pytest.approx(most)


@pytest.mark.parametrize("contenders", [2, 3, 4, 5, 6])
def test_each_contender_has_each_place_and_each_successor_alike(contenders: int) -> None:
    """Of Williams: after as many blocks as there are rows, twice the contenders where odd."""
    blocks = contenders if contenders % 2 == 0 else 2 * contenders
    ran = [contender for contender, _ in order_of(sweep(contenders, blocks))]
    rows = [ran[i : i + contenders] for i in range(0, len(ran), contenders)]
    places = Counter((c, place) for row in rows for place, c in enumerate(row))
    assert set(places.values()) == {blocks // contenders}
    assert len(places) == contenders**2
    following = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert set(following.values()) == {blocks // contenders}


def test_a_block_is_a_seed_and_the_first_is_as_given() -> None:
    ran = order_of(sweep(3, 4))
    assert [seed for _, seed in ran] == [seed for seed in range(4) for _ in range(3)]
    assert [contender for contender, _ in ran[:3]] == [0, 1, 2]
    assert [contender for contender, _ in order_of(sweep(2, 8))] == [
        *(0, 1, 1, 0), *(1, 0, 0, 1), *(1, 0, 0, 1), *(0, 1, 1, 0)
    ]  # fmt: skip


def test_gaps_leave_the_others_where_they_are() -> None:
    """A contender that lacks seeds, and one that comes later, change nobody's turn."""
    cells = sweep(2, 6)
    more = Cell({**next(iter(cells)).values, "batch_size": 9, "seed": 4})
    ran = [cells.get(cell) for cell in arrange([*cells, more])]
    assert sorted(filter(None, ran)) == sorted(cells.values())
    firsts = [pair[0] for pair in zip(*[iter(filter(None, ran))] * 2, strict=True)]
    assert Counter(contender for contender, _ in firsts) == {0: 3, 1: 3}


@pytest.mark.parametrize("nodes", [2, 3, 4])
@pytest.mark.parametrize("contenders", [2, 3, 4])
def test_jobs_of_an_array_spread_over_nodes(contenders: int, nodes: int) -> None:
    """Cell i on node i modulo their number: nobody always has the slower one."""
    on = Counter((c, i % nodes) for i, (c, _) in enumerate(order_of(sweep(contenders, 12))))
    for contender in range(contenders):
        assert max(on[contender, node] for node in range(nodes)) <= 12 // nodes + 3
