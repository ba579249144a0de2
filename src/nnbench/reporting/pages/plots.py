"""The plots of a report, as SVG and PNG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnbench.records.certificate import label as backend_of
from nnbench.reporting.comparison.content import Report, TableContent
from nnbench.reporting.comparison.fairness import COMPARED
from nnbench.reporting.comparison.frame import epochs_frame
from nnbench.reporting.comparison.groups import Group, short
from nnbench.reporting.comparison.rows import ledger
from nnbench.reporting.pages.pictures import pictures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 7.2, 3.8  # inches
MOST_GROUPS = 12  # that colours can tell apart
NO_DRIFT = 1e-17  # where a logarithmic axis shows a difference of nothing
EFFECTS: dict[str, Callable[[Group], Iterable[float]]] = {
    "test accuracy": lambda group: group.figures("test_accuracy").values(),
    "seconds per epoch": lambda group: group.seconds().values(),
}
# A small legend beside the axes, where it hides nothing.
BESIDE: dict[str, Any] = {"fontsize": "x-small", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
MOST_EFFECTS = 4  # settings beside each other


def write_plots(report: Report, folder: Path) -> dict[str, bytes]:
    """Write every plot as SVG and PNG; return the SVG by name."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = {}
    frame = epochs_frame(report)
    frame = frame[frame["table"] == 1]
    for name, draw in _drawings(report, frame).items():
        figure = draw()
        if figure is None:
            continue
        with warnings.catch_warnings():  # of labels that leave no room
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=150)
        plots[name] = (folder / f"{name}.svg").read_bytes()
    return plots


def _drawings(report: Report, frame: pd.DataFrame) -> dict[str, Callable[[], Figure | None]]:
    content = report.tables[0]
    labels = [group.label for group in content.table.groups][:MOST_GROUPS]
    frame = frame[frame["group"].isin(labels)]
    return {
        "test_accuracy": lambda: _curve(frame, "test_accuracy", "test accuracy"),
        "generalization_gap": lambda: _curve(frame, "generalization_gap", "train minus test"),
        "train_loss": lambda: _curve(frame, "train_loss", "train loss", log=True),
        "accuracy_against_time": lambda: _against_time(frame),
        "time_ratios": lambda: _ratios(content),
        "time_ledger": lambda: _ledger(content),
        "effects": lambda: _effects(content),
        "parity_drift": lambda: _drift(content),
        **pictures(content.table.groups, report.answers),
    }


