"""Whether a net has learnt anything, and settings that do where it has not.

What is recommended is measured: tests/reporting/test_learning.py trains the nets of conf/arch with
it, at batches from 1 to 128, to 85 % and more.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnbench.formatting import percent
from nnbench.records.run import RunResult
from nnbench.reporting.comparison.run_notes import few

EPOCHS = 3  # before that, nobody expects much
HARDLY = 0.15  # of what lies between chance and everything right
SMALL_BATCH = 4


def recommended(batch_size: int) -> tuple[str, ...]:
    """Return settings of plain SGD with which a classifier learns at this batch size."""
    rate = "0.01" if batch_size < SMALL_BATCH else "0.1"
    return ("loss=cross_entropy", "init=glorot", "schedule=constant", f"schedule.lr={rate}")


def has_learnt(run: RunResult) -> bool:
    """Tell whether a classifier is better than chance by more than hardly; others count as such."""
    kept, outputs = run.kept, run.data.get("outputs") or 0
    if kept is None or kept.test_accuracy is None or outputs < 2:
        return True
    chance = 1.0 / outputs
    return bool(kept.test_accuracy > chance + HARDLY * (1.0 - chance))


def hint(run: RunResult) -> str | None:
    """Return a line for a classifier that is hardly better than chance, None for others."""
    if has_learnt(run) or len(run.epochs) < EPOCHS:
        return None
    kept, chance = run.kept, 1.0 / run.data["outputs"]
    assert kept is not None
    words = " ".join(recommended(int(run.config.get("batch_size") or 1)))
    return (
        f"it has hardly learnt: test accuracy {percent(kept.test_accuracy)}, chance is "
        f"{percent(chance)}. Try {words}"
    )


def hints(runs: Sequence[RunResult]) -> list[str]:
    """Return a line for the runs of a sweep that have hardly learnt, by what they could try."""
    found: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        if run.status == "finished" and hint(run):
            words = recommended(int(run.config.get("batch_size") or 1))
            found.setdefault(words, []).append(run.shown)
    return [
        f"{len(names)} of {len(runs)} runs have hardly learnt ({few(names)}). Try {' '.join(words)}"
        for words, names in found.items()
    ]
