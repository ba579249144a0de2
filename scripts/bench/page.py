"""The page about a bench: a table and the goals for each workload, met or missed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from commands import DEMANDS, NAMES, Absolute
from journal import Journal
from workloads import WORKLOADS, Contender, Demand, Evaluation, Gain, Goal, Limit, Workload

from nnbench.reporting.statistics import paired_ratio
from nnbench.reporting.statistics.student import Ratio

WIDE = ("SkylakeX", "Cooperlake", "SapphireRapids")  # kernels of OpenBLAS with AVX-512
COMMANDS = "commands"


class Verdict(NamedTuple):
    """What came of a goal: None where it could not be measured, and the sentence about it."""

    met: bool | None
    text: str

    def __str__(self) -> str:
        word = "undecided" if self.met is None else "met" if self.met else "**missed**"
        return f"- {word}: {self.text}"


NOT_MEASURED = "not measured"
DISTURBED = "measured beside other processes alone"


class Figures:
    """The figures of one workload in a journal, by contender and round."""

    def __init__(self, journal: Journal, workload: str, key: str) -> None:
        self._journal, self._workload, self._key = journal, workload, key

    def rounds(self, contender: str) -> dict[int, float]:
        """Return a figure by round."""
        lines = self._journal.rounds(self._workload, contender)
        return {turn: float(line[self._key]) for turn, line in lines.items() if line[self._key]}

    def ratio(self, above: str, below: str) -> Ratio | None:
        """Return how many times as much `above` takes, by the rounds that both have."""
        a, b = self.rounds(above), self.rounds(below)
        shared = sorted(a.keys() & b.keys())
        return paired_ratio([a[i] for i in shared], [b[i] for i in shared]) if shared else None

    def disturbed(self, *contenders: str) -> bool:
        """Tell whether all there is of one of them was taken beside other processes."""
        lines = [self._journal.rounds(self._workload, each).values() for each in contenders]
        return any(line["contended"] for each in lines for line in each)

    def verdict(
        self, text: str, found: Ratio | None, met: Callable[[Ratio], bool], who: Sequence[str]
    ) -> Verdict:
        """Say what came of a goal about the ratio of `who`."""
        if found is None:
            return Verdict(None, f"{text}; {NOT_MEASURED}")
        if self.disturbed(*who):
            return Verdict(None, f"{text}; {DISTURBED}, {found}")
        return Verdict(met(found), f"{text}; {found}")


def middle(values: list[float], digits: int = 1) -> str:
    """Return the median, with the interval of the geometric mean where all numbers are positive.

    What is a difference of times may be none or less.
    """
    shown = f"{statistics.median(values):,.{digits}f}"
    if min(values) <= 0.0:
        return shown
    found = paired_ratio(values, [1.0] * len(values))
    if not math.isfinite(found.high):
        return shown
    return f"{shown} ({found.low:,.{digits}f} to {found.high:,.{digits}f})"


def judge(demand: Demand | Absolute, journal: Journal, workload: str) -> Verdict:
    """Hold a goal against what was measured."""
    key = "evaluate_seconds" if isinstance(demand, Evaluation) else "step_microseconds"
    figures = Figures(journal, workload, key)
    if isinstance(demand, Gain):
        return _gained(demand, figures)
    if isinstance(demand, Absolute):
        seconds = [value / 1e6 for value in figures.rounds(demand.of).values()]
        text = f"{demand.of} at most {demand.seconds:g} s"
        if not seconds:
            return Verdict(None, f"{text}; {NOT_MEASURED}")
        met = statistics.median(seconds) <= demand.seconds
        return Verdict(met, f"{text}; {middle(seconds, 2)}")
    if isinstance(demand, Goal):
        wide = journal.where["blas_kernel"] in WIDE
        needed = demand.ratio if wide or demand.ratio_h is None else demand.ratio_h
        return figures.verdict(
            f"{demand.fast} {needed:g} times as fast as {demand.slow}",
            figures.ratio(demand.slow, demand.fast),
            lambda found: found.value >= needed,
            (demand.slow, demand.fast),
        )
    doing = " to evaluate" if isinstance(demand, Evaluation) else ""
    noisy = isinstance(demand, Limit) and demand.noisy
    return figures.verdict(
        f"{demand.of} at most {demand.ratio:g} times as long as {demand.against}{doing}",
        figures.ratio(demand.of, demand.against),
        lambda found: (found.low if noisy else found.value) <= demand.ratio,
        (demand.of, demand.against),
    )


def _gained(demand: Gain, figures: Figures) -> Verdict:
    """Judge what two threads gain: as much as the peer's where that is much, never a loss."""
    peers = figures.ratio(*demand.peers)
    much = peers is not None and peers.value >= demand.ratio
    needed = demand.ratio if much else demand.least
    beside = f" ({demand.peers[0]} gains {peers})" if peers is not None else ""
    return figures.verdict(
        f"{demand.two}, {needed:g} times as fast as with one{beside}",
        figures.ratio(demand.one, demand.two),
        lambda found: found.value >= needed,
        (demand.one, demand.two, *demand.peers),
    )


