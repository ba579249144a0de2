"""Conditions of `nnbench report --fail-if`: the figures they may use, and which of them hold.

A figure of a group may have a 95 % interval, for new runs: of times, sizes in memory, training
accuracies and losses by the seeds alone (Student's t, of times and sizes on their logarithms); of
test accuracies and gaps for other test samples too, as verdicts have it. What a pair has are the
intervals of its verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean

from nnbench.formatting import finite, number
from nnbench.reporting.claims.expression import ENDS, figures_in, holds
from nnbench.reporting.comparison.against import Against
from nnbench.reporting.comparison.content import Report
from nnbench.reporting.comparison.groups import Group, seed
from nnbench.reporting.comparison.rows import Row
from nnbench.reporting.comparison.tested import Scored, scored
from nnbench.reporting.statistics import FEWEST, Difference, interval, spread_of_times
from nnbench.reporting.statistics.scores import Scores, half_of_accuracies, half_of_scores
from nnbench.schema.deferred import dataclass

FRACTIONS = ("accuracy", "train_accuracy")  # between 0 and 1, and so are their intervals


@dataclass(frozen=True)
class Condition:
    """A condition with what it came to, and the figures that it had, by how they are typed."""

    text: str
    met: bool
    figures: Mapping[str, float]

    def __str__(self) -> str:
        """Return it as a line."""
        told = ", ".join(f"{name} is {number(value)}" for name, value in self.figures.items())
        return f"condition {'met' if self.met else 'not met'}: {self.text} ({told or 'no figures'})"


Intervals = Mapping[str, Mapping[str, Difference]]  # by group or pair, and figure


def judge(texts: Sequence[str], report: Report) -> list[Condition]:
    """Return every condition with whether it holds. Raises ConfigError where one cannot be read.

    That is about groups and pairs of the first table.
    """
    known: dict[str, dict[str, float]] = {}
    asked = {figure for text in texts for _, figure in figures_in(text)}
    for name, figures in all_intervals(report, asked).items():
        known[name] = {figure: found.value for figure, found in figures.items()}
        for figure, found in figures.items():
            if math.isfinite(found.low) and math.isfinite(found.high):
                known[name] |= {f"{figure}.low": found.low, f"{figure}.high": found.high}
    return [Condition(text, holds(text, known), _had(text, known)) for text in texts]


def all_intervals(
    report: Report, asked: Collection[str] | None = None, table: int = 0
) -> Intervals:
    """Return the figures of the groups and fair pairs of a table, each with its interval.

    Where there is none its ends are infinite: with fewer than `FEWEST` runs, and for groups where
    no end is `asked` for, as "time.low" (None asks for all).
    """
    content = report.tables[table]
    wanted = asked is None or any(figure.endswith(ENDS) for figure in asked)
    groups = content.table.groups
    runs = [{seed(run): run for run in group.finished} for group in groups]
    known = scored(runs) if wanted else [None] * len(groups)
    found: dict[str, dict[str, Difference]] = {}
    for row, group, scores in zip(content.rows, groups, known, strict=True):
        values = _values(row)
        halves = _halves(group, scores) if wanted and len(group.finished) >= FEWEST else {}
        found[row.group] = {k: _around(k, v, halves.get(k)) for k, v in values.items()}
    for against in content.against:
        if against.fair:
            found[against.pair()] = _of_pair(against)
    return found


def _values(row: Row) -> dict[str, float]:
    """Return the figures of a line of the table, those that there are."""
    values = {
        "time": row.epoch,
        "accuracy": row.test_accuracy,
        "train_accuracy": row.train_accuracy,
        "gap": row.gap,
        "loss": row.test_loss,
        "total_time": row.total_time,
        "memory": row.memory,
        "parameters": float(row.parameters),
        "seeds": float(row.seeds),
        "diverged": float(row.diverged),
    }
    return {k: v for k, v in values.items() if v is not None}


def _halves(group: Group, scores: Scored | None) -> dict[str, tuple[float, float]]:
    """Return the ends of the interval of each figure that `FEWEST` runs or more have."""
    found = {
        "time": _of_logs(group.seconds().values()),
        "total_time": _of_logs(run.phases.wall_seconds for run in group.timed),
        "memory": _of_logs(run.peak_memory_bytes for run in group.finished),
        "train_accuracy": _of_seeds(group.figures("train_accuracy").values()),
        "loss": _of_seeds(group.figures("test_loss").values()),
        **_of_samples(group, scores),
    }
    return {name: ends for name, ends in found.items() if ends is not None}


def _of_logs(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = [value for value in finite(values) if value > 0]
    return spread_of_times(known)[1:] if len(known) >= FEWEST else None


def _of_seeds(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = finite(values)
    return interval(known)[1:] if len(known) >= FEWEST else None


def _of_samples(group: Group, scores: Scored | None) -> dict[str, tuple[float, float]]:
    """Return the ends for accuracy (in regression loss) and gap: other seeds and test samples."""
    accuracies = group.figures("test_accuracy")
    quality = accuracies or group.figures("test_loss")
    samples = int((group.first.data.get("samples") or {}).get("test") or 0)
    found = {}
    for name, by_seed in (
        ("accuracy" if accuracies else "loss", quality),
        ("gap", group.figures("generalization_gap")),
    ):
        values = [by_seed[s] for s in quality if math.isfinite(by_seed.get(s, math.nan))]
        if len(values) < max(FEWEST, len(quality)):
            continue
        if scores is not None:
            half = half_of_scores([_around_mean(scores.by_seed[s], by_seed[s]) for s in quality])
        elif accuracies and samples:
            half = half_of_accuracies(values, [*accuracies.values()], samples)
        else:
            continue
        found[name] = (mean(values) - half, mean(values) + half)
    return found


def _around_mean(scores: Scores, value: float) -> Scores:
    """Return `scores` moved so that `value` is their mean: of a gap, which samples move as much."""
    return replace(scores, values=scores.values - scores.values.mean() + value)


def _around(name: str, value: float, ends: tuple[float, float] | None) -> Difference:
    """Return a figure with its interval, which has the figure in it: that may be a median."""
    low, high = ends or (-math.inf, math.inf)
    if ends and name in FRACTIONS:
        low, high = max(low, 0.0), min(high, 1.0)
    return Difference(value, min(low, value), max(high, value))


def _of_pair(against: Against) -> dict[str, Difference]:
    """Return what a verdict is about, with the interval that it gives."""
    found = {}
    quality, reaching = against.quality, against.reaching
    for name, time in (
        ("time_ratio", against.time),
        ("target_ratio", reaching.time if reaching else None),
    ):
        if time is not None:
            found[name] = _unless(time.pairs < FEWEST, Difference(*time.ratio))
    if quality is not None:
        few = min(quality.contrast.runs) < FEWEST
        name = "accuracy_difference" if quality.name == "test accuracy" else "loss_difference"
        found[name] = _unless(few, quality.contrast.difference)
    return found


def _unless(few: bool, found: Difference) -> Difference:
    return Difference(found.value, -math.inf, math.inf) if few else found


def _had(text: str, known: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the figures that a condition has."""
    found = figures_in(text)
    return {
        f"{group if group.isidentifier() else repr(group)}.{figure}": known[group][figure]
        for group, figure in found
    }
