"""Intervals that are right: known answers, scipy, and simulated timings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nnbench.records.run import epoch_time
from nnbench.reporting.statistics import (
    Comparison,
    Part,
    Ratio,
    Scores,
    compare_times,
    contrast,
    corrected,
    corrected_contrasts,
    crossed,
    half_width,
    holm,
    of_figures,
    outliers,
    paired_ratio,
)
from nnbench.reporting.statistics.student import probability
from nnbench.reporting.statistics.times import SERIAL


def test_the_interval_is_students() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=(2, 7))
    found = paired_ratio(b, a)
    logs = np.log(b / a)
    low, high = stats.t.interval(0.95, 6, logs.mean(), stats.sem(logs))
    np.testing.assert_allclose(found, np.exp([logs.mean(), low, high]), rtol=1e-12)


def test_verdicts_on_time_are_students_with_a_wider_error() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(size=(2, 7))
    logs = np.log(b / a)
    error = math.sqrt(SERIAL) * stats.sem(logs)
    low, high = stats.t.interval(0.95, 6, logs.mean(), error)
    compared = compare_times(dict(enumerate(a)), dict(enumerate(b)))
    np.testing.assert_allclose(compared.ratio, np.exp([logs.mean(), low, high]), rtol=1e-12)
    p = 2 * stats.t.sf(abs(logs.mean()) / error, 6)
    assert compared.p == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_without_enough_common_seeds_it_is_welchs(shared: int) -> None:
    """Also with two, which as pairs would be too few."""
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(size=6), rng.lognormal(1.0, 2.0, size=9)
    found = compare_times(dict(enumerate(a)), {i + 6 - shared: v for i, v in enumerate(b)})
    logs = (np.log(b), np.log(a))
    expected = stats.ttest_ind(*logs, equal_var=False)
    assert not found.paired
    assert found.word != "too few"
    between = f", {shared} seed{'s' * (shared > 1)} in common" if shared else ""
    assert found.basis == f"6 and 9 unpaired runs{between}"
    assert found.basis in str(found)
    p = 2 * stats.t.sf(abs(expected.statistic) / math.sqrt(SERIAL), expected.df)
    assert found.p == pytest.approx(p, rel=1e-9)
    half = stats.t.ppf(0.975, expected.df) * math.sqrt(SERIAL * (stats.sem(a := logs[0]) ** 2
                       + stats.sem(logs[1]) ** 2))  # fmt: skip
    np.testing.assert_allclose(np.log(found.ratio.high / found.ratio.value), half, rtol=1e-9)


def test_three_common_seeds_are_pairs_and_two_of_two_too_few() -> None:
    ones = {0: 1.0, 1: 1.1, 2: 1.2, 3: 1.3}
    assert compare_times(ones, {1: 2.0, 2: 2.2, 3: 2.6, 9: 9.0}).paired
    few = compare_times({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.1})
    assert few.paired
    assert few.word == "too few"


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


@pytest.mark.parametrize("pairs", [3, 5, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_intervals_cover(pairs: int, ratio: float) -> None:
    """At least 95 % of the intervals of 2,000 simulated comparisons hold the true ratio."""
    rng = np.random.default_rng(pairs)
    trials, covered, different = 2000, 0, 0
    for _ in range(trials):
        found = compare_times(*times(rng, pairs, ratio))
        covered += found.ratio.low <= ratio <= found.ratio.high
        different += found.word in ("faster", "slower")
    assert 0.94 <= covered / trials <= 0.98
    if ratio == 1.0:
        assert different / trials <= 0.06


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
    part = Part(0.033**2, 4)
    weak = Comparison(Ratio(1.1, 1.003, 1.205), (5, 5), True, 0.04, "slower", part)
    strong = Comparison(Ratio(2.0, 1.9, 2.1), (5, 5), True, 1e-6, "slower", part)
    words = [c.word for c in corrected([weak, strong, weak])]
    assert words == ["undecided", "slower", "undecided"]
    assert [c.word for c in corrected([weak])] == ["slower"]


def test_three_pairs_that_agree_by_luck_are_seen_among_others() -> None:
    """Runs are fast or slow, by 20 %: `b` had slow ones alone."""
    base = {0: 1.0, 1: 1.001, 2: 1.0}
    lucky = compare_times(base, {0: 1.2, 1: 1.2, 2: 1.2012})
    assert lucky.word == "slower"
    mixed = [compare_times(base, v) for v in ({0: 1.2, 1: 1.0, 2: 1.2}, {0: 1.0, 1: 1.2, 2: 1.0})]
    found = corrected([lucky, *mixed])
    assert [c.word for c in found] == ["undecided"] * 3
    assert found[0].ratio.low < 1 < found[0].ratio.high


def test_many_comparisons_are_equal_only_if_surer() -> None:
    equal = Comparison(Ratio(1.0, 0.983, 1.017), (5, 5), True, 1.0, "equal", Part(0.006**2, 4))
    assert [c.word for c in corrected([equal])] == ["equal"]
    assert [c.word for c in corrected([equal] * 8)] == ["undecided"] * 8


def test_parts_of_an_interval_add_in_quadrature() -> None:
    parts = [Part(4.0, 2), Part(9.0, 1e6)]
    expected = math.hypot(2 * stats.t.ppf(0.975, 2), 3 * stats.norm.ppf(0.975))
    assert half_width(parts) == pytest.approx(expected, rel=1e-5)
    assert probability(half_width(parts), parts) == pytest.approx(0.05, rel=1e-5)
    assert probability(half_width(parts, 11), parts) == pytest.approx(0.05 / 11, rel=1e-5)
    one = [Part(4.0, 2)]
    assert probability(5.0, one) == pytest.approx(2 * stats.t.sf(2.5, 2), rel=1e-9)
    assert probability(0.0, one) == 1.0
    assert probability(1.0, [Part(math.inf, 1)]) == 1.0


def answers(*rows: list[int], first: int = 0, certain: bool = True) -> dict[int, Scores]:
    """Return a group's scores of the samples 0, 1, ... with the seeds from `first`."""
    samples = np.arange(len(rows[0]))
    return {
        first + seed: Scores(np.array(row, float), samples, certain)
        for seed, row in enumerate(rows)
    }


