"""Certificates made: who is compared with whom, and what their records come to."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnbench.backends.parity import compare
from nnbench.config.backend import is_own
from nnbench.formatting import count
from nnbench.model.network import ParamKey
from nnbench.records import trajectory, weights
from nnbench.records.certificate import Certificate, label, pair_key
from nnbench.records.figures import Figures, judge_epochs
from nnbench.records.run import RunResult


def groups(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """Return the matched, finished runs that differ in the backend alone, the reference first.

    The reference is NumPy where it took part, else a backend of nnbench's own, else whoever ran
    first. Runs that differ in their case alone are of one group, all of them.
    """
    found: defaultdict[str, list[RunResult]] = defaultdict(list)
    for run in runs:
        if run.semantics == "matched" and run.status == "finished":
            found[pair_key(run)].append(run)
    ordered = (
        sorted(group, key=lambda run: rank(run.config["backend"])) for group in found.values()
    )
    return [group for group in ordered if len({_backend(run) for run in group}) > 1]


def _backend(run: RunResult) -> str:
    return json.dumps(run.config["backend"], sort_keys=True, default=str)


def rank(backend: Mapping[str, Any]) -> int:
    """Return the place of a backend (its values) among those that could be the reference."""
    if not is_own(backend):
        return 2
    return 0 if str(backend.get("_target_")).startswith("nnbench.backends.numpy.") else 1


def certify(
    reference: RunResult, perturbed: RunResult, run: RunResult, figures: Figures
) -> Certificate:
    """Compare the recorded way of `run` with those of `reference` and its perturbed twin.

    `figures`: what recomputing those of the kept epoch came to. Raises NNBenchError where a way
    cannot be read.
    """
    excluded = [ParamKey.parse(name) for name in run.without_effect]
    three = (reference, perturbed, run)
    right, moved, way = (trajectory.load(_directory(each)) for each in three)
    steps = right.first.keys() & moved.first.keys() & way.first.keys()
    first = {
        s: compare(right.first[s], moved.first[s], way.first[s], excluded) for s in sorted(steps)
    }
    ways = zip(right.epochs, moved.epochs, way.epochs, strict=False)
    epochs = [compare(a, b, c, excluded) for a, b, c in ways]
    kept = run.kept_epoch
    if kept is not None and all(each.kept_epoch == kept < len(epochs) for each in three):
        a, b, c = (weights.load_weights(_directory(each)) for each in three)
        epochs[kept] = compare(a, b, c, excluded)
    samples = _samples(run)
    found = Certificate(
        backend=label(run),
        dtype=run.config["dtype"],
        seed=run.config["seed"],
        reference=label(reference),
        steps=run.updates,
        first=first,
        epochs=tuple(epochs),
        layers=tuple(row.layer for row in run.layers),
    )
    recorded = (reference.epochs, perturbed.epochs, run.epochs)
    parted = found.parted_epoch
    stable = found.epochs[: found.compared_epochs if parted is None else parted]
    wrong = (*figures.wrong, *judge_epochs(*recorded, stable, samples))
    short = len(run.epochs) > len(found.epochs)
    doubt = f"{label(reference)} stopped after {count(len(found.epochs), 'epoch')}"
    return dataclasses.replace(
        found,
        figures=dataclasses.replace(figures, wrong=wrong),
        doubt=doubt if short and found.verdict.outcome == "agrees" else None,
    )


def alone(run: RunResult, figures: Figures, doubt: str | None = None) -> Certificate:
    """Return the certificate of a run that is compared with no other."""
    return Certificate(
        label(run), run.config["dtype"], run.config["seed"], figures=figures, doubt=doubt
    )


def _directory(run: RunResult) -> Path:
    assert run.directory is not None
    return run.directory


def _samples(run: RunResult) -> dict[str, int]:
    """Return how many samples each figure is taken on, by the first word of its name."""
    sizes = run.data["samples"]
    wanted = run.config["eval"]["train_samples"]
    train = sizes["train"] if wanted is None else min(wanted, sizes["train"])
    return sizes | {"train": train, "running": run.visited}
