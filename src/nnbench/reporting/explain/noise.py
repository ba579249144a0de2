"""How sure effects on accuracy (or loss) are: by the seeds and the test samples of the runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from nnbench.records.run import RunResult
from nnbench.reporting.comparison.tested import Scored, scored
from nnbench.reporting.explain.explanation import Gap
from nnbench.reporting.statistics import crossed, half_width

Way = Sequence[tuple[str, Mapping[int, RunResult]]]  # each change, and the runs after it by seed
Terms = Sequence[tuple[float, Scored]]  # a sum of scores, each with its weight
NOT_CHECKED = "Figures not checked."


def with_noise(gap: Gap, ways: Sequence[Way]) -> Gap:
    """Return `gap` with intervals that hold for other test samples too.

    The first of each way has no name and is its start. Nothing changes where test samples are not
    at hand, or are others after a change than before.
    """
    found = scored([runs for way in ways for _, runs in way])
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return gap
    after = iter(known)
    sums: defaultdict[str, list[tuple[float, Scored]]] = defaultdict(list)
    ends: list[tuple[float, Scored]] = []
    for way in ways:
        walked = [(name, next(after)) for name, _ in way]
        ends += [(1 / len(ways), walked[-1][1]), (-1 / len(ways), walked[0][1])]
        for (_, a), (name, b) in pairwise(walked):
            sums[name] += [(1 / len(ways), b), (-1 / len(ways), a)]
    classes = "accuracy" in gap.figure
    effects = tuple(
        replace(e, half=_half(sums[e.name], classes, len(gap.effects), e.half)) for e in gap.effects
    )
    checked = all(each.checked for each in known)
    caution = " ".join(filter(None, (gap.caution, None if checked else NOT_CHECKED)))
    half = _half(ends, classes, 1, gap.half)
    return replace(gap, effects=effects, half=half, caution=caution or None)


def _half(terms: Terms, classes: bool, among: int, otherwise: float | None) -> float | None:
    """Return half the width of the interval of a sum; `otherwise` where samples are not the same.

    `classes`: the scores are right or wrong.
    """
    rows = []
    for seed in terms[0][1].by_seed:
        each = [(weight, scored.by_seed[seed]) for weight, scored in terms]
        samples = each[0][1].samples
        if not all(np.array_equal(scores.samples, samples) for _, scores in each):
            return otherwise
        total = np.sum([weight * scores.values for weight, scores in each], axis=0)
        rows.append(replace(each[0][1], values=total))
    _, parts, _ = crossed([(1.0, rows)], one_more=classes)
    return half_width(parts, among)
