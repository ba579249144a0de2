"""What explains the difference between two runs: how much of it each change accounts for.

The way from one configuration to the other is walked in two orders. What a change does can depend
on what was changed before it; where its effect differs between the orders, changes interact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from rich.console import Group

from nnbench.formatting import duration, number, percent
from nnbench.reporting.pages.grid import fold, titled
from nnbench.reporting.statistics import interval

NAMED = 0.10  # of the gap: what explains less is not named as an explanation
NAMED_RATIO = math.log(1.15)  # of times, however small the gap
WORTH_SHARES = math.log(1.5)
INTERACTING = 0.10  # of the gap
NOTHING = 0.005  # half a point of accuracy, or half a per cent of a loss: no gap to explain
NO_RATIO = 0.05  # in the logarithm of times
BAR = 24  # characters


@dataclass(frozen=True)
class Effect:
    """What one change does in each order: a difference, or the logarithm of a ratio.

    `half` is half the width of the 95 % interval of the mean of both, None of one seed.
    """

    name: str
    text: str
    forward: float
    backward: float
    half: float | None = None

    @property
    def middle(self) -> float:
        """Return the mean of both orders: its Shapley value over these two."""
        return (self.forward + self.backward) / 2


@dataclass(frozen=True)
class Gap:
    """A figure at both ends of the bridge, and what each change adds to the way between them.

    `figure` says which; a `ratio` is explained in logarithms: times multiply.
    """

    figure: str
    first: float
    last: float
    effects: tuple[Effect, ...]
    ratio: bool = False

    @property
    def total(self) -> float:
        """Return the whole difference that is to be explained."""
        return math.log(self.last / self.first) if self.ratio else self.last - self.first

    @property
    def is_small(self) -> bool:
        """Tell whether there is next to nothing to explain."""
        return abs(self.total) < (NO_RATIO if self.ratio else NOTHING)

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
        """Say what explains the gap, and what does not."""
        ends = f"{self.figure}: {self.told(self.first)} against {self.told(self.last)}"
        if self.is_small:
            return [f"{ends}: there is no gap to explain."]
        ordered = sorted(self.effects, key=lambda e: -abs(e.middle))
        found = [f"{ends} ({self.moved(self.total)})."]
        named = [effect for effect in ordered if abs(effect.middle) >= self.least]
        for effect in named:
            what = f"{effect.name} ({effect.text})"
            # Of times that are nearly alike, shares would tell of noise.
            shares = not self.ratio or abs(self.total) >= WORTH_SHARES
            what += f" explains {self.percent(effect)} of it" if shares else ""
            found.append(f"{what}: {self.moved(effect.middle)}{self.doubt(effect)}.")
        if rest := [effect for effect in ordered if effect not in named]:
            most = self.moved(max((effect.middle for effect in rest), key=abs))
            found.append(f"Each of the others at most {most}: {', '.join(e.name for e in rest)}.")
        backend = [e for e in self.effects if e.name.split(" + ")[0] == "backend"]
        if backend and backend[0] not in named and not self.ratio:
            found.append(f"The framework explains {self.percent(backend[0])} of it.")
        if self.ratio and self.effects[0].half is None:
            found.append("Each run was timed once; use --seeds 3 for intervals.")
        return found

    def percent(self, effect: Effect) -> str:
        """Return the share of `effect`."""
        return f"{round(100 * self.share(effect)):d} %"

    def doubt(self, effect: Effect) -> str:
        """Return how sure an effect is, and whether it depends on what was changed before."""
        found = ""
        if effect.half is not None:
            ends = (effect.middle - effect.half, effect.middle + effect.half)
            found += f", 95 % interval {self.moved(ends[0])} to {self.moved(ends[1])}"
        if abs(effect.forward - effect.backward) > max(INTERACTING * abs(self.total), self.least):
            found += (
                f" ({self.moved(effect.forward)} in one order, {self.moved(effect.backward)} in "
                f"the other: it interacts with others{', or is noise' * self.ratio})"
            )
        return found


def gap(
    figure: str,
    forward: Sequence[tuple[str, float]],
    backward: Sequence[tuple[str, float]],
    texts: Mapping[str, str],
    *,
    ratio: bool = False,
) -> Gap:
    """Return what each change does, from the figures along both ways.

    `forward` and `backward` are the changes' names with the figure after each; the first has no
    name and is the figure before any.
    """
    step: Callable[[float, float], float] = (
        (lambda a, b: math.log(b / a)) if ratio else (lambda a, b: b - a)
    )
    there, back = (
        {name: step(before, after) for (_, before), (name, after) in pairwise(way)}
        for way in (forward, backward)
    )
    effects = tuple(Effect(name, texts[name], there[name], back[name]) for name in there)
    return Gap(figure, forward[0][1], forward[-1][1], effects, ratio)


def average(gaps: Sequence[Gap]) -> Gap:
    """Return the mean over seeds of gaps with the same changes (geometric for ratios)."""
    first = gaps[0]
    if len(gaps) == 1:
        return first

    def middle(values: Sequence[float]) -> float:
        return math.exp(mean(map(math.log, values))) if first.ratio else mean(values)

    effects = tuple(
        Effect(
            e[0].name,
            e[0].text,
            mean(x.forward for x in e),
            mean(x.backward for x in e),
            (found := interval([x.middle for x in e])).high - found.value,
        )
        for e in zip(*(g.effects for g in gaps), strict=True)
    )
    ends = (middle([g.first for g in gaps]), middle([g.last for g in gaps]))
    return Gap(first.figure, *ends, effects, first.ratio)


def explanation(title: str, gaps: Sequence[Gap]) -> Group:
    """Return a table of the changes with what each does to every figure, and the conclusions."""
    table = titled(fold("change"), title=title)
    for each in gaps:
        table.add_column(each.figure, justify="right")
        table.add_column("", no_wrap=True)
    order = sorted(
        range(len(gaps[0].effects)), key=lambda i: -max(abs(g.share(g.effects[i])) for g in gaps)
    )
    table.add_row("start", *(cell for g in gaps for cell in (g.told(g.first), "")))
    for i in order:
        effect = gaps[0].effects[i]
        cells = []
        for each in gaps:
            found = each.effects[i]
            share = 0.0 if each.is_small else each.share(found)
            told = each.moved(found.middle)
            cells += [told, "\N{FULL BLOCK}" * round(BAR / len(gaps) * min(1.0, abs(share)))]
        table.add_row(f"{effect.name}: {effect.text}", *cells)
    table.add_row("end", *(cell for g in gaps for cell in (g.told(g.last), "")))
    return Group(table, *(line for each in gaps for line in ("", *each.sentences())))


def as_markdown(title: str, gaps: Sequence[Gap]) -> str:
    """Return the same as Markdown, with both orders."""
    lines = [f"# {title}", ""]
    for each in gaps:
        lines += [f"## {each.figure}", "", *(f"- {s}" for s in each.sentences()), ""]
        lines += ["| change | in one order | in the other | of the gap |", "|---|---:|---:|---:|"]
        for effect in each.effects:
            share = "-" if each.is_small else each.percent(effect)
            lines.append(
                f"| {effect.name}: {effect.text.replace('|', '/')} | {each.moved(effect.forward)} "
                f"| {each.moved(effect.backward)} | {share} |"
            )
        lines.append("")
    return "\n".join(lines)