def section(workload: Workload, journal: Journal) -> tuple[str, list[Verdict]]:
    """Return the Markdown about a workload, and what came of its goals."""
    figures = Figures(journal, workload.name, "step_microseconds")
    known = [c for c in (*workload.contenders, *workload.more) if figures.rounds(c.label)]
    verdicts = [judge(goal, journal, workload.name) for goal in workload.goals]
    rows = sorted(known, key=lambda c: statistics.median(figures.rounds(c.label).values()))
    lines = [f"## {workload.name}: {workload.what}", ""]
    lines += ["| | us per step | against numpy | rounds |", "|---|---:|---:|---:|"]
    for contender in rows:
        values = list(figures.rounds(contender.label).values())
        ratio = figures.ratio(contender.label, "numpy")
        against = "" if ratio is None else "1" if contender.label == "numpy" else str(ratio)
        name = f"{contender.label}{_mark(journal, workload.name, contender)}"
        lines.append(f"| {name} | {middle(values)} | {against} | {len(values)} |")
    lines += ["", *map(str, verdicts), *_left_out(workload, journal)]
    return "\n".join([*lines, ""]), verdicts


def _mark(journal: Journal, workload: str, contender: Contender) -> str:
    lines = journal.rounds(workload, contender.label).values()
    return " (contended)" if any(line["contended"] for line in lines) else ""


def _left_out(workload: Workload, journal: Journal) -> Iterator[str]:
    for contender in (*workload.contenders, *workload.more):
        if why := journal.failed(workload.name, contender.label):
            yield f"- left out: {contender.label}: {why}"


def commands_section(journal: Journal) -> tuple[str, list[Verdict]]:
    """Return the Markdown about whole commands."""
    seconds = Figures(journal, COMMANDS, "step_microseconds")
    lines = ["## Whole commands", "", "| | seconds | processor seconds | rounds |"]
    lines.append("|---|---:|---:|---:|")
    for name in NAMES:
        values = [value / 1e6 for value in seconds.rounds(name).values()]
        spent = list(Figures(journal, COMMANDS, "processor_seconds").rounds(name).values())
        if values:
            lines.append(f"| {name} | {middle(values, 2)} | {middle(spent, 2)} | {len(values)} |")
    verdicts = [judge(demand, journal, COMMANDS) for demand in DEMANDS]
    return "\n".join([*lines, "", *map(str, verdicts), ""]), verdicts


def page(journal: Journal, picture: str | None, absent: dict[str, str]) -> tuple[str, int]:
    """Return the whole page, and how many goals are missed."""
    parts = [f"# Epoch times, side by side\n\n{heading(journal)}\n"]
    if absent:
        lacks = "; ".join(f"{name} ({what})" for name, what in sorted(absent.items()))
        parts.append(f"Not installed here, so not measured: {lacks}.\n")
    if picture:
        parts.append(f"![Microseconds per step by workload and contender]({picture})\n")
    verdicts: list[Verdict] = []
    for workload in WORKLOADS:
        if any(journal.of(workload.name)):
            text, judged = section(workload, journal)
            parts.append(text)
            verdicts += judged
    if any(journal.of(COMMANDS)):
        text, judged = commands_section(journal)
        parts.append(text)
        verdicts += judged
    missed = sum(verdict.met is False for verdict in verdicts)
    measured = sum(verdict.met is not None for verdict in verdicts)
    undecided = f", {len(verdicts) - measured} undecided" if len(verdicts) > measured else ""
    parts.insert(1, f"{measured - missed} of {measured} goals are met{undecided}.\n")
    return "\n".join(parts), missed


def heading(journal: Journal) -> str:
    """Say where and how the figures were taken."""
    where: dict[str, Any] = journal.where
    versions = ", ".join(f"{name} {v}" for name, v in where["versions"].items() if v)
    forced = ", ".join(where["forced_kernels"]) or "none"
    less = f" **Smaller work: {' '.join(where['less'])}.**" if where["less"] else ""
    lines = [line for line in journal.lines if line["what"] == "time"]
    again = sum(line["attempt"] > 0 for line in lines)
    return (
        f"Taken by `scripts/bench/run` on {where['cpu']}, BLAS kernel {where['blas_kernel']}, one "
        f"thread where none are named, on {where['data']}; variables that choose a "
        f"kernel: {forced}. {versions}."
        f"{less}\n\nMicroseconds per step from the epoch times that nnbench records, float32: "
        "medians over rounds of each round's median epoch, with 95 % intervals. In a round every "
        "contender has a process of its own; their order is drawn by chance and turned round in "
        "the next. Ratios are of the same round. A measurement that other processes disturbed is "
        f"made again ({again} of {len(lines)} were such), and counts only where there is no other."
    )
