"""The parity certificate: do matched runs that differ in the backend alone agree, to rounding?

Every run keeps a sample of its weights after each epoch (`nnbench.records.trajectory`). One more
run of the reference, its initial weights moved by one ulp, tells how much rounding alone does.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnbench.backends.parity import Agreement, Verdict, compare, verdict
from nnbench.config.run import label_of
from nnbench.formatting import count
from nnbench.model.network import ParamKey
from nnbench.records import identity, trajectory
from nnbench.records.run import RunResult


@dataclass(frozen=True)
class Certificate:
    """How far one backend drifted from the reference, epoch by epoch.

    `step` counts from 1 within the epoch of `verdict.parted`, `layer` from 0: the first to part;
    None where nothing did, or where it was not looked for.
    """

    backend: str
    reference: str
    dtype: str
    seed: int
    epochs: tuple[Agreement, ...]
    layers: tuple[str, ...]
    verdict: Verdict
    step: int | None = None
    layer: int | None = None

    def as_data(self) -> dict[str, Any]:
        """Return what run.json keeps: outcome, and the drift by epoch and by layer."""
        return {
            "outcome": self.verdict.outcome,
            "reference": self.reference,
            "compared_epochs": self.verdict.compared,
            "parted_epoch": self.verdict.parted,
            "parted_step": self.step,
            "parted_layer": self.layer,
            "difference": [a.difference for a in self.epochs],
            "envelope": [a.envelope for a in self.epochs],
            "layer_differences": [a.differences for a in self.epochs],
            "layer_one_ulps": [a.one_ulps for a in self.epochs],
        }

    def __str__(self) -> str:
        """Return the verdict as a sentence."""
        pair = f"{self.backend} against {self.reference}, {self.dtype}, seed {self.seed}"
        compared = self.verdict.compared
        if self.verdict.parted is not None:
            at = self.epochs[self.verdict.parted]
            layer = at.layer if self.layer is None else self.layer
            where = f"epoch {self.verdict.parted + 1}"
            where += f", step {self.step}" if self.step is not None else ""
            return (
                f"parity FAIL: {pair}: they diverge at {where}, most in layer {layer + 1} "
                f"({self.layers[layer]}): {at.difference:.1e} of the largest weight, allowed "
                f"{at.envelope:.1e}"
            )
        if not compared:
            return f"parity chaotic: {pair}: one ulp alone grows past {1e-3:g} in the first epoch"
        at = self.epochs[compared - 1]
        agree = (
            f"after {count(compared, 'epoch')} weights differ by {at.difference:.1e} "
            f"of the largest, allowed {at.envelope:.1e}"
        )
        if self.verdict.outcome == "chaotic":
            return f"parity chaotic: {pair}: {agree}; then one ulp alone grows past {1e-3:g}"
        return f"parity pass: {pair}: {agree}"


def pair_key(run: RunResult) -> str:
    """Return what two runs must share to differ in the backend alone."""
    kept = {k: v for k, v in run.config.items() if k not in (*identity.LEFT_OUT, "backend", "case")}
    return json.dumps(kept, sort_keys=True, default=str)


def label(run: RunResult) -> str:
    """Return what tells a run's backend from others."""
    return label_of(run.config["backend"])


def groups(runs: Sequence[RunResult]) -> list[list[RunResult]]:
    """Return the matched, finished runs that differ in the backend alone, the reference first.

    The reference is NumPy where it took part, else whoever ran first.
    """
    found: defaultdict[str, dict[str, RunResult]] = defaultdict(dict)
    for run in runs:
        if run.semantics == "matched" and run.status == "finished":
            found[pair_key(run)].setdefault(label(run), run)
    ordered = (
        sorted(group.values(), key=lambda run: not _is_numpy(run.config["backend"]))
        for group in found.values()
    )
    return [group for group in ordered if len(group) > 1]


def _is_numpy(backend: Mapping[str, Any]) -> bool:
    """Tell nnbench's own NumPy backend from one that a package calls so."""
    return backend["name"] == "numpy" and not backend.get("origin")


def certify(reference: RunResult, perturbed: RunResult, run: RunResult) -> Certificate:
    """Compare the recorded trajectories of `run`, `reference` and its perturbed twin."""
    excluded = [ParamKey.parse(name) for name in run.without_effect]
    paths = []
    for each in (reference, perturbed, run):
        assert each.directory is not None
        paths.append(trajectory.load(each.directory))
    epochs = tuple(
        compare(expected, moved, found, excluded)
        for expected, moved, found in zip(*paths, strict=False)
    )
    return Certificate(
        backend=label(run),
        reference=label(reference),
        dtype=run.config["dtype"],
        seed=run.config["seed"],
        epochs=epochs,
        layers=tuple(row.layer for row in run.layers),
        verdict=verdict(epochs),
    )


def sentences(runs: Sequence[RunResult]) -> list[str]:
    """Return one sentence for all passes of a pair of backends, one for each other outcome."""
    passed: defaultdict[tuple[str, str, str], list[RunResult]] = defaultdict(list)
    for run in runs:
        assert run.parity is not None
        if run.parity["outcome"] == "pass":
            passed[label(run), run.parity["reference"], run.config["dtype"]].append(run)
    lines = [run.parity["text"] for run in runs if run.parity and run.parity["outcome"] != "pass"]
    for (backend, reference, dtype), group in passed.items():
        found = [run.parity for run in group if run.parity]
        if len(group) == 1:
            lines.append(found[0]["text"])
            continue
        worst = max(c["difference"][-1] for c in found)
        allowed = min(c["envelope"][-1] for c in found)
        lines.append(
            f"parity pass: {backend} against {reference}, {dtype}, {len(group)} pairs of runs: "
            f"final weights differ by at most {worst:.1e} of the largest, allowed {allowed:.1e}"
        )
    return lines
