"""Runs that shared their processor, and orders that favour somebody: told, and kept apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from nnbench.errors import ConfigError
from nnbench.records.flags import Contended, Early
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.conditions import judge
from nnbench.reporting.comparison.content import Report, build
from nnbench.reporting.comparison.run_notes import epoch_note, flag_notes
from nnbench.reporting.pages.html import html
from nnbench.reporting.pages.markdown import markdown
from nnbench.reporting.pages.plots import write_plots
from support.records import epoch, make_run


def group(folder: Path, backend: str, minute: int, factor: float = 1.0) -> list[RunResult]:
    """Return runs with seeds 0 to 4, one an hour, in that minute."""
    found = []
    for seed in range(5):
        run = make_run(folder / f"{backend}{seed}")
        config = run.config | {"seed": seed, "case": None, "order": "counterbalanced"}
        config["backend"] = config["backend"] | {"name": backend}
        noise = 1 + 0.01 * ((seed * 7 + minute) % 3)
        records = tuple(epoch(i, train_seconds=factor * noise) for i in range(4))
        created = f"2026-01-01T0{seed}:{minute:02}:00+00:00"
        changed: dict[str, Any] = {"config": config, "epochs": records, "created": created}
        found.append(dataclasses.replace(run, **changed))
    return found


def contended(run: RunResult, factor: float = 3.0) -> RunResult:
    records = tuple(
        dataclasses.replace(e, train_seconds=factor * e.train_seconds) for e in run.epochs
    )
    return dataclasses.replace(run, epochs=records, flags=(Contended(),))


def notes(report: Report) -> str:
    return " ".join(report.tables[0].notes)


def test_contended_runs_are_in_no_time_and_in_every_accuracy(tmp_path: Path) -> None:
    a, b = group(tmp_path, "numpy", 10), group(tmp_path, "torch", 10, factor=2.0)
    quiet = build([*a, *b])
    b[1] = contended(b[1])
    report = build([*a, *b])
    assert len(report.tables) == 1
    torch = report.tables[0].rows[1]
    assert torch.seeds == 5
    assert torch.epoch_high == quiet.tables[0].rows[1].epoch_high
    (against,) = report.tables[0].against
    assert against.time.pairs == 4
    assert 1.9 < against.time.ratio.value < 2.1
    assert "torch: contended (other processes took its processor) with seed 1; not in" in notes(
        report
    )
    assert "no finished run with seed 1" not in notes(report)
    assert any("torch" in note and "contended" in note for note in report.notes)


def test_where_all_are_contended_their_times_are_compared_and_it_is_said(tmp_path: Path) -> None:
    a, b = group(tmp_path, "numpy", 10), group(tmp_path, "torch", 10, factor=2.0)
    report = build([contended(run) for run in (*a, *b)])
    (against,) = report.tables[0].against
    assert against.time.pairs == 5
    assert "Every run was contended" in notes(report)


def test_a_group_that_is_contended_throughout_has_no_verdict_on_time(tmp_path: Path) -> None:
    a, b = group(tmp_path, "numpy", 10), group(tmp_path, "torch", 10)
    report = build([*a, *map(contended, b)])
    assert report.tables[0].rows[1].epoch is None
    assert report.tables[0].rows[1].test_accuracy is not None
    assert "there is no verdict on its time" in notes(report)
    (against,) = report.tables[0].against
    assert against.time is None
    assert against.quality is not None
    assert "no times that may be compared; no significant difference in test acc" in str(against)
    with pytest.raises(ConfigError, match=r"not time: its runs were contended; run them again"):
        judge(["torch.time > 0"], report)
    write_plots(report, tmp_path / "plots")
    for page in (html(report, "t", {}), markdown(report, "t")):
        assert "there is no verdict on its time" in page


def test_early_backends_stay_in_the_table(tmp_path: Path) -> None:
    a, b = group(tmp_path, "numpy", 10), group(tmp_path, "late", 10)
    b = [dataclasses.replace(run, flags=(Early(),)) for run in b]
    report = build([*a, *b])
    assert len(report.tables) == 1
    assert any("train() returned before its work was done" in note for note in report.notes)


def test_who_always_ran_first_is_told(tmp_path: Path) -> None:
    a, b = group(tmp_path, "numpy", 10), group(tmp_path, "torch", 20)
    report = build([*a, *b])
    assert "Always ran first: numpy before torch." in notes(report)
    a[3] = dataclasses.replace(a[3], created="2026-01-01T03:30:00+00:00")
    assert "Always ran first" not in notes(build([*a, *b]))
    assert ("order of runs", "counterbalanced") in report.environment


def test_a_single_epoch_beside_others_is_said_in_words(tmp_path: Path) -> None:
    run, *_ = group(tmp_path, "numpy", 10)
    one = dataclasses.replace(run, epochs=run.epochs[:1])
    assert epoch_note([run, one]).endswith(
        "the median of all epochs but the first; of runs with one epoch, that epoch, which "
        "includes warm-up"
    )
    assert epoch_note([one]) == "epoch: training time of a single epoch, warm-up included"


def test_a_note_names_three_runs_and_counts_the_rest(tmp_path: Path) -> None:
    runs = [
        dataclasses.replace(make_run(tmp_path / str(i)), name=f"run {i}", flags=(Early(),))
        for i in range(4)
    ]
    clean = dataclasses.replace(make_run(tmp_path / "clean"), name="clean")
    assert flag_notes([*runs[:3], clean]) == [f"run 0, run 1, run 2: {Early()}"]
    assert flag_notes([*runs, clean]) == [f"4 of 5 runs (run 0, run 1, run 2, ...): {Early()}"]


def test_a_verdict_names_its_table_where_there_are_several(tmp_path: Path) -> None:
    runs = [*group(tmp_path, "numpy", 10), *group(tmp_path, "torch", 10, factor=2.0)]
    other = [
        dataclasses.replace(run, machine=run.machine | {"cpu": "Another Processor"}) for run in runs
    ]
    assert [line.split(":")[0] for line in build(runs).headlines] == ["torch against numpy"]
    both = build([*runs, *other])
    assert [line.split(":")[:2] for line in both.headlines] == [
        ["Table 1", " torch against numpy"], ["Table 2", " torch against numpy"]
    ]  # fmt: skip