def test_the_variance_is_that_of_crossed_random_effects() -> None:
    """Of a balanced table it is (MS_seeds + MS_samples - MS_rest) / (S n)."""
    rng = np.random.default_rng(0)
    s, n = 4, 50
    d = rng.normal(size=(s, n)) + rng.normal(size=n) + 0.5 * rng.normal(size=(s, 1))
    value, (seeds, samples), _ = crossed([(1.0, list(answers(*d.tolist()).values()))], False)
    mean, by_seed, by_sample = d.mean(), d.mean(axis=1), d.mean(axis=0)
    rest = d - by_seed[:, None] - by_sample + mean
    ms_seeds = n * ((by_seed - mean) ** 2).sum() / (s - 1)
    ms_samples = s * ((by_sample - mean) ** 2).sum() / (n - 1)
    ms_rest = (rest**2).sum() / ((s - 1) * (n - 1))
    assert value == pytest.approx(mean)
    assert seeds.freedom == s - 1
    assert seeds.variance == pytest.approx(ms_seeds / (s * n))
    expected = (ms_samples - ms_rest) / (s * n)
    assert samples.variance == pytest.approx(expected * (n - 1) / n, rel=1e-9)


def test_three_seeds_with_one_sample_more_each_decide_nothing() -> None:
    """Fault T6: p was 0, the interval +0.10 to +0.10."""
    base = [1] * 900 + [0] * 100
    for places in ((900, 900, 900), (900, 901, 902)):
        more = [[*base[:i], 1, *base[i + 1 :]] for i in places]
        found = contrast(answers(base, base, base), answers(*more))
        assert found.difference.value == pytest.approx(0.001)
        assert found.difference.low < 0 < found.difference.high
        assert found.p > 0.1


def test_one_seed_is_about_samples_alone() -> None:
    """Close to the exact McNemar test, on the safe side, and said."""
    base = [1] * 900 + [0] * 100
    for more, fewer in ((8, 0), (20, 5), (30, 12), (60, 30)):
        other = [0] * fewer + [1] * (900 - fewer) + [1] * more + [0] * (100 - more)
        found = contrast(answers(base), answers(other))
        exact = stats.binomtest(more, more + fewer).pvalue
        assert exact / 2 < found.p < 4 * exact + 0.01
        assert "one seed: says nothing about other seeds" in found.basis
        assert found.runs == (1, 1)


def test_samples_answered_alike_bound_a_difference_by_three_in_n() -> None:
    base = [1] * 900 + [0] * 100
    found = contrast(answers(base, base, base), answers(base, base, base))
    assert found.p == 1.0
    assert found.difference.high == pytest.approx(0.003, rel=0.1)


def test_scores_without_common_seeds_and_on_other_samples() -> None:
    rng = np.random.default_rng(0)
    a = answers(*(rng.random((5, 1000)) < 0.85).astype(int).tolist())
    b = answers(*(rng.random((5, 1000)) < 0.95).astype(int).tolist(), first=3)
    found = contrast(a, b)
    assert not found.paired
    assert found.runs == (5, 5)
    assert found.differs
    assert "5 and 5 seeds, 1,000 test samples" in found.basis
    elsewhere = {s + 3: Scores(v.values, v.samples + 1000) for s, v in a.items()}
    apart = contrast(a, elsewhere)
    assert apart.samples == 2000
    assert not apart.differs


def test_splits_that_may_overlap_count_as_one() -> None:
    """What is not known is taken at its worst: as if seeds had no samples of their own."""
    rng = np.random.default_rng(0)
    known, unknown = (
        contrast(answers(*a.tolist(), certain=certain), answers(*b.tolist(), certain=certain))
        for certain in (True, False)
        for a, b in [rng.random((2, 4, 500)) < 0.9]
    )
    assert unknown.difference.high - unknown.difference.low > 1.3 * (
        known.difference.high - known.difference.low
    )


def test_accuracies_alone_are_taken_as_of_independent_samples() -> None:
    a, b = {0: 0.9, 1: 0.9, 2: 0.9}, {0: 0.901, 1: 0.901, 2: 0.901}
    found = of_figures(a, b, 1000)
    half = 1.96 * math.sqrt((0.9 * 0.1 + 0.901 * 0.099 + 0.001) / 1000)
    assert found.difference.high == pytest.approx(0.001 + half, rel=0.01)
    assert not found.differs


def test_differences_of_many_groups_are_corrected() -> None:
    base = [1] * 900 + [0] * 100
    other = [0] * 6 + [1] * 914 + [0] * 80
    one = contrast(answers(base), answers(other))
    assert one.differs
    many = corrected_contrasts([one] * 11)
    assert not any(each.differs for each in many)
    assert "one of 11 comparisons" in many[0].basis


def test_outliers_are_told() -> None:
    assert outliers([1.0, 1.1, 0.9, 1.05, 9.0]) == [4]
    assert outliers([1.0, 1.0, 1.0]) == []
