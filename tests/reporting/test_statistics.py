"""Intervals that are right: known answers, scipy, and simulated timings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nnbench.records.run import epoch_time
from nnbench.reporting.statistics import (
    Comparison,
    Ratio,
    compare_times,
    corrected,
    holm,
    outliers,
    paired_difference,
    paired_ratio,
)


def test_the_interval_is_students() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=(2, 7))
    found = paired_ratio(b, a)
    logs = np.log(b / a)
    low, high = stats.t.interval(0.95, 6, logs.mean(), stats.sem(logs))
    np.testing.assert_allclose(found, np.exp([logs.mean(), low, high]), rtol=1e-12)
    compared = compare_times(dict(enumerate(a)), dict(enumerate(b)))
    assert compared.ratio == found
    assert compared.p == pytest.approx(stats.ttest_1samp(logs, 0.0).pvalue, rel=1e-9)


def test_without_common_seeds_it_is_welchs() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(size=6), rng.lognormal(1.0, 2.0, size=9)
    found = compare_times(dict(enumerate(a)), {i + 100: v for i, v in enumerate(b)})
    expected = stats.ttest_ind(np.log(b), np.log(a), equal_var=False)
    assert not found.paired
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found.ratio[1:], np.exp([interval.low, interval.high]), rtol=1e-9)


def test_differences_of_accuracies() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 5))
    found, p = paired_difference(a, b)
    expected = stats.ttest_rel(b, a)
    assert p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found[1:], [interval.low, interval.high], rtol=1e-9)


def test_holm() -> None:
    """The example of R's p.adjust."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def times(rng: np.random.Generator, pairs: int, ratio: float) -> tuple[dict[int, float], ...]:
    """Draw runs of 12 epochs: the machine's mood by pair, a run's own, skewed epochs, warm-up."""
    sides: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for seed in range(pairs):
        mood = rng.lognormal(0.0, 0.2)
        for side, level in zip(sides, (1.0, ratio), strict=True):
            own = rng.lognormal(0.0, 0.05)
            epochs = mood * own * level * (1.0 + rng.exponential(0.1, size=12))
            epochs[0] *= 3.0
            side[seed] = epoch_time(list(epochs))
    return sides


@pytest.mark.parametrize("pairs", [3, 5, 10, 20])
@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_intervals_cover(pairs: int, ratio: float) -> None:
    """95 % of the intervals of 2,000 simulated comparisons hold the true ratio."""
    rng = np.random.default_rng(pairs)
    trials, covered, different = 2000, 0, 0
    for _ in range(trials):
        found = compare_times(*times(rng, pairs, ratio))
        covered += found.ratio.low <= ratio <= found.ratio.high
        different += found.word in ("faster", "slower")
    low, high = (0.92, 0.98) if pairs == 3 else (0.93, 0.97)
    assert low <= covered / trials <= high
    if ratio == 1.0:
        assert different / trials <= (0.08 if pairs == 3 else 0.065)


def test_a_bad_interval_would_be_seen() -> None:
    """The normal distribution's 1.96 in place of Student's t covers too little at five pairs."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(2000):
        a, b = times(rng, 5, 1.0)
        logs = np.log([b[s] / a[s] for s in a])
        covered += abs(logs.mean()) <= 1.96 * logs.std(ddof=1) / math.sqrt(5)
    assert covered / 2000 < 0.93


def test_verdicts() -> None:
    rng = np.random.default_rng(3)
    base = {seed: 1.0 + 0.001 * rng.normal() for seed in range(5)}
    slower = {seed: 1.5 * v * (1 + 0.001 * rng.normal()) for seed, v in base.items()}
    assert str(compare_times(base, slower)).startswith("1.50 times as slow (1.50 to 1.50; 5 pairs)")
    assert str(compare_times(slower, base)).startswith("1.50 times as fast (1.50 to 1.50; 5 pairs)")
    assert str(compare_times(base, dict(base))) == "equal within 2 % (1.00 to 1.00; 5 pairs)"
    few = compare_times({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.1})
    assert few.word == "too few"
    noisy = {seed: v * (1 + 0.2 * (-1) ** seed) for seed, v in base.items()}
    undecided = compare_times(base, noisy)
    assert undecided.word == "undecided"
    alone = compare_times({0: 1.0}, {0: 2.0})
    assert alone.ratio == Ratio(2.0, 0.0, math.inf)
    assert alone.word == "too few"


def test_how_many_more_pairs_is_about_right() -> None:
    rng = np.random.default_rng(4)
    logs = rng.normal(0.1, 0.15, size=400)
    sides = [dict.fromkeys(range(5), 1.0), {i: math.exp(v) for i, v in enumerate(logs[:5])}]
    found = compare_times(*sides)
    assert found.word == "undecided"
    assert found.more is not None
    n = 5 + 2 * found.more
    ones = dict.fromkeys(range(n), 1.0)
    again = compare_times(ones, {i: math.exp(v) for i, v in enumerate(logs[:n])})
    assert again.word == "slower"


def test_many_comparisons_need_more() -> None:
    weak = Comparison(Ratio(1.1, 1.01, 1.2), 5, True, 0.04, "slower")
    strong = Comparison(Ratio(2.0, 1.9, 2.1), 5, True, 1e-6, "slower")
    words = [c.word for c in corrected([weak, strong, weak])]
    assert words == ["undecided", "slower", "undecided"]
    assert [c.word for c in corrected([weak])] == ["slower"]


def test_outliers_are_told() -> None:
    assert outliers([1.0, 1.1, 0.9, 1.05, 9.0]) == [4]
    assert outliers([1.0, 1.0, 1.0]) == []
