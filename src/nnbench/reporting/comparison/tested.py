"""What runs make of their test samples, by the files beside the record, and which these are.

Logits that a certificate recomputed from the run's weights come first; what the backend said of
itself is used where there are none, and said to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench import data
from nnbench.data.config import DataConfig
from nnbench.errors import NNBenchError, ResultsError
from nnbench.model.layers import ActivationName
from nnbench.model.losses import Loss
from nnbench.model.metrics import OUTPUT_ACTIVATIONS, predicted, sample_losses
from nnbench.records import recomputed
from nnbench.records.run import RunResult
from nnbench.records.weights import load_predictions
from nnbench.reporting.statistics import Scores
from nnbench.schema import read as read_as
from nnbench.schema.deferred import dataclass
from nnbench.schema.files import note

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Tested:
    """A run on its test split: what each of its `n` samples comes to.

    `targets` are labels `(n,)` or values `(n, k)`. `values` `(n,)`: 1 and 0 for right and wrong,
    the loss in regression; None where that is unknown or not finite. For labels `predicted` `(n,)`
    is -1 where a logit is no number, `confidence` `(n,)` the output of that label. `checked`: by
    the reference's logits, from the run's own weights.
    """

    targets: NDArray[Any]
    values: Vector | None
    checked: bool
    predicted: NDArray[np.int64] | None = None
    confidence: NDArray[np.floating] | None = None


Read = Callable[[RunResult], Tested | None]


@dataclass(frozen=True)
class _OfData:
    """What a configuration says of data."""

    data: DataConfig


@dataclass(frozen=True)
class _OfLoss:
    """What a configuration says of the loss."""

    loss: Loss


def read_tested(run: RunResult) -> Tested | None:
    """Return what `run` makes of its test samples; None where that is missing or damaged."""
    if run.directory is None:
        return None
    try:
        found = load_predictions(run.directory, (run.data.get("samples") or {}).get("test"))
    except ResultsError as error:
        note(str(error))
        return None
    if found is None:
        return None
    own, outputs, targets = (found[name] for name in ("logits", "outputs", "targets"))
    again = (recomputed.load(run.directory, ("test",)) or {}).get("test")
    checked = again is not None and again.shape == own.shape
    logits = again if again is not None and checked else own
    if targets.ndim > 1:
        return Tested(targets, _losses(run, logits, targets), checked)
    labels = predicted(logits)
    right = (labels == targets).astype(np.float64)
    return Tested(targets, right, checked, labels, outputs[np.arange(len(labels)), labels])


def once() -> Read:
    """Return what reads each run's files once, however often it is asked."""
    known: dict[Path | None, Tested | None] = {}

    def read(run: RunResult) -> Tested | None:
        if run.directory not in known:
            known[run.directory] = read_tested(run)
        return known[run.directory]

    return read


@dataclass(frozen=True)
class Scored:
    """The scores of a group's runs by seed; `checked` where all logits are."""

    by_seed: Mapping[int, Scores]
    checked: bool


def scored(
    groups: Sequence[Mapping[int, RunResult]], read: Read = read_tested
) -> list[Scored | None]:
    """Return the scores of each group's runs, None where a run has none.

    Right or wrong for labels, else each sample's loss. Samples have one number in all groups.
    """
    known: dict[tuple[int, int], tuple[RunResult, Tested, Vector]] = {}
    for i, group in enumerate(groups):
        for seed, run in group.items():
            found = read(run)
            if found is not None and found.values is not None:
                known[i, seed] = (run, found, found.values)
    named = dict(zip(known, _named([*known.values()]), strict=True))
    return [
        Scored(
            {seed: named[i, seed] for seed in group},
            all(known[i, seed][1].checked for seed in group),
        )
        if group and all((i, seed) in known for seed in group)
        else None
        for i, group in enumerate(groups)
    ]


def split_of(run: RunResult, plain: Mapping[str, Any] | None = None) -> data.Split | None:
    """Return the samples that `run` was tested on, None where they are not to be had here.

    They are loaded as it had them, or as `plain`, settings of the data, says.
    """
    try:
        config = read_as(_OfData, {"data": run.config["data"]}).data
        kind, seed = run.config["task"], run.config["seed"]
        found = data.load(config, kind=kind, seed=seed)
        if found.digests().get("test") != (run.data.get("digests") or {}).get("test"):
            return None
        if not plain:
            return found.splits["test"]
        other = replace(config, **plain)
        return data.load(other, kind=kind, seed=seed).splits["test"]
    except (NNBenchError, OSError, ValueError, KeyError, TypeError):
        return None


def _losses(run: RunResult, logits: NDArray[np.floating], targets: NDArray[Any]) -> Vector | None:
    """Return the loss of each sample `(n,)`; None where it is unknown or not finite."""
    try:
        loss = read_as(_OfLoss, {"loss": run.config["loss"]}).loss
        losses = sample_losses(logits, targets, loss, _activation(run))
    except (NNBenchError, KeyError):
        return None
    return losses if np.isfinite(losses).all() else None


def _activation(run: RunResult) -> ActivationName:
    """Return the output activation of a regression, of which `auto` means none."""
    named = (run.config.get("arch") or {}).get("output_activation")
    return named if named in OUTPUT_ACTIVATIONS else "linear"


def _named(known: Sequence[tuple[RunResult, Tested, Vector]]) -> list[Scores]:
    """Return the scores with a number for each sample, the same in every run that has it.

    Runs with one digest of the test split, and the same targets, have the same samples in the same
    order. Where there are several digests samples go by their content; where that is not to be had
    they are told apart by digest, which is not certain: splits may overlap.
    """
    splits = [
        f"{(run.data.get('digests') or {}).get('test') or run.run_id} {_hash(found.targets)}"
        for run, found, _ in known
    ]
    names: dict[str, NDArray[np.int64]] = {}
    if len(set(splits)) > 1:
        for (run, _, _), split in zip(known, splits, strict=True):
            contents = None if split in names else _contents(run)
            if contents is not None:
                names[split] = contents
    certain = len(set(splits)) == 1 or len(names) == len(set(splits))
    if not certain or not names:
        starts = {split: i << 40 for i, split in enumerate(dict.fromkeys(splits))}
        lengths = {split: len(values) for (_, _, values), split in zip(known, splits, strict=True)}
        names = {split: start + np.arange(lengths[split]) for split, start in starts.items()}
    return [
        Scores(values, names[split], certain)
        for (_, _, values), split in zip(known, splits, strict=True)
    ]


def _contents(run: RunResult) -> NDArray[np.int64] | None:
    """Return a number for each test sample `(n,)`, by its content; None where it is not at hand."""
    given = run.config.get("data") or {}
    scaled = [key for key in ("normalize", "normalize_targets") if given.get(key) == "standard"]
    split = split_of(run, dict.fromkeys(scaled, "none"))
    if split is None:
        return None
    return np.array([_hash(x, y) for x, y in zip(split.inputs, split.targets, strict=True)])


def _hash(*arrays: NDArray[Any]) -> int:
    """Return 63 bits of the SHA-256 over the bytes of `arrays`."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(sha.digest()[:8], "big") >> 1
