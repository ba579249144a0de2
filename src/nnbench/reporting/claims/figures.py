"""The figures that claims may use: of a run, by its epochs and its process."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from nnbench.backends.operations import FACTS
from nnbench.records.run import RunResult, epoch_time
from nnbench.records.standing import standing
from nnbench.reporting.claims.expression import Figures

Figure = Mapping[str, float]
FIGURES = (
    "accuracy", "train_accuracy", "running_accuracy", "best_train_accuracy", "gap", "loss",
    "largest_rise", "epochs", "updates", "parameters", "memory", "startup", "total_time", "time",
    "time_with_evaluation", "training_time", "cpu_time", "cpu_time_with_evaluation",
    "cpu_training_time",
)  # fmt: skip
# Seeds change nothing in these: one run is enough, and their interval is the figure itself.
EXACT = frozenset(("updates", "parameters", *FACTS))


def run_figures(run: RunResult) -> Figure:
    """Return the figures of a run that claims may use.

    Accuracies and `gap` are fractions; `running_accuracy` is the last epoch's as it was met,
    `best_train_accuracy` the best epoch's (some publications print it beside the last epoch's test
    accuracy). Times are seconds: `time` per epoch, `time_with_evaluation` as sources take it that
    evaluate inside the clock, `training_time` of all epochs, `startup` until the first step, data
    aside; `cpu_...` are the same in seconds of the processor, which other processes on the machine
    do not lengthen. `memory` is in bytes, `updates` per epoch; `largest_rise` is the most by which
    the running loss rose from one epoch to the next, as a part of its first value.
    """
    phases = run.phases
    met = [e.train_accuracy for e in run.epochs if e.train_accuracy is not None]
    found: dict[str, float | None] = {
        "accuracy": run.figure("test_accuracy"),
        "train_accuracy": run.figure("train_accuracy"),
        "running_accuracy": run.epochs[-1].running_accuracy if run.epochs else None,
        "best_train_accuracy": max(met, default=None),
        "gap": run.figure("generalization_gap"),
        "loss": run.figure("test_loss"),
        "largest_rise": _largest_rise([e.running_loss for e in run.epochs]),
        "epochs": float(len(run.epochs)),
        "updates": float(run.updates),
        "parameters": float(run.parameters),
        "memory": run.peak_memory_bytes,
        "startup": phases.import_seconds + phases.build_seconds + phases.warm_up_seconds,
        "total_time": phases.wall_seconds,
        **_times("", [e.train_seconds for e in run.epochs],
                 [e.evaluate_seconds for e in run.epochs]),
        **_times("cpu_", [e.cpu_seconds for e in run.epochs],
                 [e.evaluate_cpu_seconds for e in run.epochs]),
    }  # fmt: skip
    return {k: float(v) for k, v in found.items() if v is not None and math.isfinite(v)}


def _times(
    kind: str, train: Sequence[float | None], evaluate: Sequence[float | None]
) -> dict[str, float | None]:
    """Return the times of an epoch, with evaluation and without, and of all epochs."""
    trained = [seconds for seconds in train if seconds is not None]
    both = [a + b for a, b in zip(train, evaluate, strict=True) if None not in (a, b)]  # type: ignore[operator]
    whole = len(train) == len(trained) > 0
    return {
        f"{kind}time": epoch_time(trained) if whole else None,
        f"{kind}time_with_evaluation": epoch_time(both) if len(both) == len(train) > 0 else None,
        f"{kind}training_time": sum(trained) if whole else None,
    }


def _largest_rise(losses: Sequence[float | None]) -> float | None:
    """Return the most by which a loss rose from an epoch to the next, as a part of the first."""
    known = [loss for loss in losses if loss is not None]
    if len(known) < 2 or len(known) < len(losses) or not known[0]:
        return None
    return max(b - a for a, b in pairwise(known)) / known[0]


def by_seed(study: str, runs: Sequence[RunResult]) -> dict[int, Figures]:
    """Return the figures of the study's runs by seed and case; the latest where there are more."""
    found: defaultdict[int, dict[str, Figure]] = defaultdict(dict)
    for run in runs:
        name, _, case = str(run.config.get("case") or "").partition("/")
        over = run.status in ("finished", "diverged")
        if name == study and over and standing(run).ranked:
            found[run.config["seed"]][case] = run_figures(run)
    return dict(found)
