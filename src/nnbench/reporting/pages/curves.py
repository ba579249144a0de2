"""Curves: a figure epoch by epoch, and test accuracy against time with who reached the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from statistics import fmean as mean  # exact to a rounding, and a tenth of the time
from typing import Any

from nnbench.formatting import duration, finite, number, percent
from nnbench.reporting.comparison.groups import Group
from nnbench.reporting.comparison.reaching import Reached, reached
from nnbench.reporting.pages import axis
from nnbench.reporting.pages.drawn import MOST_MARKS, Drawn
from nnbench.reporting.pages.looks import INK, Look
from nnbench.reporting.pages.scene import HEIGHT, Scene, label_ends, seeds, sentences, stage

SHOWN_MARKERS = 8  # of a curve
SAME = 0.01  # of the figure's height: curves no further apart lie on each other
LONG = 0.3  # of a curve
TARGET_HEIGHT, PARTS = 3.5, (2.2, 1.0)  # inches of accuracy above and the share below, and how much

UNDER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # a text on lines

Course = dict[int, list[float]]  # a figure's values over seeds, by epoch


def curve(scene: Scene, name: str, title: str, log: bool = False) -> Drawn | None:
    """Draw a figure by epoch: the mean over seeds, a band from least to greatest."""
    courses = {i: course for i, g in enumerate(scene.groups) if (course := by_epoch(g, name))}
    if len({epoch for course in courses.values() for epoch in course}) < 2:
        return None
    share = title.endswith("accuracy")
    labels = [scene.names[i] for i in courses]
    drawn, axes = stage(labels)
    layers = stacked(list(courses.values()))
    for place, ((i, course), layer) in enumerate(zip(courses.items(), layers, strict=True)):
        look = scene.looks[i]
        _course(drawn, axes, look, i, course, look.among(*layer), (place, len(courses)))
    axes.set(xlabel="epoch", ylabel=f"{title}, %" if share else title)
    axis.epochs(axes.xaxis)
    values = [v for course in courses.values() for each in course.values() for v in each]
    if log and min(values) > 0:
        axis.logarithmic(axes.yaxis, *axis.around(values))
    elif share:
        axis.per_cent(axes.yaxis)
    _describe(drawn, axes, scene, courses, percent if share else number)
    drawn.caption = sentences(
        f"{title[0].upper()}{title[1:]} by epoch.", _what_bands_are(courses),
        scene.left_out, scene.machine,
    )  # fmt: skip
    return drawn


def by_epoch(group: Group, name: str) -> Course:
    """Return the finite values of a figure of the runs of a group by epoch."""
    found: Course = {}
    for run in group.runs:
        for record in run.epochs:
            for value in finite([getattr(record, name)]):
                found.setdefault(record.epoch, []).append(value)
    return dict(sorted(found.items()))


def stacked(courses: Sequence[Course]) -> list[tuple[int, int]]:
    """Return, for each course, on how many others it lies for a while, and under how many."""
    values = [mean(each) for course in courses for each in course.values()]
    near = SAME * (max(values) - min(values))
    means = [{epoch: mean(each) for epoch, each in course.items()} for course in courses]

    def same(a: dict[int, float], b: dict[int, float]) -> bool:
        shared = a.keys() & b.keys()
        return sum(abs(a[e] - b[e]) <= near for e in shared) > LONG * len(a)

    return [
        (sum(same(a, b) for b in means[:i]), sum(same(a, b) for b in means[i + 1 :]))
        for i, a in enumerate(means)
    ]


def _course(
    drawn: Drawn, axes: Any, look: Look, i: int, course: Course, line_look: dict[str, Any],
    place: tuple[int, int],
) -> None:  # fmt: skip
    """Draw one group: band, line, and markers that leave room for those of other groups.

    `place` is which it is of how many.
    """
    epochs, columns = [epoch + 1 for epoch in course], list(course.values())
    middles = [mean(values) for values in columns]
    band = axes.fill_between(
        epochs, list(map(min, columns)), list(map(max, columns)), color=look.color, alpha=0.14,
        linewidth=0,
    )  # fmt: skip
    (line,) = axes.plot(epochs, middles, **line_look)
    mine, among = place
    every = -(-len(epochs) // SHOWN_MARKERS)
    first = mine * every // among if every >= among else 0
    (points,) = axes.plot(
        epochs[first::every], middles[first::every], linestyle="none", **look.points
    )
    drawn.belongs(i, band, line, points)


def _describe(drawn: Drawn, axes: Any, scene: Scene, courses: dict[int, Course], told: Any) -> None:
    """Label the ends of the curves, and say what each point is."""
    ends = []
    for i, course in courses.items():
        label = scene.groups[i].label
        drawn.legend.append((i, label))
        at = [(epoch + 1.0, mean(values), values) for epoch, values in course.items()]
        texts = []
        for x, y, values in at:
            span = f" ({told(min(values))} to {told(max(values))})" if len(values) > 1 else ""
            texts.append((x, y, f"{scene.names[i]}, epoch {x:.0f}: {told(y)}{span}"))
        drawn.mark(axes, i, texts)
        ends.append((i, at[-1][0], at[-1][1], scene.names[i]))
    label_ends(drawn, axes, ends, scene.looks)


def _what_bands_are(courses: dict[int, Course]) -> str:
    numbers = [max(map(len, course.values())) for course in courses.values()]
    if max(numbers) < 2:
        return "One seed."
    return (
        f"Lines are means over {seeds(numbers)}, bands their range, least to greatest (no "
        "interval)."
    )


def against_time(scene: Scene) -> Drawn | None:
    """Draw accuracy against training time, a line for each run, and who has reached the target."""
    runs = {i: list(accuracies(group)) for i, group in enumerate(scene.groups)}
    runs = {i: found for i, found in runs.items() if found}
    if max((len(run) for found in runs.values() for run in found), default=0) < 2:
        return None
    target = scene.content.target
    reach = {i: r for i in runs if (r := reached(scene.groups[i], target)) and r.of}
    size = (TARGET_HEIGHT, PARTS) if reach else (HEIGHT, (1.0,))
    drawn, parts = stage([_reaching(scene.names[i], reach.get(i)) for i in runs], *size)
    axes, below = parts if reach else (parts, None)
    times = [s for found in runs.values() for run in found for s, _ in run if s > 0] or [1.0]
    last = axes if below is None else below
    axis.logarithmic(last.xaxis, *axis.around(times, 0.04))
    for i, found in runs.items():
        drawn.belongs(i, lines(axes, found, scene.looks[i].line | {"linewidth": 1.3}))
    axes.set(ylabel="test accuracy, %")
    axis.per_cent(axes.yaxis)
    if below is not None and target is not None:
        axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.text(0.01, target, f"target {percent(target)}", transform=axes.get_yaxis_transform(),
                  va="center", fontsize=7.5, bbox=UNDER)  # fmt: skip
        _shares(drawn, below, scene, reach)
    last.set_xlabel("training time, s (log scale)")
    _describe_runs(drawn, axes, scene, runs, reach)
    drawn.caption = _caption(scene, runs, reach)
    return drawn


def _reaching(name: str, found: Reached | None) -> str:
    return f"{name}: {len(found.seconds)} of {found.of}" if found else name


def accuracies(group: Group) -> Iterator[list[tuple[float, float]]]:
    """Yield, for each run, its training seconds up to each epoch with the accuracy then."""
    for run in group.runs:
        known = [record for record in run.epochs if record.test_accuracy is not None]
        seconds = accumulate(record.train_seconds for record in known)
        if known:
            yield [(s, r.test_accuracy or 0.0) for s, r in zip(seconds, known, strict=True)]


def lines(axes: Any, found: Sequence[Sequence[tuple[float, float]]], look: Any) -> Any:
    """Draw many lines of one look at once, as one path; return their collection."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    drawn = PathCollection(
        [Path.make_compound_path(*map(Path, found))], facecolors="none", edgecolors=look["color"],
        linewidths=look["linewidth"], linestyles=[look["linestyle"]],
    )  # fmt: skip
    axes.add_collection(drawn)
    axes.autoscale_view(scalex=False)
    return drawn


