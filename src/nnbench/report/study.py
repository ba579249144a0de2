"""A study's table: published against measured, as published and matched side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from nnbench.record import EpochRecord, RunResult
from nnbench.report.tables import flag_notes, weight_difference


def study_table(name: str, study: Any, runs: Sequence[RunResult]) -> Group:
    """Return the table of `study` (its study.yaml) over `runs`, and what its pairs show.

    Figures are train / test accuracy and their gap, in per cent.
    """
    by_case = {str(run.config["case"]).removeprefix(f"{name}/"): run for run in runs}
    table = Table(
        title=f"{study['title']}: train / test / gap, %", title_justify="left", box=box.SIMPLE_HEAD
    )
    for column in ("", "published", "measured, as published", "measured, matched"):
        table.add_column(column)
    for row in study["rows"]:
        figures = [_figures(by_case.get(row["cases"][k])) for k in ("published", "matched")]
        table.add_row(row["label"], _published(row["published"]), *figures)
    notes = [f"note: {note}" for note in flag_notes(runs)]
    return Group(study["question"], table, *_pairs(study["pairs"], by_case), *notes)


def _published(figures: dict[str, float]) -> str:
    return f"{figures['train']:.1f} / {figures['test']:.1f} / {figures['gap']:.1f}"


def _figures(run: RunResult | None) -> str:
    if run is None:
        return "failed"
    kept: EpochRecord | None = run.kept
    if kept is None or kept.train_accuracy is None or kept.test_accuracy is None:
        return run.status
    train, test = 100 * kept.train_accuracy, 100 * kept.test_accuracy
    note = "" if run.status == "finished" else f" ({run.status})"
    return f"{train:.1f} / {test:.1f} / {train - test:.1f}{note}"


def _pairs(pairs: Sequence[Sequence[str]], by_case: dict[str, RunResult]) -> list[str]:
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
