"""Differences of accuracies (or losses): what they are on new seeds and new test samples.

Seeds and test samples are crossed random effects: every run of a group is tested on the same
samples, or on samples that overlap. With d the difference on sample i with seed s, the mean over
S seeds has the variance v / S + c: v is the variance between the seeds' means, c the covariance
of two seeds' means, which is what the samples they share add however many seeds there are. v is
estimated from the means; c from the products of two seeds' deviations on the same sample. With
one common test set that is the classical (MS_seeds + MS_samples - MS_rest) / (S n).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nnbench.formatting import count
from nnbench.reporting.statistics.student import (
    CONFIDENCE,
    Difference,
    Part,
    by_pairs,
    half_width,
    holm,
    probability,
)
from nnbench.schema.deferred import dataclass

Vector = NDArray[np.float64]
# So that n samples answered alike bound a difference by 3 / n, which is the rule of three
# (Hanley and Lippman-Hand, JAMA 249, 1983).
FEWEST_SAMPLES = 3.0


@dataclass(frozen=True)
class Scores:
    """What a run makes of its test samples: `values` `(n,)`, 1 right and 0 wrong, or losses.

    `samples` `(n,)` are numbers that name the samples, alike in every run; not `certain` where
    runs over other samples may have some of these under another name.
    """

    values: Vector
    samples: NDArray[np.int64]
    certain: bool = True


@dataclass(frozen=True)
class Contrast:
    """How much higher the figure of `b` is than that of `a`, for new seeds and new samples.

    `runs` are the numbers of runs of each, `paired` tells whether by seed; `samples` is the number
    of different test samples. `p` is the probability of a difference this far from 0 between
    equals (of one of `among` comparisons, corrected by `corrected`).
    """

    difference: Difference
    p: float
    runs: tuple[int, int]
    paired: bool
    samples: int
    among: int = 1

    @property
    def differs(self) -> bool:
        """Tell whether there is a difference, among all comparisons."""
        return self.p < 1 - CONFIDENCE

    @property
    def basis(self) -> str:
        """Say how many seeds and samples the contrast has, and what it says nothing about."""
        seeds = count(self.runs[0], "seed") if self.paired else "{} and {} seeds".format(*self.runs)
        text = f"{seeds}, {self.samples:,} test samples"
        text += f", one of {self.among} comparisons" if self.among > 1 else ""
        return text + ("; one seed: says nothing about other seeds" if 1 in self.runs else "")


def contrast(a: Mapping[int, Scores], b: Mapping[int, Scores]) -> Contrast:
    """Compare the scores of two groups by seed, `b` minus `a`.

    Runs with the same seed on the same samples are pairs; with too few of those (`by_pairs`)
    the groups are compared as they are.
    """
    shared = by_pairs(a, b)
    paired = bool(shared) and all(np.array_equal(a[s].samples, b[s].samples) for s in shared)
    if paired:
        rows = [replace(b[s], values=b[s].values - a[s].values) for s in shared]
        groups = [(1.0, rows)]
        runs = (len(shared), len(shared))
    else:
        groups = [(1.0, list(b.values())), (-1.0, list(a.values()))]
        runs = (len(a), len(b))
    classes = all(np.isin(each.values, (0, 1)).all() for each in (*a.values(), *b.values()))
    value, parts, samples = crossed(groups, one_more=classes)
    return _contrast(value, parts, runs, paired, samples)


def of_figures(a: Mapping[int, float], b: Mapping[int, float], samples: int) -> Contrast:
    """Compare accuracies by seed where it is not known which of the `samples` are right.

    As if the two sides were right independently of each other: on samples of which some are
    harder than others for both, that is more variance than there is.
    """
    shared = by_pairs(a, b)
    sides = [[side[s] for s in shared] if shared else list(side.values()) for side in (a, b)]
    if shared:
        means = [y - x for x, y in zip(*sides, strict=True)]
        parts = [_between(np.array(means), 0.0)] if len(shared) > 1 else []
        value = float(np.mean(means))
    else:
        parts = [_between(np.array(side), 0.0) for side in sides if len(side) > 1]
        value = float(np.mean(sides[1]) - np.mean(sides[0]))
    drawn = sum(float(np.mean([p * (1 - p) for p in side])) for side in sides) / samples
    parts.append(Part(drawn + 1 / samples**2, max(1.0, samples - 1.0)))
    return _contrast(value, parts, (len(sides[0]), len(sides[1])), bool(shared), samples)


def half_of_scores(rows: Sequence[Scores]) -> float:
    """Return half the width of the interval of a group's mean score; a row for each seed."""
    least = all(len(np.unique(row.values)) <= 2 for row in rows)  # right or wrong
    return half_width(crossed([(1.0, rows)], one_more=least)[1])


