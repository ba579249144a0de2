"""What explains the difference between two runs: how much of it each change accounts for.

The way from one configuration to the other is walked in two orders. What a change does can depend
on what was changed before it; where its effect differs between the orders, changes interact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import mean

from rich.console import Group

from nnbench.formatting import duration, number, percent
from nnbench.reporting.pages.grid import fold, titled
from nnbench.reporting.statistics import half_width, parts_of_mean
from nnbench.schema.deferred import dataclass

NAMED = 0.10  # of the gap: what explains less is not named as an explanation
NAMED_RATIO = math.log(1.15)  # of times, however small the gap
WORTH_SHARES = math.log(1.5)
INTERACTING = 0.10  # of the gap
NOTHING = 0.005  # half a point of accuracy, or half a per cent of a loss: no gap to explain
CANCELLING = 0.02  # two points: what is named where changes leave no gap between them
NO_RATIO = 0.05  # in the logarithm of times
BAR, BLOCK = 24, "\N{FULL BLOCK}"  # characters
ONE_SEED_TIMES = "Each run was timed once; use --seeds 3 for intervals."
ONE_SEED = "One seed: says nothing about other seeds; use --seeds 3."


@dataclass(frozen=True)
class Effect:
    """What one change does in each order: a difference, or the logarithm of a ratio.

    `half` is half the width of the interval of the mean of both, None where one measurement alone
    does not say; it is that of 95 % for all changes of a gap together (Bonferroni). `known` is what
    such a change is known to do.
    """

    name: str
    text: str
    forward: float
    backward: float
    half: float | None = None
    known: str = ""

    @property
    def middle(self) -> float:
        """Return the mean of both orders: its Shapley value over these two."""
        return (self.forward + self.backward) / 2

    @property
    def is_noise(self) -> bool:
        """Tell whether the interval holds no effect at all."""
        return self.half is not None and abs(self.middle) <= self.half


@dataclass(frozen=True)
class Gap:
    """A figure at both ends of the bridge, and what each change adds to the way between them.

    `figure` says which; a `ratio` is explained in logarithms: times multiply. `half` is half the
    width of the 95 % interval of the whole; `caution` is what the intervals leave out. The figures
    are means over `seeds`.
    """

    figure: str
    first: float
    last: float
    effects: tuple[Effect, ...]
    ratio: bool = False
    half: float | None = None
    caution: str | None = None
    seeds: int = 1

    @property
    def total(self) -> float:
        """Return the whole difference that is to be explained."""
        return math.log(self.last / self.first) if self.ratio else self.last - self.first

    @property
    def is_small(self) -> bool:
        """Tell whether there is next to nothing to explain."""
        return abs(self.total) < (NO_RATIO if self.ratio else NOTHING)

    @property
    def is_noise(self) -> bool:
        """Tell whether the interval of the whole difference holds none."""
        return self.half is not None and abs(self.total) <= self.half

    @property
    def least(self) -> float:
        """Return the effect from which on a change is named as part of the explanation."""
        return max(NAMED * abs(self.total), NAMED_RATIO if self.ratio else 0.0)

    def share(self, effect: Effect) -> float:
        """Return what part of the whole `effect` accounts for; parts can be below 0, above 1."""
        return effect.middle / self.total if self.total else 0.0

    def told(self, value: float) -> str:
        """Return the figure with its unit."""
        if self.ratio:
            return duration(value)
        return percent(value) if "accuracy" in self.figure else number(value)

    def moved(self, value: float) -> str:
        """Return what a change does to the figure."""
        if self.ratio:
            return f"x {math.exp(value):.2f}"
        if "accuracy" in self.figure:
            return f"{100 * value:+.2f} points"
        return f"{value:+.4g}"

    def sentences(self) -> list[str]:
        """Say what explains the gap, what does not, and what cannot be told from noise."""
        ends = f"{self.figure}: {self.told(self.first)} against {self.told(self.last)}"
        ordered = sorted(self.effects, key=lambda e: -abs(e.middle))
        if self.is_small:
            denied = " (not distinguishable from noise)" * self.is_noise
            return [f"{ends}: there is no gap to explain{denied}.", *self._cancelling(ordered)]
        found = [f"{ends} ({self.moved(self.total)}{self._interval(self.total, self.half)})."]
        if self.is_noise:
            found.append("The gap is not distinguishable from noise.")
        large = [effect for effect in ordered if abs(effect.middle) >= self.least]
        found += [self._named(effect) for effect in large if not effect.is_noise]
        if noise := [effect for effect in large if effect.is_noise]:
            told = (f"{e.name}, {self.moved(e.middle)}{self.doubt(e)}" for e in noise)
            found.append(f"Not distinguishable from noise: {'; '.join(told)}.")
        if rest := [effect for effect in ordered if effect not in large]:
            most = self.moved(max((effect.middle for effect in rest), key=abs))
            bound = "Each of the others at most" if large else "No change does more than"
            found.append(f"{bound} {most}: {', '.join(e.name for e in rest)}.")
        backend = [e for e in self.effects if e.name.split(" + ")[0] == "backend"]
        if backend and backend[0] not in large and not self.ratio:
            part = f"{self.percent(backend[0])} of it"
            if backend[0].is_noise and round(100 * self.share(backend[0])):
                part = "nothing distinguishable from noise"
            found.append(f"The framework explains {part}.")
        return found + ([self.caution] if self.caution else [])

    def _cancelling(self, ordered: Sequence[Effect]) -> list[str]:
        """Say which changes make up for each other where they leave no gap."""
        least = NAMED_RATIO if self.ratio else CANCELLING
        large = [e for e in ordered if abs(e.middle) >= least and not e.is_noise]
        if len(large) < 2 or (self.ratio and self.half is None):
            return []
        told = ", ".join(f"{e.name} ({e.text}) {self.moved(e.middle)}" for e in large)
        return [f"Changes make up for each other: {told}."]

    def _named(self, effect: Effect) -> str:
        """Say what an effect is that is no noise."""
        # Of times that are nearly alike, and of gaps that may be none, shares would tell of noise.
        shares = not self.is_noise and (not self.ratio or abs(self.total) >= WORTH_SHARES)
        what = f" explains {self.percent(effect)} of it" if shares else ""
        moved = self.moved(effect.middle)
        known = f" Known: {effect.known}." if effect.known else ""
        return f"{effect.name} ({effect.text}){what}: {moved}{self.doubt(effect)}.{known}"

    def shown(self, effect: Effect) -> str:
        """Return the share of `effect` where there is one to tell, for a table."""
        if self.is_small or self.is_noise:
            return "-"
        return "within noise" if effect.is_noise else self.percent(effect)

    def percent(self, effect: Effect) -> str:
        """Return the share of `effect`."""
        return f"{round(100 * self.share(effect)):d} %"

    def doubt(self, effect: Effect) -> str:
        """Return how sure an effect is, and whether it depends on what was changed before."""
        found = self._interval(effect.middle, effect.half)
        doubtful = self.ratio or effect.is_noise
        if abs(effect.forward - effect.backward) > max(INTERACTING * abs(self.total), self.least):
            found += (
                f" ({self.moved(effect.forward)} in one order, {self.moved(effect.backward)} in "
                f"the other: it interacts with others{', or is noise' * doubtful})"
            )
        return found

    def _interval(self, value: float, half: float | None) -> str:
        if half is None:
            return ""
        if not math.isfinite(half):
            return ", no interval"
        return f", 95 % interval {self.moved(value - half)} to {self.moved(value + half)}"


def gap(
    figure: str,
    forward: Sequence[tuple[str, float]],
    backward: Sequence[tuple[str, float]],
    texts: Mapping[str, str],
    *,
    ratio: bool = False,
    known: Mapping[str, str] | None = None,
    part_of: Mapping[str, str] | None = None,
) -> Gap:
    """Return what each change does, from the figures along both ways.

    `forward` and `backward` are the changes' names with the figure after each; the first has no
    name and is the figure before any. Steps of one name, or that are `part_of` one, add up.
    """
    step: Callable[[float, float], float] = (
        (lambda a, b: math.log(b / a)) if ratio else (lambda a, b: b - a)
    )
    there, back = (_by_effect(way, step, part_of or {}) for way in (forward, backward))
    effects = tuple(
        Effect(name, texts[name], there[name], back[name], known=(known or {}).get(name, ""))
        for name in there
    )
    return Gap(figure, forward[0][1], forward[-1][1], effects, ratio)


def _by_effect(
    way: Sequence[tuple[str, float]],
    step: Callable[[float, float], float],
    part_of: Mapping[str, str],
) -> dict[str, float]:
    """Return what each change does along `way`, the sum of all steps of its name."""
    found: dict[str, float] = {}
    for (_, before), (name, after) in pairwise(way):
        counted = part_of.get(name, name)
        found[counted] = found.get(counted, 0.0) + step(before, after)
    return found


def average(gaps: Sequence[Gap]) -> Gap:
    """Return the mean over seeds of gaps with the same changes (geometric for ratios)."""
    first = gaps[0]
    if len(gaps) == 1:
        return replace(first, caution=ONE_SEED_TIMES if first.ratio else ONE_SEED)

    def middle(values: Sequence[float]) -> float:
        return math.exp(mean(map(math.log, values))) if first.ratio else mean(values)

    effects = tuple(
        replace(
            e[0],
            forward=mean(x.forward for x in e),
            backward=mean(x.backward for x in e),
            half=half_width(parts_of_mean([x.middle for x in e]), len(first.effects)),
        )
        for e in zip(*(g.effects for g in gaps), strict=True)
    )
    ends = (middle([g.first for g in gaps]), middle([g.last for g in gaps]))
    half = half_width(parts_of_mean([g.total for g in gaps]))
    return Gap(first.figure, *ends, effects, first.ratio, half, seeds=len(gaps))


def explanation(title: str, gaps: Sequence[Gap]) -> Group:
    """Return a table of the changes with what each does to every figure, and the conclusions."""
    table = titled(fold("change"), title=title)
    for each in gaps:
        table.add_column(each.figure, justify="right")
        table.add_column("", no_wrap=True)
    table.add_row("start", *(cell for g in gaps for cell in (g.told(g.first), "")))
    by_name = [{effect.name: effect for effect in each.effects} for each in gaps]
    names = dict.fromkeys(name for effects in by_name for name in effects)
    largest = {
        name: max(
            abs(each.share(effects[name]))
            for each, effects in zip(gaps, by_name, strict=True)
            if name in effects
        )
        for name in names
    }
    for name in sorted(names, key=lambda name: -largest[name]):
        text = next(effects[name].text for effects in by_name if name in effects)
        cells: list[str] = []
        for each, effects in zip(gaps, by_name, strict=True):
            cells += _cells(each, effects.get(name), BAR / len(gaps))
        table.add_row(f"{name}: {text}", *cells)
    table.add_row("end", *(cell for g in gaps for cell in (g.told(g.last), "")))
    return Group(table, *(line for each in gaps for line in ("", *each.sentences())))


def _cells(gap: Gap, effect: Effect | None, width: float) -> tuple[str, str]:
    """Return what an effect moves and a bar for its share; nothing where it is part of another."""
    if effect is None:
        return "", ""
    share = 0.0 if gap.is_small or effect.is_noise else gap.share(effect)
    return gap.moved(effect.middle), BLOCK * round(width * min(1.0, abs(share)))
