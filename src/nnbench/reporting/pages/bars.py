"""Ratios with their intervals, where the time went, what settings do, how far weights drifted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nnbench.formatting import duration, percent
from nnbench.reporting.comparison.against import Against
from nnbench.reporting.comparison.fairness import COMPARED
from nnbench.reporting.comparison.groups import Group, short
from nnbench.reporting.comparison.rows import ledger
from nnbench.reporting.pages import axis, room
from nnbench.reporting.pages.curves import lines
from nnbench.reporting.pages.drawn import Drawn
from nnbench.reporting.pages.looks import INK, MARKERS, PHASES, SOFT, fitted
from nnbench.reporting.pages.scene import (
    LABEL,
    LEFT,
    WIDTH,
    Scene,
    label_ends,
    seeds,
    sentences,
    stage,
)
from nnbench.reporting.statistics import Comparison, Ratio

ROW, RATIO_WIDTH = 0.27, 2.2  # inches of a row, and of the axes of ratios
PAIR = 36  # characters of a pair's name
FIGURES = 8.0  # points of the figures beside a row
HATCHES = ("", "////", "....")  # of phases, where their colours are used up
NO_DRIFT = 1e-17  # where a logarithmic axis shows a difference of nothing
SMALL_WIDTH, SMALL_HEIGHT = 2.3, 1.7  # inches of one of many axes
MOST_EFFECTS = 4  # settings beside each other
DODGE = 0.3  # of the distance of two values: how far backends lie apart
EFFECTS: dict[str, Callable[[Group], Iterable[float]]] = {
    "test accuracy, %": lambda group: group.figures("test_accuracy").values(),
    "s per epoch": lambda group: group.seconds().values(),
}


def epoch_ratios(scene: Scene) -> Drawn | None:
    """Draw how many times as long an epoch takes, by pair."""
    found = [(a, a.time) for a in scene.content.against if a.time is not None]
    return _ratios(scene, found, "Time per epoch, as a ratio.")


def target_ratios(scene: Scene) -> Drawn | None:
    """Draw how many times as long it takes to reach the target, by pair."""
    found = [(a, a.reaching.time) for a in scene.content.against if a.reaching and a.reaching.time]
    goal = percent(scene.content.target)
    return _ratios(scene, found, f"Training time until test accuracy reaches {goal}, as a ratio.")


def _ratios(scene: Scene, found: Sequence[tuple[Against, Comparison]], what: str) -> Drawn | None:
    known = {look.name for look in scene.looks}
    shown = [(a, time) for a, time in found if time.pairs and a.group in known]
    if not shown:
        return None
    names = fitted([against.pair() for against, _ in shown], PAIR)
    told = [str(time.ratio) for _, time in shown]
    left = room.before(names)
    height = ROW * max(2, len(shown))
    right = max(map(len, told)) * FIGURES * room.CHARACTER + 2 * room.EDGE
    drawn = Drawn(room.figure(RATIO_WIDTH, height, room.Around(left, right, top=0.3)))
    axes = drawn.figure.subplots()
    ends = [end for _, time in shown for end in _ends(time.ratio)]
    axis.logarithmic(axes.xaxis, *axis.around([1.0, *ends]))
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(len(shown) - 0.5, -0.5), xlabel="times as long (log scale)")
    axes.set_yticks(range(len(shown)), names)
    for row, (against, time) in enumerate(shown):
        _interval(drawn, axes, scene, row, against, time, told[row], names[row])
    for text, side, aside in (("← faster", "right", -4.0), ("slower →", "left", 4.0)):
        axes.annotate(text, (1.0, 1.0), (aside, 2.0), xycoords=axes.get_xaxis_transform(), ha=side,
                      textcoords="offset points", fontsize=7.5, color=SOFT)  # fmt: skip
    drawn.caption = sentences(
        what, f"Geometric means of {_pairs(t for _, t in shown)} by seed; bars are 95 % intervals "
        "of Student's t.", "Hollow: no verdict." if any(map(_is_open, shown)) else "",
        f"The first {len(shown)} of {len(found)} are drawn." if len(shown) < len(found) else "",
        scene.machine,
    )  # fmt: skip
    return drawn


def _is_open(each: tuple[Against, Comparison]) -> bool:
    return each[1].word in ("undecided", "too few")


def _pairs(times: Iterable[Comparison]) -> str:
    numbers = sorted({time.pairs for time in times})
    if numbers == [1]:
        return "1 pair of runs"
    return f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} pairs of runs"


def _ends(ratio: Ratio) -> tuple[float, ...]:
    return tuple(ratio) if ratio.high < float("inf") else (ratio.value,)


def _interval(
    drawn: Drawn, axes: Any, scene: Scene, row: int, against: Against, time: Comparison,
    told: str, name: str,
) -> None:  # fmt: skip
    """Draw one ratio: a point, hollow where there is no verdict, with its interval."""
    number = scene.number(against.group)
    group = scene.groups[number]
    color, ratio = scene.color(group), time.ratio
    marker = scene.looks[number].marker
    drawn_ends = _ends(ratio)
    (bar,) = axes.plot([min(drawn_ends), max(drawn_ends)], [row, row], color=color, linewidth=1.6)
    (point,) = axes.plot(
        [ratio.value], [row], marker, color=color, markersize=6.5,
        markerfacecolor="white" if _is_open((against, time)) else color,
    )  # fmt: skip
    text = axes.text(1.02, row, told, transform=axes.get_yaxis_transform(), va="center",
                     fontsize=FIGURES)  # fmt: skip
    drawn.belongs(number, bar, point, text)
    drawn.mark(axes, number, [(ratio.value, row, f"{name}: {time}")])
    if (number, group.label) not in drawn.legend:
        drawn.legend.append((number, group.label))


def time_ledger(scene: Scene) -> Drawn | None:
    """Draw where the seconds of a run went, phase by phase."""
    groups = [(i, g) for i, g in enumerate(scene.groups) if g.finished]
    if not groups:
        return None
    spent = {i: {p: s for p, s in ledger(g).items() if s > 0} for i, g in groups}
    phases = list(dict.fromkeys(phase for each in spent.values() for phase in each))
    names = [scene.names[i] for i, _ in groups]
    left, height = room.before(names), ROW * max(3, len(groups))
    legend = room.beside(phases) + 0.1
    drawn = Drawn(room.figure(WIDTH, max(height, 0.17 * len(phases)), room.Around(left, legend)))
    axes, said = drawn.figure.subplots(), []
    for row, (i, group) in enumerate(groups):
        at = 0.0
        for phase, seconds in spent[i].items():
            fill, hatch = _fill(phase, phases, scene.color(group))
            bar = axes.barh(row, seconds, left=at, color=fill, hatch=hatch, edgecolor="white",
                            height=0.7, linewidth=0.5)  # fmt: skip
            drawn.belongs(i, *bar)
            text = f"{names[row]}, {phase.replace('_', ' ')}: {duration(seconds)}"
            said.append((i, at + seconds / 2, row, text))
            at += seconds
        drawn.legend.append((i, group.label))
    axes.set(ylim=(len(groups) - 0.5, -0.5), xlabel="wall time of a run, s")
    axes.set_yticks(range(len(groups)), names)
    axes.grid(visible=False, axis="y")
    for i, x, y, text in said:
        drawn.mark(axes, i, [(x, y, text)])
    handles = [axes.barh(0, 0, color=f, hatch=h, edgecolor="white", label=p.replace("_", " "))
               for p in phases for f, h in [_fill(p, phases, SOFT)]]  # fmt: skip
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.03), frameon=False,
                fontsize=7.5)  # fmt: skip
    drawn.caption = sentences(
        "Where the time of a run goes.",
        f"Means over {seeds(len(g.finished) for _, g in groups)}; training is in the "
        "backend's colour.", scene.left_out, scene.machine,
    )  # fmt: skip
    return drawn


def _fill(phase: str, phases: Sequence[str], color: str) -> tuple[str, str]:
    """Return colour and hatching of a phase: training stands out, its neighbours differ."""
    if phase == "train":
        return color, ""
    i = [p for p in phases if p != "train"].index(phase)
    return PHASES[i % len(PHASES)], HATCHES[i // len(PHASES) % len(HATCHES)]


def effects(scene: Scene) -> Drawn | None:
    """Draw what each setting that varies does: accuracy above, time below, by backend."""
    table = scene.content.table
    keys = [key for key in table.varying if key != COMPARED][:MOST_EFFECTS]
    if not keys:
        return None
    rows = {name: read for name, read in EFFECTS.items() if any(map(list, map(read, table.groups)))}
    if not rows:
        return None
    backends = list(scene.colors)
    around = room.Around(LEFT, room.beside(fitted(backends, LABEL)), across=LEFT, down=0.55)
    drawn = Drawn(
        room.figure(SMALL_WIDTH, SMALL_HEIGHT, around, len(keys), len(rows)), wide=len(keys) > 1
    )
    grid = drawn.figure.subplots(len(rows), len(keys), squeeze=False)
    for line, (name, read) in zip(grid, rows.items(), strict=True):
        for axes, key in zip(line, keys, strict=True):
            _effect(axes, table.groups, key, read, scene.colors)
            axes.set(xlabel=short(key), ylabel=name)
            axes.grid(visible=False, axis="x")
            if name.endswith("%"):
                axis.per_cent(axes.yaxis)
            else:
                shown = [v for group in table.groups for v in read(group) if v > 0] or [1.0]
                axis.logarithmic(axes.yaxis, *axis.around(shown))
    handles, _ = grid[0][-1].get_legend_handles_labels()
    for axes in filter(lambda each: each.get_legend(), grid.flat):
        axes.get_legend().remove()
    grid[0][-1].legend(handles, fitted(backends, LABEL), loc="upper left", frameon=False,
                       bbox_to_anchor=(1.0, 1.03), fontsize=7.5)  # fmt: skip
    drawn.caption = sentences(
        "What each setting does.",
        "Points are means over all groups and seeds with that value, bars their range, least to "
        "greatest (no interval).", scene.machine,
    )  # fmt: skip
    return drawn


def _effect(
    axes: Any, groups: Sequence[Group], key: str, read: Callable[[Group], Iterable[float]],
    colors: dict[str, str],
) -> None:  # fmt: skip
    """Draw one figure by one setting: means, and bars from least to greatest, beside each other."""
    import seaborn as sns  # here: it takes a second, and most reports have no such plot

    values = list(dict.fromkeys(str(group.settings.get(key)) for group in groups))
    rows = [
        (str(group.settings.get(key)), str(group.settings[COMPARED]), value)
        for group in groups
        for value in read(group)
    ]
    where, hue, heights = zip(*rows, strict=True)
    sns.pointplot(
        x=list(where), order=values, y=list(heights), hue=list(hue), hue_order=list(colors),
        ax=axes, palette=list(colors.values()), linestyle="none", linewidth=1.4, markersize=6,
        markers=[MARKERS[i % len(MARKERS)] for i in range(len(colors))], markerfacecolor="none",
        dodge=DODGE if len(colors) > 1 else False,  # seaborn divides by their number less one
        errorbar=lambda found: (found.min(), found.max()),
    )  # fmt: skip
    axes.set_xticks(range(len(values)), fitted(values, 14))
    axes.set_xlim(-0.5, len(values) - 0.5)


def parity_drift(scene: Scene) -> Drawn | None:
    """Draw how far each certified run drifted from its reference, and how far it was allowed to."""
    groups = [
        (i, g, runs)
        for i, g in enumerate(scene.groups)
        if (runs := [r for r in g.runs if r.parity and len(r.parity["difference"]) > 1])
    ]
    if not groups:
        return None
    labels = [scene.names[i] for i, _, _ in groups]
    drawn, axes = stage([*labels, "allowed"])
    ends, values = [], []
    for i, _, runs in groups:
        drifts, allowed = ([[v or NO_DRIFT for v in (run.parity or {})[key]] for run in runs]
                           for key in ("difference", "envelope"))  # fmt: skip
        curves = [[(n, v) for n, v in enumerate(each, 1)] for each in drifts]
        limits = [[(n, v) for n, v in enumerate(each, 1)] for each in allowed]
        look = scene.looks[i]
        drawn.belongs(i, lines(axes, curves, look.line | {"linewidth": 1.2}))
        lines(axes, limits, {"color": SOFT, "linewidth": 0.9, "linestyle": (0, (1, 2))})
        values += [v for each in (*drifts, *allowed) for v in each]
        ends.append((i, float(len(drifts[0])), max(each[-1] for each in drifts), scene.names[i]))
    last = max(x for _, x, _, _ in ends)
    axes.set_xlim(1 - 0.04 * last, last + 0.02 * last)
    axis.epochs(axes.xaxis)
    axis.logarithmic(axes.yaxis, *axis.around(values))
    axes.set(xlabel="epoch", ylabel="difference / largest weight")
    label_ends(drawn, axes, ends, scene.looks)
    drawn.legend = [(i, g.label) for i, g, _ in groups]
    reference = {str((r.parity or {}).get("reference")) for _, _, runs in groups for r in runs}
    drawn.caption = sentences(
        f"How far weights drift from those of {' and '.join(sorted(reference))}.",
        "One line for each run; dotted, in grey, the drift that rounding allows "
        "(100 times the effect of one ulp).", scene.machine,
    )  # fmt: skip
    return drawn
