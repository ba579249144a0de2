"""The table of a sweep: its runs side by side, and how far they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from nnbench.errors import NNBenchError
from nnbench.formatting import count, duration, number, percent
from nnbench.records import weights
from nnbench.records.certificate import label, pair_key, sentences
from nnbench.records.run import RunResult
from nnbench.records.standing import standing
from nnbench.reporting.comparison.learning import hints
from nnbench.reporting.comparison.run_notes import epoch_note, flag_notes, forced_kernel_notes
from nnbench.reporting.pages.grid import close, fold

# Title, figure of the run's kept epoch, and how it is written.
FIGURES: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("test acc", "test_accuracy", percent),
    ("train acc", "train_accuracy", percent),
    ("gap", "generalization_gap", percent),
    ("test loss", "test_loss", number),
)
REGRESSION_FIGURES = (
    ("test loss", "test_loss", number),
    ("train loss", "train_loss", number),
    ("gap", "generalization_gap", number),
)


def comparison(runs: Sequence[RunResult]) -> Group:
    """Return one table over the runs of a sweep, grouped by semantics, with differences.

    Runs of different semantics are never in one table, those that diverge or report wrong figures
    in none. What is not proved of a run stands behind its name. The last column is the largest
    difference of any weight from the first backend's run of the same configuration.
    """
    by_semantics: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        by_semantics[run.semantics].append(run)
    parts: list[Any] = []
    for semantics, group in by_semantics.items():
        ranked = [run for run in group if standing(run).ranked]
        parts += [_comparison_table(ranked, semantics)] if ranked else []
        parts += [f"certificates: {word}" for word in [_shared_word(ranked)] if word]
        parts += [f"not ranked: {run.name}" for run in group if run not in ranked]
        parts += _agreement(group)
    notes = [*hints(runs), epoch_note(runs), *flag_notes(runs), *forced_kernel_notes(runs)]
    return Group(*parts, *(f"note: {note}" for note in notes))


def _comparison_table(runs: Sequence[RunResult], semantics: str) -> Table:
    title = f"{count(len(runs), 'run')}, {semantics} semantics"
    table = close(fold("run", min_width=12), title=title)
    regression = all(r.kept is None or r.kept.test_accuracy is None for r in runs)
    unfinished = any(r.status != "finished" for r in runs)
    if unfinished:
        table.add_column("status")
    figures = REGRESSION_FIGURES if regression else FIGURES
    for name in (*(name for name, _, _ in figures), "epoch"):
        table.add_column(name, justify="right")
    if semantics == "matched" and len({label(r) for r in runs}) > 1:
        table.add_column("dW", justify="right")
    first = _first_of_each(runs)
    shared = _shared_word(runs)
    for run in runs:
        word = standing(run).word
        row = [run.shown + (f" ({word})" if word != shared else "")]
        row += [run.status] if unfinished else []
        row += [written(run.figure(name)) for _, name, written in figures]
        row += [duration(run.epoch_seconds)]
        if len(row) < len(table.columns):
            row.append(_difference(first[pair_key(run)], run))
        table.add_row(*row)
    return table


def _shared_word(runs: Sequence[RunResult]) -> str:
    """Return what is not proved of all the runs alike; empty where there is no such thing."""
    words = {standing(run).word for run in runs}
    return words.pop() if len(words) == 1 else ""


def _first_of_each(runs: Sequence[RunResult]) -> dict[str, RunResult]:
    first: dict[str, RunResult] = {}
    for run in runs:
        first.setdefault(pair_key(run), run)
    return first


def _difference(a: RunResult, b: RunResult) -> str:
    """Return the largest difference of any weight of two runs."""
    if a is b:
        return "-"
    found = weight_difference(a, b)
    return "-" if found is None else f"{found:.1e}"


def weight_difference(a: RunResult, b: RunResult) -> float | None:
    """Return the largest absolute difference of the kept weights, None where there are none."""
    try:
        assert a.directory is not None
        assert b.directory is not None
        return weights.largest_difference(
            weights.load_weights(a.directory), weights.load_weights(b.directory)
        )
    except NNBenchError:
        return None


def _agreement(runs: Sequence[RunResult]) -> list[str]:
    """Say in words how far the backends agree, where they were matched.

    Certificates speak for themselves; without them, the largest difference of any weight does.
    """
    certified = sentences([run for run in runs if run.parity])
    first = _first_of_each(runs)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        reference = first[pair_key(run)]
        if run.parity or run.semantics != "matched" or label(reference) == label(run):
            continue
        difference = weight_difference(reference, run)
        if difference is not None:
            found[f"{label(reference)} and {label(run)}"].append(difference)
    return certified + [
        f"{pair}: same initial weights, order and loss; after training no weight differs by more "
        f"than {max(values):.1e} (dW)."
        for pair, values in found.items()
    ]