def _axes(rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure with one axes, or with a grid of them."""
    import matplotlib
    import seaborn as sns
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "nnbench"
    matplotlib.rcParams["svg.fonttype"] = "none"
    with sns.axes_style("whitegrid"):
        size = (WIDTH, HEIGHT) if rows == columns == 1 else (max(11.0, 3.2 * columns), 2.6 * rows)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        return figure, grid[0][0] if rows == columns == 1 else grid


def _curve(frame: pd.DataFrame, name: str, title: str, log: bool = False) -> Figure | None:
    """Draw a figure by epoch: the mean over seeds, a band from least to greatest."""
    import seaborn as sns

    data = frame.dropna(subset=[name])
    if data.empty or data["epoch"].nunique() == 1:
        return None
    figure, axes = _axes()
    sns.lineplot(
        data.assign(epoch=data["epoch"] + 1), x="epoch", y=name, hue="group",
        errorbar=lambda values: (values.min(), values.max()), ax=axes,
    )  # fmt: skip
    axes.set(xlabel="epoch", ylabel=title)
    if log:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    _legend(axes)
    return figure


def _against_time(frame: pd.DataFrame) -> Figure | None:
    import seaborn as sns

    data = frame.dropna(subset=["test_accuracy"]).copy()
    if data.empty or data["epoch"].nunique() == 1:
        return None
    data["seconds"] = data.groupby("run_id")["train_seconds"].cumsum()
    figure, axes = _axes()
    sns.lineplot(data, x="seconds", y="test_accuracy", hue="group", units="run_id",
                 estimator=None, ax=axes)  # fmt: skip
    axes.set(xlabel="training seconds", ylabel="test accuracy", xscale="log")
    _legend(axes)
    return figure


def _ratios(content: TableContent) -> Figure | None:
    timed = ((a, a.time) for a in content.against if a.time is not None)
    shown = [(against, time) for against, time in timed if time.pairs][:MOST_GROUPS]
    if not shown:
        return None
    figure, axes = _axes()
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
        yticklabels=[f"{a.group} / {a.baseline}" for a, _ in reversed(shown)],
        xlabel="times as long, with 95 % interval",
    )
    _plain_numbers(axes.xaxis)
    return figure


def _ledger(content: TableContent) -> Figure | None:
    groups = [g for g in content.table.groups if g.finished][:MOST_GROUPS]
    if not groups:
        return None
    figure, axes = _axes()
    left = [0.0] * len(groups)
    phases = {group.label: ledger(group) for group in groups}
    for phase in next(iter(phases.values())):
        widths = [phases[group.label][phase] for group in groups]
        axes.barh([g.label for g in groups], widths, left=left, label=phase.replace("_", " "))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="seconds of a run")
    axes.legend(loc="upper left", **BESIDE)
    return figure


def _effects(content: TableContent) -> Figure | None:
    """Draw what each setting that varies comes to: accuracy above, time below, by backend."""
    import pandas as pd
    import seaborn as sns

    keys = [key for key in content.table.varying if key != COMPARED][:MOST_EFFECTS]
    if not keys:
        return None
    several = len({str(group.settings[COMPARED]) for group in content.table.groups}) > 1
    dodge = 0.3 if several else False  # seaborn divides by their number less one
    figure, grid = _axes(rows=2, columns=len(keys))
    for column, key in enumerate(keys):
        for row, (name, figures) in enumerate(EFFECTS.items()):
            frame = pd.DataFrame(
                {short(key): str(group.settings.get(key)), COMPARED: str(group.settings[COMPARED]),
                 name: value}
                for group in content.table.groups
                for value in figures(group)
            )  # fmt: skip
            axes = grid[row][column]
            if frame.empty:
                axes.axis("off")
                continue
            sns.pointplot(frame, x=short(key), y=name, hue=COMPARED, dodge=dodge, linestyle="none",
                          errorbar=lambda v: (v.min(), v.max()), ax=axes)  # fmt: skip
            if name == "seconds per epoch":
                axes.set_yscale("log")
                _plain_numbers(axes.yaxis)
            if column + 1 == len(keys) and row == 0:
                _legend(axes)
            elif axes.get_legend():
                axes.get_legend().remove()
    return figure


def _drift(content: TableContent) -> Figure | None:
    """Draw how far each certified run drifted from its reference, and how far it was allowed to."""
    runs = [run for group in content.table.groups for run in group.runs]
    certified = [run for run in runs if run.parity and len(run.parity["difference"]) > 1]
    if not certified:
        return None
    figure, axes = _axes()
    colors = {label: f"C{i}" for i, label in enumerate(dict.fromkeys(map(backend_of, certified)))}
    for run in certified:
        certificate, color = run.parity or {}, colors[backend_of(run)]
        epochs = range(1, len(certificate["difference"]) + 1)
        axes.plot(epochs, [d or NO_DRIFT for d in certificate["difference"]], color=color)
        axes.plot(epochs, certificate["envelope"], color=color, linestyle=":", linewidth=1)
    for label, color in colors.items():
        axes.plot([], [], color=color, label=label)
    axes.plot([], [], color="black", linestyle=":", label="allowed")
    axes.set(xlabel="epoch", ylabel="difference / largest weight", yscale="log")
    axes.legend(loc="upper left", **BESIDE)
    return figure


def _plain_numbers(axis: Any) -> None:
    """Write a few plain numbers along a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(axes: Any) -> None:
    """Put a small legend beside the axes, where it hides nothing."""
    legend = axes.get_legend()
    if legend is not None:
        import seaborn as sns

        sns.move_legend(axes, "upper left", title=None, **BESIDE)
