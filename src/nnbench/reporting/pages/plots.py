"""The plots of a report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from nnbench.records.certificate import label as backend_of
from nnbench.records.run import EpochRecord
from nnbench.reporting.comparison.content import Report, TableContent
from nnbench.reporting.comparison.fairness import COMPARED
from nnbench.reporting.comparison.groups import Group, short
from nnbench.reporting.comparison.rows import ledger
from nnbench.reporting.pages import room
from nnbench.reporting.pages.pictures import pictures
from nnbench.schema.progress import Tell, counted, nobody

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, SMALL_WIDTH, SMALL_HEIGHT = 4.8, 3.1, 2.5, 1.9  # inches of axes
LEFT = 0.75  # inches for the numbers and the name of a vertical axis
MOST_GROUPS = 12  # that colours can tell apart
NO_DRIFT = 1e-17  # where a logarithmic axis shows a difference of nothing
EFFECTS: dict[str, Callable[[Group], Iterable[float]]] = {
    "test accuracy": lambda group: group.figures("test_accuracy").values(),
    "seconds per epoch": lambda group: group.seconds().values(),
}
# A small legend beside the axes, where it hides nothing.
BESIDE: dict[str, Any] = {
    "loc": "upper left", "fontsize": "x-small", "bbox_to_anchor": (1.0, 1.0), "frameon": False,
}  # fmt: skip
MOST_EFFECTS = 4  # settings beside each other
DODGE = 0.3  # of the distance of two values: how far backends lie apart
STYLE: Any = {
    "axes.grid": True, "axes.axisbelow": True, "axes.edgecolor": "0.8", "grid.color": "0.8",
    "axes.labelcolor": "0.15", "text.color": "0.15", "xtick.color": "0.15", "ytick.color": "0.15",
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "svg.hashsalt": "nnbench", "svg.fonttype": "none",
    "text.parse_math": False,  # names are text
}  # fmt: skip


def write_plots(
    report: Report, folder: Path, also: Sequence[str] = (), tell: Tell = nobody
) -> dict[str, bytes]:
    """Write every plot as SVG, in the formats `also` too; return the SVG by name."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    with matplotlib.rc_context(STYLE):
        for name, draw in counted(list(_drawings(report).items()), tell, "drawing plot"):
            if (figure := draw()) is not None:
                plots[name] = _write(figure, folder / name, also)
    return plots


def _write(figure: Figure, path: Path, also: Sequence[str]) -> bytes:
    svg = path.with_suffix(".svg")
    with warnings.catch_warnings():  # of labels that leave no room
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(svg, metadata={"Date": None})
        for suffix in also:
            figure.savefig(path.with_suffix(f".{suffix}"), dpi=150)
    return svg.read_bytes()


def _drawings(report: Report) -> dict[str, Callable[[], Figure | None]]:
    content = report.tables[0]
    groups = content.table.groups
    shown = groups[:MOST_GROUPS]
    return {
        "test_accuracy": lambda: _curve(shown, "test_accuracy", "test accuracy"),
        "generalization_gap": lambda: _curve(shown, "generalization_gap", "train minus test"),
        "train_loss": lambda: _curve(shown, "train_loss", "train loss", log=True),
        "accuracy_against_time": lambda: _against_time(shown),
        "time_ratios": lambda: _ratios(content),
        "time_ledger": lambda: _ledger(content),
        "effects": lambda: _effects(content),
        "parity_drift": lambda: _drift(content),
        **pictures(groups, report.answers),
    }


def _axes(legend: Iterable[str] = (), ticks: Iterable[str] = ()) -> tuple[Figure, Any]:
    """Return a figure with one axes and room for a legend and for texts at its vertical axis."""
    left = max(LEFT, room.before(ticks))
    figure = room.figure(WIDTH, HEIGHT, room.Around(left, room.beside(legend)))
    return figure, figure.subplots()


