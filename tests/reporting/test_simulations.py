"""How often verdicts are wrong, and how often they find what is there: simulated, by thousands.

Machines and nets are made here with NumPy alone; of the product there are the order of a sweep's
runs and the verdicts. A verdict between equals may come in 5 % of reports; 6 % is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nnbench.reporting.statistics import (
    Scores,
    compare_times,
    contrast,
    corrected,
    corrected_contrasts,
    of_figures,
)
from nnbench.sweeps.order import row

Array = NDArray[np.float64]
Machine = Callable[[np.random.Generator, int], Array]  # logarithms of the times of runs in a row
MOST = 0.06


def normal(rng: np.random.Generator, runs: int, size: float = 0.03) -> Array:
    return rng.normal(0.0, size, runs)


def like_the_last(coefficient: float) -> Machine:
    """AR(1): what a run takes depends on what the one before it took."""

    def machine(rng: np.random.Generator, runs: int) -> Array:
        found = normal(rng, runs)
        fresh = np.sqrt(1 - coefficient**2)
        for i in range(1, runs):
            found[i] = coefficient * found[i - 1] + fresh * found[i]
        return found

    return machine


def bimodal(slow: float) -> Machine:
    """A run is 20 % slower with the probability `slow`, as by its memory layout."""
    return lambda rng, runs: 0.2 * (rng.random(runs) < slow) + normal(rng, runs, 0.01)


def drift(size: float) -> Machine:
    return lambda rng, runs: size * np.arange(runs) / (runs - 1) + normal(rng, runs, 0.01)


def warming_up(size: float) -> Machine:
    return lambda rng, runs: size * np.exp(-np.arange(runs) / 3) + normal(rng, runs, 0.01)


def slots(rng: np.random.Generator, runs: int) -> Array:
    return 0.03 * (np.arange(runs) % 2) + normal(rng, runs, 0.01)


def skewed(rng: np.random.Generator, runs: int) -> Array:
    return np.log1p(rng.exponential(0.1, runs))


MACHINES: dict[str, Machine] = {
    "normal": normal,
    "AR(1) 0.3": like_the_last(0.3),
    "AR(1) 0.5": like_the_last(0.5),
    "AR(1) 0.8": like_the_last(0.8),
    "bimodal 0.1": bimodal(0.1),
    "bimodal 0.3": bimodal(0.3),
    "bimodal 0.5": bimodal(0.5),
    "drift 10 %": drift(0.1),
    "drift 20 %": drift(0.2),
    "warming up 20 %": warming_up(0.2),
    "slots 3 %": slots,
    "skewed": skewed,
}


def turns(groups: int, pairs: int) -> list[int]:
    """Return which group each run of a sweep is of, one after the other."""
    return [group for block in range(pairs) for group in row(groups, block)]


def always_the_same_first(groups: int, pairs: int) -> list[int]:
    return [*range(groups)] * pairs


def times_differ(
    machine: Machine, order: Sequence[int], trials: int, ratio: float = 1.0, seed: int = 0
) -> float:
    """Return in how many of `trials` reports a group is called slower or faster than the first.

    All take equally long, but for the last, which takes `ratio` times as long.
    """
    rng = np.random.default_rng(seed)
    groups, found = max(order) + 1, 0
    for _ in range(trials):
        logs = machine(rng, len(order))
        times = [np.exp(logs[np.array(order) == group]) for group in range(groups)]
        times[-1] = times[-1] * ratio
        base, *others = (dict(enumerate(map(float, each))) for each in times)
        verdicts = corrected([compare_times(base, other) for other in others])
        found += any(verdict.word in ("faster", "slower") for verdict in verdicts)
    return found / trials


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [3, 5, 10])
@pytest.mark.parametrize("name", MACHINES)
def test_equals_take_equally_long(name: str, pairs: int) -> None:
    assert times_differ(MACHINES[name], turns(2, pairs), 5000) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [3, 5, 10])
@pytest.mark.parametrize("name", ["normal", "AR(1) 0.5", "bimodal 0.5", "drift 20 %", "slots 3 %"])
def test_twelve_equals_take_equally_long(name: str, pairs: int) -> None:
    assert times_differ(MACHINES[name], turns(12, pairs), 600) <= MOST


@pytest.mark.slow
def test_a_ratio_of_one_point_one_is_found() -> None:
    assert times_differ(normal, turns(2, 5), 5000, ratio=1.1) >= 0.9


@pytest.mark.slow
def test_times_in_few_trials() -> None:
    """The same in short, and the two faults that it is there to find."""
    for name, pairs in (("normal", 3), ("AR(1) 0.5", 5), ("bimodal 0.5", 3), ("drift 20 %", 5)):
        assert times_differ(MACHINES[name], turns(2, pairs), 800) <= MOST
    assert times_differ(normal, turns(2, 5), 400, ratio=1.1) >= 0.9
    assert times_differ(drift(0.1), always_the_same_first(2, 5), 400) > 0.15
    rng = np.random.default_rng(0)
    order = np.array(turns(12, 5))
    uncorrected = 0
    for _ in range(200):
        logs = normal(rng, len(order))
        p = [stats.ttest_rel(logs[order == i], logs[order == 0]).pvalue for i in range(1, 12)]
        uncorrected += min(p) < 0.05
    assert uncorrected / 200 > 0.2


@dataclass(frozen=True)
class Nets:
    """Nets of equal accuracy in the population: which of `pool` samples they answer rightly.

    On `discordant` of 1,000 samples two groups part, rightly or wrongly by chance: for a part
    `lasting` of them alike with every seed, else anew with each. `spread` is the standard
    deviation between seeds, `better` what the last group is better by. Each run is tested on
    1,000 samples: the first, or (`resplit`) others with each seed.
    """

    lasting: float = 1.0
    spread: float = 0.0
    better: float = 0.0
    discordant: float = 30.0
    pool: int = 1000
    resplit: bool = False

    def draw(self, rng: np.random.Generator, groups: int, seeds: int) -> list[dict[int, Scores]]:
        easy = rng.random(self.pool) < 0.9
        open_ = rng.random(self.pool) < 2 * self.discordant / 1000
        tested = [np.arange(1000)] * seeds
        if self.resplit:
            tested = [rng.permutation(self.pool)[:1000] for _ in range(seeds)]
        found = []
        for group in range(groups):
            always = rng.random(self.pool)
            runs = {}
            for seed, samples in enumerate(tested):
                anew = rng.random(self.pool) >= self.lasting
                luck = np.where(anew, rng.random(self.pool), always)
                right = np.where(open_, luck < 0.5, easy)
                moved = rng.normal(self.better if group == groups - 1 else 0.0, self.spread)
                right = self._moved(rng, right, moved)
                runs[seed] = Scores(right[samples].astype(np.float64), samples)
            found.append(runs)
        return found

    @staticmethod
    def _moved(rng: np.random.Generator, right: Array, by: float) -> Array:
        """Return answers of which the part `by` of all became right (or wrong, below 0)."""
        chance = abs(by) / max(1e-9, float(np.mean(right == (by < 0))))
        return np.where((right == (by < 0)) & (rng.random(len(right)) < chance), by > 0, right)


def accuracies_differ(
    nets: Nets,
    groups: int,
    seeds: int,
    trials: int,
    view: Callable[[Mapping[int, Scores]], dict[int, Scores]] = dict,
) -> float:
    """Return in how many of `trials` reports a group is called better or worse than the first.

    `view` is what the report knows of the scores.
    """
    rng, found = np.random.default_rng(seeds), 0
    for _ in range(trials):
        base, *others = map(view, nets.draw(rng, groups, seeds))
        verdicts = corrected_contrasts([contrast(base, other) for other in others])
        found += any(verdict.differs for verdict in verdicts)
    return found / trials


def with_places_alone(scores: Mapping[int, Scores]) -> dict[int, Scores]:
    """Return the scores where it is not known which samples two splits share."""
    return {
        seed: Scores(each.values, 10_000 * seed + np.arange(1000), certain=False)
        for seed, each in scores.items()
    }


EQUAL = {
    "the same samples with every seed": Nets(1.0),
    "half of them": Nets(0.5),
    "others with every seed": Nets(0.0),
    "seeds apart by 0.3 points": Nets(1.0, spread=0.003),
    "seeds apart by 0.7 points": Nets(0.5, spread=0.007),
    "seeds apart by 2 points": Nets(0.5, spread=0.02),
    "splits that overlap": Nets(1.0, pool=5000, resplit=True),
    "splits that overlap, seeds apart": Nets(1.0, spread=0.007, pool=5000, resplit=True),
    "few samples": Nets(1.0, discordant=4),
    "most samples": Nets(0.7, discordant=200),
}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("name", EQUAL)
def test_equals_are_equally_good(name: str, seeds: int) -> None:
    assert accuracies_differ(EQUAL[name], 2, seeds, 2000) <= MOST
    assert accuracies_differ(EQUAL[name], 12, seeds, 200) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_equals_are_equally_good_where_splits_may_overlap(seeds: int) -> None:
    for name in ("splits that overlap", "splits that overlap, seeds apart"):
        assert accuracies_differ(EQUAL[name], 2, seeds, 2000, with_places_alone) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [0.0, 0.5, 1.0])
def test_three_points_are_found(lasting: float) -> None:
    for discordant in (30, 60):
        nets = Nets(lasting, spread=0.007, better=0.03, discordant=discordant)
        assert accuracies_differ(nets, 2, 5, 1000) >= 0.8


@pytest.mark.slow
def test_intervals_of_differences_cover() -> None:
    for nets in (Nets(0.5, 0.005, 0.02), Nets(1.0, 0.0, 0.01), Nets(1.0, 0.005, 0.02, pool=5000,
                                                                    resplit=True)):  # fmt: skip
        for seeds in (1, 3, 5):
            rng, covered = np.random.default_rng(seeds), 0
            for _ in range(1500):
                found = contrast(*nets.draw(rng, 2, seeds)).difference
                covered += found.low <= nets.better <= found.high
            assert covered / 1500 >= (0.94 if seeds > 1 or nets.spread == 0 else 0.7)


@pytest.mark.slow
def test_accuracies_in_few_trials() -> None:
    """The same in short, and the faults that it is there to find."""
    for name, groups, seeds in (
        ("the same samples with every seed", 2, 3),
        ("seeds apart by 0.7 points", 2, 5),
        ("splits that overlap", 2, 3),
        ("the same samples with every seed", 12, 5),
    ):
        trials = 60 if groups == 12 else 300
        assert accuracies_differ(EQUAL[name], groups, seeds, trials) <= MOST
    better = Nets(0.5, spread=0.007, better=0.03)
    assert accuracies_differ(better, 2, 5, 200) >= 0.8
    rng = np.random.default_rng(0)
    seeds_alone = 0
    for _ in range(200):
        a, b = ([run.values.mean() for run in g.values()] for g in Nets(0.9).draw(rng, 2, 5))
        seeds_alone += stats.ttest_rel(a, b).pvalue < 0.05
    assert seeds_alone / 200 > 0.3


def test_without_predictions_nothing_is_declared_lightly() -> None:
    rng, wrong, found = np.random.default_rng(1), 0, 0
    for better in (0.0, 0.06):
        for _ in range(200):
            a, b = Nets(1.0, better=better).draw(rng, 2, 5)
            figures = [{s: float(run.values.mean()) for s, run in g.items()} for g in (a, b)]
            verdict = of_figures(figures[0], figures[1], 1000).differs
            wrong += verdict and not better
            found += verdict and better > 0
    assert wrong / 200 <= MOST
    assert found / 200 > 0.8
