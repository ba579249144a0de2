"""A study's table: published against measured, as published and matched side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from nnbench.formatting import duration
from nnbench.records.run import EpochRecord, RunResult
from nnbench.reporting.comparison.notes import flag_notes
from nnbench.reporting.pages.tables import weight_difference

WAYS = ("published", "matched")
COLUMNS = ("", "published", "measured, as published", "measured, matched")


def study_table(name: str, study: Any, runs: Sequence[RunResult]) -> Group:
    """Return the tables of `study` (its study.yaml) over `runs`, and what its pairs show.

    Figures are train / test accuracy and their gap in per cent, with the time per epoch where the
    study has one; ratios are those of median epoch times.
    """
    by_case = {str(run.config["case"]).removeprefix(f"{name}/"): run for run in runs}
    timed = any("epoch_seconds" in row["published"] for row in study["rows"])
    what = "train / test / gap, %" + (", time per epoch" if timed else "")
    table = _table(f"{study['title']}: {what}")
    for row in study["rows"]:
        figures = [_figures(row["cases"].get(way), by_case, timed) for way in WAYS]
        table.add_row(row["label"], _published(row["published"]), *figures)
    parts: list[Any] = [study["question"], table]
    if ratios := study.get("ratios"):
        times = _table("Times as fast")
        for row in ratios:
            found = [_ratio(row["cases"].get(way), by_case) for way in WAYS]
            told = f"{row['published']:.2f}" if "published" in row else "-"
            times.add_row(row["label"], told, *found)
        parts.append(times)
    notes = [f"note: {note}" for note in flag_notes(runs)]
    return Group(*parts, *_pairs(study.get("pairs", ()), by_case), *notes)


def cases_of(study: Any) -> list[str]:
    """Return every case that the tables of `study` need, each once, in order."""
    found = [case for row in study["rows"] for case in row["cases"].values()]
    for row in study.get("ratios", ()):
        found += [case for cases in row["cases"].values() for case in cases]
    return list(dict.fromkeys(found))


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column)
    return table


def _published(figures: Mapping[str, float]) -> str:
    told = [f"{figures[k]:.1f}" if k in figures else "-" for k in ("train", "test", "gap")]
    seconds = figures.get("epoch_seconds")
    return " / ".join(told) + (f", {duration(seconds)}" if seconds is not None else "")


def _figures(case: str | None, by_case: Mapping[str, RunResult], timed: bool) -> str:
    if case is None:
        return "-"
    run = by_case.get(case)
    if run is None:
        return "failed"
    kept: EpochRecord | None = run.kept
    if kept is None or kept.train_accuracy is None or kept.test_accuracy is None:
        return run.status
    train, test = 100 * kept.train_accuracy, 100 * kept.test_accuracy
    note = "" if run.status == "finished" else f" ({run.status})"
    time = f", {duration(run.epoch_seconds)}" if timed else ""
    return f"{train:.1f} / {test:.1f} / {train - test:.1f}{time}{note}"


def _ratio(cases: Sequence[str] | None, by_case: Mapping[str, RunResult]) -> str:
    """Return how many times as long an epoch of the first case takes as one of the second."""
    if cases is None:
        return "-"
    slow, fast = (by_case[case].epoch_seconds if case in by_case else None for case in cases)
    return f"{slow / fast:.2f}" if slow and fast else "failed"


def _pairs(pairs: Sequence[Sequence[str]], by_case: Mapping[str, RunResult]) -> list[str]:
    """Say how far the weights of pairs that differ in the framework alone have parted."""
    lines = []
    for a, b in pairs:
        if a in by_case and b in by_case:
            found = weight_difference(by_case[a], by_case[b])
            epochs = len(by_case[a].epochs)
            lines.append(
                f"{a} and {b} differ in the framework alone: after {epochs} epochs their weights "
                + ("are not comparable." if found is None else f"differ by at most {found:.1e}.")
            )
    return lines
