"""Two differences that decide times: never ranked as if they were not there."""

from __future__ import annotations

from pathlib import Path

from nnbench.records.run import RunResult
from nnbench.reporting.comparison.content import build
from nnbench.reporting.comparison.fairness import apart_sentences
from nnbench.reporting.comparison.groups import tables
from support.records import CONFIG, make_run


def runs_of(folder: Path, backend: str, **changed: object) -> list[RunResult]:
    """Return runs of three seeds."""
    found = []
    for seed in range(3):
        config = CONFIG | {"seed": seed, "case": None} | changed
        config["backend"] = CONFIG["backend"] | {"name": backend}
        found.append(make_run(folder / f"{backend}{seed}", config=config))
    return found


def test_a_difference_in_dtype_is_told_before_anything_is_ranked(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, "numpy", dtype="float32")
    runs += runs_of(tmp_path, "torch", dtype="float64")
    (content,) = build(runs).tables
    (against,) = content.against
    assert not against.fair
    assert "dtype: float32 against float64 (different arithmetic" in str(against)


def test_runs_with_other_numbers_of_threads_have_tables_of_their_own(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, "numpy", threads=1) + runs_of(tmp_path, "torch", threads=2)
    assert [table.apart["threads"] for table in tables(runs)] == [1, 2]
    assert [[g.label for g in table.groups] for table in tables(runs)] == [["numpy"], ["torch"]]
    assert "threads (2 there, 1 in table 1)" in " ".join(apart_sentences(tables(runs)))
