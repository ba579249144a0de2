"""One definition of epoch time, wherever it is shown; and what is shown says which it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import nnbench
from nnbench.cli.progress import Display
from nnbench.config.composition import compose
from nnbench.records.run import RunResult
from nnbench.reporting.claims.figures import run_figures
from nnbench.reporting.comparison.content import READING, build
from nnbench.reporting.comparison.frame import groups_frame
from nnbench.reporting.pages.html import html
from nnbench.reporting.pages.listing import listing
from nnbench.reporting.pages.markdown import escape, markdown
from nnbench.reporting.pages.runs import summary
from nnbench.reporting.pages.tables import comparison
from nnbench.reporting.pages.terminal import report_text
from nnbench.sweeps.observer import Outlook
from nnbench.tracking.content import final_metrics
from nnbench.tracking.note import experiment_note, note
from support.records import epoch, make_run

SLOW_START = (30.0, 0.125, 0.375, 0.25)  # the median with the first is 0.3125


def shown(part: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(part)
    return capture.get()


def a_run(folder: Path, seconds: tuple[float, ...] = SLOW_START) -> RunResult:
    records = tuple(epoch(i, train_seconds=s) for i, s in enumerate(seconds))
    config = compose(["seed=3"]).values
    return make_run(folder / "runs" / "r1", epochs=records, kept_epoch=0, config=config)


def line_at_the_end(run: RunResult) -> str:
    console = Console(width=200)
    with console.capture() as capture, Display(console) as display:
        display.expect(Outlook(2))
        display.begin(run.name, compose([])).end(run)
    return capture.get()


PLACES: dict[str, Callable[[RunResult], str]] = {
    "show": lambda run: shown(summary(run)),
    "ls": lambda run: shown(listing([run])),
    "sweep": lambda run: shown(comparison([run])),
    "line": line_at_the_end,
    "report": lambda run: shown(report_text(build([run]))),
    "page": lambda run: html(build([run]), "t", {}),
    "markdown": lambda run: markdown(build([run]), "t"),
    "experiment": lambda run: experiment_note([run]),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_shows_the_same(tmp_path: Path, place: str) -> None:
    assert "250.0 ms" in PLACES[place](a_run(tmp_path))


@pytest.mark.parametrize("place", ["show", "ls", "sweep", "line", "page"])
def test_a_single_epoch_is_said_to_include_the_warm_up(tmp_path: Path, place: str) -> None:
    assert "of a single epoch, warm-up included" in PLACES[place](a_run(tmp_path, (0.25,)))
    assert "250.0 ms" in PLACES[place](a_run(tmp_path, (0.25,)))
    assert "warm-up included" not in PLACES[place](a_run(tmp_path))


@pytest.mark.parametrize("place", ["show", "ls", "sweep", "report", "page", "markdown"])
def test_the_definition_is_said(tmp_path: Path, place: str) -> None:
    assert "the median of all epochs but the first" in PLACES[place](a_run(tmp_path))


def test_figures_as_data_are_the_same(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    assert run_figures(run)["time"] == 0.25
    metrics = {metric.key: metric.value for metric in final_metrics(run)}
    assert metrics["time/median_epoch_seconds"] == 0.25
    assert "Epoch time: 250.0 ms (training time, the median of all epochs but" in note(run)
    assert groups_frame(build([run]))["epoch"].tolist() == [0.25]
    assert build([run]).tables[0].table.groups[0].seconds() == {3: 0.25}
    assert nnbench.runs(tmp_path)["epoch_seconds"].tolist() == [0.25]


def test_rows_and_verdicts_are_told_apart(tmp_path: Path) -> None:
    report = build([a_run(tmp_path)])
    assert "can differ from the ratio of two rows" in READING[1]
    assert READING[1] in html(report, "t", {})
    assert escape(READING[1]) in markdown(report, "t")
    assert READING[1] in shown(report_text(report))