def _shares(drawn: Drawn, axes: Any, scene: Scene, reach: dict[int, Reached]) -> None:
    """Draw the share of each group's runs that have reached the target, by time."""
    end = axes.get_xlim()[1]
    for i, found in reach.items():
        times = sorted(found.seconds.values())
        steps = [(k + 1) / found.of for k in range(len(times))]
        x, y = [axes.get_xlim()[0], *times, end], [0.0, *steps, (steps or [0.0])[-1]]
        (line,) = axes.step(x, y, where="post", **scene.looks[i].line)
        (points,) = axes.plot(times, steps, linestyle="none", **scene.looks[i].points)
        drawn.belongs(i, line, points)
    axes.set(ylabel="seeds there, %", ylim=(-0.06, 1.1), yticks=(0.0, 0.5, 1.0))
    axis.per_cent(axes.yaxis)
    for i, found in reach.items():
        at = [
            (s, (k + 1) / found.of,
             f"{scene.names[i]}: target reached after {duration(s)} ({k + 1} of {found.of} seeds)")
            for k, s in enumerate(sorted(found.seconds.values()))
        ]  # fmt: skip
        if at:
            drawn.mark(axes, i, at)
    label_ends(drawn, axes, [
        (i, end, len(found.seconds) / found.of, _reaching(scene.names[i], found))
        for i, found in reach.items()
    ], scene.looks)  # fmt: skip


def _describe_runs(
    drawn: Drawn, axes: Any, scene: Scene, runs: dict[int, Any], reach: dict[int, Reached]
) -> None:
    ends = []
    points = {i: [point for run in found for point in run] for i, found in runs.items()}
    every = -(-sum(map(len, points.values())) // (MOST_MARKS - len(points)))
    for i, found in runs.items():
        drawn.legend.append((i, scene.groups[i].label))
        texts = [
            (s, a, f"{scene.names[i]}, {duration(s)}: {percent(a)}") for s, a in points[i][::every]
        ]
        drawn.mark(axes, i, texts)
        last = [run[-1] for run in found]
        ends.append((i, mean(s for s, _ in last), mean(a for _, a in last), scene.names[i]))
    label_ends(drawn, axes, ends, scene.looks)


def _caption(scene: Scene, runs: dict[int, Any], reach: dict[int, Reached]) -> str:
    target = scene.content.target
    goal = ""
    if reach and target is not None:
        goal = f"Below: the share of seeds that have reached {percent(target)}, 95 % of the best."
    return sentences(
        "Test accuracy against training time.",
        f"One line for each run, {seeds(map(len, runs.values()))} for a group; evaluation is "
        "outside the clock.",
        goal, scene.left_out, scene.machine,
    )  # fmt: skip