def _colors(number: int) -> Sequence[Any]:
    from matplotlib import colormaps

    colors: Sequence[Any] = colormaps["tab10" if number <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    return colors


def _curve(groups: Sequence[Group], name: str, title: str, log: bool = False) -> Figure | None:
    """Draw a figure by epoch: the mean over seeds, a band from least to greatest."""
    courses = {group.label: _by_epoch(group, name) for group in groups}
    courses = {label: course for label, course in courses.items() if course}
    if len({epoch for course in courses.values() for epoch in course}) < 2:
        return None
    figure, axes = _axes(courses)
    for color, (label, course) in zip(_colors(len(courses)), courses.items(), strict=False):
        epochs, columns = [epoch + 1 for epoch in course], list(course.values())
        axes.plot(epochs, [mean(values) for values in columns], color=color, label=label)
        axes.fill_between(
            epochs, list(map(min, columns)), list(map(max, columns)), color=color, alpha=0.2,
            linewidth=0,
        )  # fmt: skip
    axes.set(xlabel="epoch", ylabel=title)
    if log:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    axes.legend(**BESIDE)
    return figure


def _by_epoch(group: Group, name: str) -> dict[int, list[float]]:
    """Return a figure of the runs of a group by epoch, where they have it."""
    found: dict[int, list[float]] = {}
    for run in group.runs:
        for record in run.epochs:
            if (value := getattr(record, name)) is not None:
                found.setdefault(record.epoch, []).append(value)
    return dict(sorted(found.items()))


def _against_time(groups: Sequence[Group]) -> Figure | None:
    courses = {group.label: list(_accuracies(group)) for group in groups}
    courses = {label: course for label, course in courses.items() if course}
    if max((len(run) for course in courses.values() for run in course), default=0) < 2:
        return None
    figure, axes = _axes(courses)
    for color, (label, course) in zip(_colors(len(courses)), courses.items(), strict=False):
        _lines(axes, course, color=color, label=label)
    axes.set(xlabel="training seconds", ylabel="test accuracy", xscale="log")
    _plain_numbers(axes.xaxis)
    axes.legend(**BESIDE)
    return figure


def _accuracies(group: Group) -> Iterator[list[tuple[float, float]]]:
    """Yield, for each run, its training seconds up to each epoch with the accuracy then."""

    def has(record: EpochRecord) -> bool:
        return record.test_accuracy is not None

    for run in group.runs:
        known = [record for record in run.epochs if has(record)]
        seconds = accumulate(record.train_seconds for record in known)
        if known:
            yield [(s, r.test_accuracy or 0.0) for s, r in zip(seconds, known, strict=True)]


def _lines(axes: Any, lines: Sequence[Sequence[tuple[float, float]]], **look: Any) -> None:
    """Draw many lines of one look at once."""
    import numpy as np
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection([np.array(line) for line in lines], **look))
    axes.autoscale_view()


def _ratios(content: TableContent) -> Figure | None:
    timed = ((a, a.time) for a in content.against if a.time is not None)
    shown = [(against, time) for against, time in timed if time.pairs][:MOST_GROUPS]
    if not shown:
        return None
    pairs = [f"{a.group} / {a.baseline}" for a, _ in reversed(shown)]
    figure, axes = _axes(ticks=pairs)
    for i, (_, time) in enumerate(reversed(shown)):
        ratio = time.ratio
        color = {"faster": "tab:green", "slower": "tab:red"}.get(time.word, "tab:gray")
        axes.plot(ratio.value, i, "o", color=color)
        if ratio.high < float("inf"):
            axes.plot([ratio.low, ratio.high], [i, i], color=color)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set(
        xscale="log",
        yticks=range(len(shown)),
        yticklabels=pairs,
        xlabel="times as long, with 95 % interval",
    )
    _plain_numbers(axes.xaxis)
    return figure


