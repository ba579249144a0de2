"""Figures: all curves are seen, epochs are whole, a backend has one colour, captions say enough."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from PIL import Image

from nnbench.records.colors import BACKENDS, COLORS, colors
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.content import build
from nnbench.reporting.pages import axis, bars, curves
from nnbench.reporting.pages.drawn import Drawn, for_page
from nnbench.reporting.pages.looks import MARKERS, STYLE, Look, fitted, looks
from nnbench.reporting.pages.plots import write_plots
from nnbench.reporting.pages.scene import Scene, spread
from nnbench.reporting.pages.swatch import PATHS
from nnbench.reporting.pages.typeface import PART, WHOLE
from support.reports import some_runs


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield


def scene(runs: list[RunResult]) -> Scene:
    report = build(runs)
    return Scene(report.tables[0], report)


def equal_curves(folder: Path) -> Scene:
    """Return two backends whose curves are the same to the last bit."""
    return scene([*some_runs(folder, "numpy", 3), *some_runs(folder, "torch", 3, factor=2.0)])


def curve_lines(drawn: Drawn) -> dict[int, list[Line2D]]:
    """Return the lines of each group inside the axes: the curve, and its markers."""
    found: dict[int, list[Line2D]] = {}
    for line in drawn.figure.axes[0].lines:
        if (gid := re.match(r"group-(\d+)-", line.get_gid() or "")) is not None:
            found.setdefault(int(gid[1]), []).append(line)
    return found


def test_curves_that_coincide_differ_in_style_and_marker_and_both_are_labelled(
    tmp_path: Path,
) -> None:
    drawn = curves.curve(equal_curves(tmp_path), "test_accuracy", "test accuracy")
    assert drawn is not None
    (first, marks), (second, others) = curve_lines(drawn).values()
    assert list(first.get_ydata()) == list(second.get_ydata())
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_linewidth() > second.get_linewidth() + 1
    assert second.get_path_effects(), "a white casing, that is seen in black and white"
    assert marks.get_marker() != others.get_marker()
    assert {m.get_markerfacecolor() for m in (marks, others)} == {"none"}
    texts = {text.get_text(): text.get_position() for text in drawn.figure.texts}
    assert set(texts) == {"numpy", "torch"}
    assert abs(texts["numpy"][1] - texts["torch"][1]) * 72 > 8, "labels do not hide each other"
    assert [label for _, label in drawn.legend] == ["numpy", "torch"]


def dashes_in_grey(folder: Path) -> int:
    """Return how often grey changes along the first piece of two curves that coincide."""
    drawn = curves.curve(equal_curves(folder), "test_accuracy", "test accuracy")
    assert drawn is not None
    drawn.figure.savefig(folder / "x.png", dpi=200)
    grey = Image.open(folder / "x.png").convert("L")
    (x, y), (right, below) = [(mark.x * 200 / 72, mark.y * 200 / 72) for mark in drawn.marks[:2]]
    places = [(x + (right - x) * t / 400, y + (below - y) * t / 400) for t in range(60, 340)]
    seen = [int(grey.getpixel((round(a), round(b)))) for a, b in places]  # type: ignore[arg-type]
    return sum(abs(b - a) > 8 for a, b in pairwise(seen))


def test_printed_in_grey_both_curves_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dashes_in_grey(tmp_path) > 8
    monkeypatch.setattr(Look, "among", lambda self, below, above: {"color": self.color})
    assert dashes_in_grey(tmp_path) < 3, "plain lines hide each other, and this test sees it"


@pytest.mark.parametrize("epochs", [2, 3, 4, 5, 7, 12, 100, 1000])
def test_ticks_of_epochs_are_whole_numbers(epochs: int) -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.plot(range(1, epochs + 1), range(epochs))
    axis.epochs(axes.xaxis)
    ticks = [tick for tick in axes.get_xticks() if 1 <= tick <= epochs]
    assert len(ticks) >= 2
    assert all(tick == round(tick) for tick in ticks)


def test_many_runs_of_a_group_are_one_path(tmp_path: Path) -> None:
    """A page with a path for each of a thousand runs is large, and slow to draw."""
    drawn = curves.against_time(
        scene([*some_runs(tmp_path, "numpy", 8), *some_runs(tmp_path, "torch", 8, factor=2.0)])
    )
    assert drawn is not None
    paths = [
        path
        for artist in drawn.figure.axes[0].collections
        if artist.get_gid()
        for path in artist.get_paths()
    ]
    assert [list(path.codes).count(path.MOVETO) for path in paths] == [8, 8]


def test_a_backend_has_one_colour_in_every_figure(tmp_path: Path) -> None:
    runs = [
        run
        for n, backend in enumerate(("torch", "numpy", "own"))
        for size in (8, 32)
        for run in some_runs(tmp_path, backend, 3, 1.0 + n + size / 8, batch_size=size)
    ]
    found = scene(runs)
    expected = {"torch": COLORS["vermillion"][0], "numpy": COLORS["blue"][0]}
    expected["own"] = found.colors["own"]
    assert len(set(expected.values())) == 3
    figures: list[Any] = [
        curves.curve(found, "test_accuracy", "test accuracy"),
        curves.curve(found, "train_loss", "training loss", log=True),
        curves.against_time(found),
        bars.epoch_ratios(found),
        bars.target_ratios(found),
        bars.time_ledger(found),
    ]
    for drawn in figures:
        for group, used in colors_of(drawn).items():
            backend = found.groups[group].settings["backend"]
            assert used & set(COLORS_OF_BACKENDS) == {expected[str(backend)]}


COLORS_OF_BACKENDS = [
    light for name, (light, _) in COLORS.items()
    if name not in ("ink", "soft", "line", "rise", "fall") and "phase" not in name
]  # fmt: skip


def colors_of(drawn: Drawn) -> dict[int, set[str]]:
    """Return the colours of everything that belongs to a group."""
    found: dict[int, set[str]] = {}
    for artist in drawn.figure.findobj(lambda a: bool(re.match("group-", a.get_gid() or ""))):
        number = int(str(artist.get_gid()).split("-")[1])
        for name in ("get_color", "get_facecolor", "get_edgecolor", "get_markeredgecolor"):
            if hasattr(artist, name):
                value = getattr(artist, name)()
                values = [value] if isinstance(value, str | tuple) else list(value)
                used = {to_hex(v) for v in values if not isinstance(v, str) or v != "none"}
                found.setdefault(number, set()).update(used)
    return {group: used for group, used in found.items() if used & set(COLORS_OF_BACKENDS)}


def test_no_two_groups_look_alike_and_colours_are_few() -> None:
    names = [*BACKENDS, "a", "b"]
    assert len(set(colors(names).values())) == len(names)
    assert set(MARKERS) == set(PATHS), "each marker has its swatch"


def test_groups_of_one_backend_differ_in_marker(tmp_path: Path) -> None:
    runs = [r for n in range(14) for r in some_runs(tmp_path, "numpy", 1, 1.0 + n, batch_size=n)]
    found = looks(build(runs).tables[0].table.groups)
    assert len(found) == len({look.marker for look in found}) == 12
    assert len({look.color for look in found}) == 1


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.95, 4.7), (0.99, 1.01), (0.2, 1.1), (0.9, 2000.0), (1e-5, 1.2), (0.98, 1.35), (0.7, 13.0)],
)
def test_ratios_have_a_few_ticks_and_one_is_among_them(low: float, high: float) -> None:
    ticks = axis.log_ticks(low, high)
    assert 3 <= len(ticks) <= 11
    assert all(low <= tick <= high for tick in ticks)
    assert 1.0 in ticks
    assert len({axis.plain(tick) for tick in ticks}) == len(ticks)


def test_labels_fit_and_differ() -> None:
    names = ["x" * 200 + "a" * n for n in range(3)] + ["x" * 90 + "b" + "x" * 109 + c for c in "yz"]
    found = fitted([*names, names[3], "short"], 26)
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= 26
    assert found[-1] == "short"


def test_labels_do_not_hide_each_other() -> None:
    heights = spread([3.0, 3.0, 2.99, 1.0, 1.0], 0.15, 0.0, 3.0)
    assert all(a - b >= 0.15 - 1e-9 for a, b in pairwise(heights))
    assert max(heights) <= 3.0
    assert heights[3:] == pytest.approx([1.075, 0.925])
    many = spread([1.0] * 50, 0.15, 0.0, 3.0)
    assert many[0] == 3.0
    assert many[-1] == pytest.approx(0.0)


def test_captions_say_what_is_shown_with_seeds_intervals_and_machine(tmp_path: Path) -> None:
    report = build([*some_runs(tmp_path, "numpy", 3), *some_runs(tmp_path, "torch", 3, 2.0)])
    plots = write_plots(report, tmp_path / "plots", ("pdf",))
    assert next(iter(plots)) == "accuracy_against_time"
    for name, plot in plots.items():
        pdf = (tmp_path / "plots" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/FontFile2" in pdf, "with the letters that it needs, as journals want them"
        assert len(pdf) < 60_000
        svg = (tmp_path / "plots" / f"{name}.svg").read_text()
        assert WHOLE in svg
        assert PART not in svg + plot.svg, "nobody else has that typeface"
        assert plot.caption.endswith("Measured on A Processor.")
        assert name not in plot.caption
        assert plot.title
        assert plot.rest
    assert "bands their range" in plots["test_accuracy"].caption
    assert "means over 3 seeds" in plots["test_accuracy"].caption
    assert "3 pairs of runs" in plots["time_ratios"].caption
    assert "95 % intervals of Student's t" in plots["time_ratios"].caption


def test_who_reaches_the_target_is_told(tmp_path: Path) -> None:
    """The second seed of torch never gets there: no verdict on time, and the share says so."""
    runs = [*some_runs(tmp_path, "numpy", 3), *some_runs(tmp_path, "torch", 3, 2.0)]
    low = tuple(dataclasses.replace(e, test_accuracy=0.3) for e in runs[4].epochs)
    broken = [*runs[:4], dataclasses.replace(runs[4], epochs=low), runs[5]]
    (against,) = build(broken).tables[0].against
    assert against.reaching is not None
    assert against.reaching.time is None
    assert "78.94% test accuracy reached with 2 of 3 seeds against 3 of 3" in against.short
    drawn = curves.against_time(scene(broken))
    assert drawn is not None
    texts = [text.get_text() for text in drawn.figure.texts]
    assert "torch: 2 of 3" in texts
    assert "numpy: 3 of 3" in texts
    (whole,) = build(runs).tables[0].against
    assert whole.reaching is not None
    assert whole.reaching.time is not None
    assert whole.reaching.time.ratio.value == pytest.approx(2.0)
    assert "to 78.94% test accuracy: 2.00 times as slow (2.00 to 2.00; 3 pairs)" in str(whole)
    assert "78.94%" not in whole.short, "it says no more than the time of an epoch"
    assert bars.target_ratios(scene(broken)) is None


def test_names_in_a_figure_are_text_in_the_page(tmp_path: Path) -> None:
    name = '<script>alert(1)</script> & "x" $y$'
    drawn = curves.curve(
        scene([*some_runs(tmp_path, "numpy", 1), *some_runs(tmp_path, name, 1)]),
        "test_accuracy", "test accuracy",
    )  # fmt: skip
    assert drawn is not None
    drawn.figure.savefig(tmp_path / "x.svg")
    svg = for_page((tmp_path / "x.svg").read_text(), name)
    assert svg.startswith("<svg ")
    assert "<script" not in svg
    assert "data-group=" in svg
    assert "var(--blue)" in svg
    assert COLORS["blue"][0] not in svg
