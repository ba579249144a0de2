"""What no named formula covers: a framework's own run against its formulas written out.

Shares add up whatever is named. That the names are the right ones is shown by weights: from equal
weights and order, a framework and its formulas written out end with equal weights. Where they do
not, it computes something that has no name here, and that is said before everything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nnbench.errors import DataError
from nnbench.formatting import number, percent
from nnbench.records.run import RunResult
from nnbench.records.weights import load_weights
from nnbench.reporting.explain.change import Values
from nnbench.reporting.explain.native import Proof

APART = 1e-3  # of the largest weight: where a comparison of backends calls a net chaotic, too
FIGURES_APART = 0.01  # of the test loss, or in accuracy: what equal weights cannot have
UNNAMED = "NOT EXPLAINED BY A NAMED FORMULA"
Run = Callable[[Sequence[Values]], Sequence[RunResult]]


def unnamed(proofs: Sequence[Proof], run: Run) -> list[str]:
    """Return a sentence for each proof that fails; `run` trains configurations.

    In float32 a failure is tried again in float64, where rounding cannot be the reason.
    """
    if not proofs:
        return []
    found = []
    all_runs = iter(run([values for proof in proofs for values in (proof.own, proof.written)]))
    for proof in proofs:
        runs: Sequence[RunResult] = (next(all_runs), next(all_runs))
        if differ(*runs) and proof.own["dtype"] == "float32":
            exact = [dict(values) | {"dtype": "float64"} for values in (proof.own, proof.written)]
            runs = run(exact)
        if how := differ(*runs):
            found.append(_sentence(proof.said, runs, how))
    return found


def differ(own: RunResult, written: RunResult) -> str:
    """Say how two runs differ that should be equal to rounding, nothing where they are.

    Weights are compared, and test figures: a net may be evaluated by another formula, too.
    """
    far = apart(own, written)
    if far > APART:
        finite = math.isfinite(far)
        return f"by {100 * far:.2g} % of the largest weight" if finite else "without bounds"
    for name in ("test_loss", "test_accuracy"):
        a, b = own.figure(name), written.figure(name)
        if a is None or b is None:
            continue
        size = max(abs(a), abs(b)) if name == "test_loss" else 1.0
        if abs(a - b) > FIGURES_APART * size:
            return "in their test figures, with equal weights"
    return ""


def apart(own: RunResult, written: RunResult) -> float:
    """Return the largest difference of two runs' weights relative to the largest weight.

    Infinite where there is nothing to compare. What only wanders (a bias before a batch norm) is
    left out.
    """
    if own.directory is None or written.directory is None:
        return math.inf
    try:
        a, b = load_weights(own.directory), load_weights(written.directory)
    except DataError:
        return math.inf
    if {k: v.shape for k, v in a.items()} != {k: v.shape for k, v in b.items()}:
        return math.inf
    counted = [key for key in a if str(key) not in own.without_effect]
    largest = float(np.max([np.abs(b[key]).max() for key in counted]))
    far = float(np.max([np.abs(a[key].astype(np.float64) - b[key]).max() for key in counted]))
    return far / largest if math.isfinite(far) and largest > 0.0 else math.inf


def _sentence(said: str, runs: Sequence[RunResult], how: str) -> str:
    told = []
    for run in runs:
        accuracy, loss = run.figure("test_accuracy"), run.figure("test_loss")
        if loss is None:
            told.append("diverged")
        else:
            told.append(percent(accuracy) if accuracy is not None else number(loss))
    figure = "test accuracy" if runs[0].figure("test_accuracy") is not None else "test loss"
    return (
        f"{UNNAMED}: {said} differ {how} ({figure} {told[0]} against "
        f"{told[1]}). That is counted as the framework; the shares of named formulas are those "
        "between runs with formulas written out."
    )