def _ledger(content: TableContent) -> Figure | None:
    groups = [g for g in content.table.groups if g.finished][:MOST_GROUPS]
    if not groups:
        return None
    left = [0.0] * len(groups)
    phases = {group.label: ledger(group) for group in groups}
    figure, axes = _axes(next(iter(phases.values())), ticks=phases)
    for phase in next(iter(phases.values())):
        widths = [phases[group.label][phase] for group in groups]
        axes.barh([g.label for g in groups], widths, left=left, label=phase.replace("_", " "))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="seconds of a run")
    axes.legend(**BESIDE)
    return figure


def _effects(content: TableContent) -> Figure | None:
    """Draw what each setting that varies comes to: accuracy above, time below, by backend."""
    keys = [key for key in content.table.varying if key != COMPARED][:MOST_EFFECTS]
    if not keys:
        return None
    groups = content.table.groups
    backends = dict.fromkeys(str(group.settings[COMPARED]) for group in groups)
    around = room.Around(LEFT, room.beside(backends), across=LEFT, down=0.6)
    figure = room.figure(SMALL_WIDTH, SMALL_HEIGHT, around, len(keys), len(EFFECTS))
    grid = figure.subplots(len(EFFECTS), len(keys), squeeze=False)
    for column, key in enumerate(keys):
        for row, (name, figures) in enumerate(EFFECTS.items()):
            axes = grid[row][column]
            if not _effect(axes, groups, key, figures, list(backends)):
                continue
            axes.set(xlabel=short(key), ylabel=name)
            if name == "seconds per epoch":
                axes.set_yscale("log")
                _plain_numbers(axes.yaxis)
            if column + 1 == len(keys) and row == 0:
                axes.legend(**BESIDE)
            elif axes.get_legend():
                axes.get_legend().remove()
    return figure


def _effect(
    axes: Any,
    groups: Sequence[Group],
    key: str,
    figures: Callable[[Group], Iterable[float]],
    backends: list[str],
) -> bool:
    """Draw one figure by one setting: the mean over groups and seeds, from least to greatest."""
    rows = [
        (str(group.settings.get(key)), str(group.settings[COMPARED]), value)
        for group in groups
        for value in figures(group)
    ]
    if not rows:
        axes.axis("off")
        return False
    import seaborn as sns  # here: it takes a second, and most reports have no such plot

    values, hue, heights = zip(*rows, strict=True)
    sns.pointplot(
        x=list(values), y=list(heights), hue=list(hue), hue_order=backends, ax=axes,
        palette=_colors(len(backends))[: len(backends)], linestyle="none",
        dodge=DODGE if len(backends) > 1 else False,  # seaborn divides by their number less one
        errorbar=lambda found: (found.min(), found.max()),
    )  # fmt: skip
    axes.grid(visible=False, axis="x")
    return True


def _drift(content: TableContent) -> Figure | None:
    """Draw how far each certified run drifted from its reference, and how far it was allowed to."""
    runs = [run for group in content.table.groups for run in group.runs]
    certified = [run for run in runs if run.parity and len(run.parity["difference"]) > 1]
    if not certified:
        return None
    labels = list(dict.fromkeys(map(backend_of, certified)))
    figure, axes = _axes([*labels, "allowed"])
    for color, label in zip(_colors(len(labels)), labels, strict=False):
        certificates = [run.parity or {} for run in certified if backend_of(run) == label]
        drifts = [[d or NO_DRIFT for d in each["difference"]] for each in certificates]
        allowed = [[e or NO_DRIFT for e in each["envelope"]] for each in certificates]
        _lines(axes, [list(enumerate(d, start=1)) for d in drifts], color=color, label=label)
        _lines(axes, [list(enumerate(a, start=1)) for a in allowed], color=color, linestyle=":",
               linewidth=1)  # fmt: skip
    axes.plot([], [], color="black", linestyle=":", label="allowed")
    axes.set(xlabel="epoch", ylabel="difference / largest weight", yscale="log")
    axes.yaxis.set_major_formatter("{x:.0e}")
    axes.legend(**BESIDE)
    return figure


def _plain_numbers(axis: Any) -> None:
    """Write a few plain numbers along a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())  # they would be made, and not be seen