def half_of_accuracies(values: Sequence[float], accuracies: Sequence[float], samples: int) -> float:
    """Return the same where it is not known which of the `samples` are right.

    `values` are the accuracies by seed, or what differs from them by what no sample changes.
    """
    drawn = float(np.mean([p * (1 - p) for p in accuracies])) / samples
    through = Part(drawn + 1 / samples**2, max(1.0, samples - 1.0))
    return half_width([_between(np.array(values), 0.0), through])


def crossed(
    groups: Sequence[tuple[float, Sequence[Scores]]], one_more: bool
) -> tuple[float, list[Part], int]:
    """Return the sum of the groups' means with their signs, the parts of its variance, and n.

    A group has a row for each seed; n is the number of different samples.
    `one_more`: as if the groups were apart on one more sample, so that no variance is 0 where
    they answer alike (Agresti and Min, Statistics in Medicine 24, 2005).
    """
    rows = [row for _, group in groups for row in group]
    certain = all(row.certain for row in rows)
    means, deviations = _deviations(rows)
    value, shared, parts, courses = 0.0, 0.0, [], []
    starts = np.cumsum([0, *(len(group) for _, group in groups)])
    for (sign, group), ends in zip(groups, itertools.pairwise(starts), strict=True):
        own, size = deviations[slice(*ends)], len(group)
        whole = own.sum(axis=0)  # its square sums the products of every two rows, each with itself
        squares = float((own**2).sum())
        through = alone = squares / size
        if size > 1 and certain:
            through = (float((whole**2).sum()) - squares) / (size * (size - 1))
        if size > 1:
            parts.append(_between(means[slice(*ends)], alone - max(0.0, through)))
        value += sign * float(means[slice(*ends)].mean())
        shared += through
        courses.append(sign * whole / size)
    shared += sum(2 * float((a * b).sum()) for a, b in itertools.combinations(courses, 2))
    course = np.sum(courses, axis=0)
    n = len(course)
    least = (1 / n) ** 2 if one_more else 0.0
    parts.append(Part(max(0.0, shared) + least, _freedom(course)))
    return value, parts, n


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Return the contrasts of one table, p-values corrected for their number."""
    p = holm([each.p for each in contrasts])
    return [replace(c, p=q, among=len(p)) for c, q in zip(contrasts, p, strict=True)]


def _contrast(
    value: float, parts: Sequence[Part], runs: tuple[int, int], paired: bool, samples: int
) -> Contrast:
    half = half_width(parts)
    found = Difference(value, value - half, value + half)
    return Contrast(found, probability(value, parts), runs, paired, samples)


def _between(means: Vector, rest: float) -> Part:
    """Return the variance of the mean of the seeds' `means`.

    At least the `rest` that their samples alone would give them: few means can agree by luck.
    """
    size = len(means)
    return Part(max(float(means.var(ddof=1)), rest) / size, size - 1)


def _deviations(rows: Sequence[Scores]) -> tuple[Vector, Vector]:
    """Return each row's mean `(rows,)`, and what each sample adds to it `(rows, samples)`."""
    means = np.array([row.values.mean() for row in rows])
    names, places = np.unique(np.concatenate([row.samples for row in rows]), return_inverse=True)
    found = np.zeros((len(rows), len(names)))
    ends = np.cumsum([0, *(len(row.samples) for row in rows)])
    for i, (row, (start, stop)) in enumerate(zip(rows, itertools.pairwise(ends), strict=True)):
        added = (row.values - means[i]) / len(row.values)
        found[i] = np.bincount(places[start:stop], weights=added, minlength=len(names))
    return means, found


def _freedom(course: Vector) -> float:
    """Return how many samples carry the difference, at least `FEWEST_SAMPLES`.

    That many equal ones would: (sum of squares)^2 over the sum of fourth powers. Thirty samples of
    a thousand that two nets answer differently tell as much as thirty values.
    """
    squares = course**2
    largest = float(squares.max(initial=0.0))
    if largest == 0.0:
        return FEWEST_SAMPLES
    squares /= largest
    return max(FEWEST_SAMPLES, float(squares.sum() ** 2 / (squares**2).sum()))
