"""What all data sets have in common: from a payload to splits, cut, normalised and described.

The order is: split (where the payload brings none), keep the first n, cut off the validation
part, fill in what is missing and normalise, both by what is then left to train on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import DataConfig, Normalize, Sequences, Synthetic
from nnbench.data.dataset import ArraySpec, Dataset, Split
from nnbench.errors import ConfigError, DataError
from nnbench.model import streams
from nnbench.model.losses import TaskKind
from nnbench.schema.deferred import dataclass

Splits = dict[str, Split]
SPLIT_NAMES = ("train", "test")
MIN_PIXELS = 16
MIN_IMAGE_AXES = 3  # with that of the samples


@dataclass(frozen=True)
class Payload:
    """A data set as published.

    `parts` holds `train` and `test`, or `all`, of which `test_fraction` is to be split off, and
    maybe `val`. `unit_scale` is the factor that brings 8-bit inputs to 0..1. `origin` names the
    data set in messages. `digest` is its SHA-256. `guessed` is how a file was understood where
    nobody said (see `nnbench.data.reading`). Inputs may be NaN where a value is missing.
    """

    parts: Splits
    digest: str
    origin: str
    unit_scale: float = 1.0 / 255.0
    test_fraction: float = 0.2
    guessed: dict[str, Any] = field(default_factory=dict)


def build(payload: Payload, config: DataConfig, kind: TaskKind, seed: int) -> Dataset:
    """Return the data set that `config` asks for.

    Raises ConfigError where the targets do not fit the task, DataError where the payload is
    malformed or too small for what is asked.
    """
    outputs = _outputs(payload, kind)
    split_seed = seed if config.split_seed is None else config.split_seed
    splits = payload.parts
    if "all" in splits:
        stratify = kind == "classification" and getattr(config, "stratify", True)
        splits = _split(payload, stratify, config.name, split_seed)
    kept = {"train": config.train_samples, "test": config.test_samples}
    splits = {name: _first(splits[name], n, name) for name, n in kept.items()}
    splits = _with_validation(splits, config.val_fraction)
    if "val" in payload.parts and not config.val_fraction:
        splits["val"] = payload.parts["val"]
    splits = _filled(splits, payload.origin)
    normalize = config.normalize
    guessed: dict[str, Any] = {}
    if normalize == "auto":
        splits, normalize, guessed = _chosen(splits)
    splits, scale, standard = _normalised(splits, normalize, payload.unit_scale)
    splits, target_scale = _standardized(splits, config.normalize_targets, kind)
    train = splits["train"]
    return Dataset(
        name=config.name,
        splits=splits,
        samples={name: len(split) for name, split in splits.items()},
        inputs=ArraySpec(train.inputs.shape[1:], str(train.inputs.dtype), scale, standard),
        targets=ArraySpec(train.targets.shape[1:], str(train.targets.dtype)),
        outputs=outputs,
        payload_digest=payload.digest,
        guessed=payload.guessed | guessed,
        target_scale=target_scale,
    )


def identity(sha256: str, guessed: Mapping[str, Any]) -> str:
    """Return the digest of a file as it was understood: its own where nothing was guessed."""
    if not guessed:
        return sha256
    return hashlib.sha256(f"{sha256}{json.dumps(guessed, sort_keys=True)}".encode()).hexdigest()


def are_pixels(inputs: Sequence[NDArray[Any]]) -> bool:
    """Tell 8-bit images from tables of small whole numbers, such as flags or counts.

    They have more than 16 values a sample, all whole numbers from 0 to 255, some beyond 127.
    """
    return (
        inputs[0][0].size > MIN_PIXELS
        and all(x.min() >= 0 and x.max() <= 255 and (x == np.floor(x)).all() for x in inputs)
        and max(x.max() for x in inputs) > 127
    )


def generated(config: Synthetic | Sequences, split: Split) -> Payload:
    """Return samples that were drawn for `config`, to be split."""
    drawn = digest(split.inputs, split.targets)
    origin = f"data={config.name}"
    return Payload({"all": split}, drawn, origin, test_fraction=config.test_fraction)


def only(payload: Payload, part: str | None, test_fraction: float) -> Payload:
    """Return the payload with `part` alone, to be split; all of it for None."""
    if part is None:
        return payload
    return replace(payload, parts={"all": payload.parts[part]}, test_fraction=test_fraction)


def digest(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 over the bytes of `arrays`."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _outputs(payload: Payload, kind: TaskKind) -> int:
    """Return the number of logits: classes, or the width of the targets."""
    origin, targets = payload.origin, [part.targets for part in payload.parts.values()]
    labelled = all(t.dtype.kind == "i" for t in targets)
    if kind == "regression" and labelled:
        raise ConfigError(
            f"Received task=regression; {origin} has class labels, use task=classification."
        )
    if kind == "classification" and not labelled:
        raise ConfigError(
            f"Received task=classification; {origin} has numbers for targets, use task=regression."
        )
    if kind == "regression":
        return int(targets[0].shape[1])
    low, high = (int(f(f(t) for t in targets)) for f in (min, max))
    samples = sum(len(t) for t in targets)
    if low < 0 or high >= max(samples, 1000):
        raise DataError(
            f"Received labels from {low} to {high} in {origin}; must be 0 to k-1 for k classes."
        )
    if high < 1:
        raise DataError(
            f"Received only label 0 in {origin}; classification needs at least 2 classes."
        )
    return high + 1


def _split(payload: Payload, stratify: bool, name: str, seed: int) -> Splits:
    """Shuffle, then give `test_fraction` to test; class by class where it is stratified.

    Both parts stay shuffled, so that their first n samples are a fair mix.
    """
    whole, fraction = payload.parts["all"], payload.test_fraction
    rng = streams.generator(seed, "split", name)
    order = rng.permutation(len(whole))
    groups = whole.targets[order] if stratify else np.zeros(len(whole), np.int64)
    testing = np.zeros(len(whole), dtype=bool)
    for group in np.flatnonzero(np.bincount(groups)):
        members = np.flatnonzero(groups == group)
        # One of each class stays to be trained on, however large the fraction.
        testing[members[: min(round(len(members) * fraction), len(members) - 1)]] = True
    if not testing.any():
        raise DataError(
            f"Received data.test_fraction={fraction:g}; of the {len(whole)} samples of "
            f"{payload.origin} that leaves none to test on, raise it or bring more samples."
        )
    # Shuffled again: what is left of `order` begins with the class that gave its share first.
    chosen = {name: rng.permutation(order[testing == (name == "test")]) for name in SPLIT_NAMES}
    return {name: Split(whole.inputs[rows], whole.targets[rows]) for name, rows in chosen.items()}


def _first(split: Split, n: int | None, name: str) -> Split:
    if n is not None and n > len(split):
        raise DataError(
            f"Received data.{name}_samples={n}; must be at most {len(split)}, the size of "
            "the split (null takes all)."
        )
    return split.first(n)


def _with_validation(splits: Splits, fraction: float) -> Splits:
    """Cut the last `fraction` off the training samples."""
    if fraction == 0:
        return splits
    train = splits["train"]
    keep = len(train) - round(len(train) * fraction)
    if keep in (0, len(train)):
        raise DataError(
            f"Received data.val_fraction={fraction:g}; of {len(train)} training samples that "
            f"leaves none to {'train on' if keep == 0 else 'validate with'}."
        )
    return splits | {
        "train": train.first(keep),
        "val": Split(train.inputs[keep:], train.targets[keep:]),
    }


def _filled(splits: Splits, origin: str) -> Splits:
    """Put the mean of the training samples where a value is missing, column by column."""
    if not any(s.inputs.dtype.kind == "f" and np.isnan(s.inputs).any() for s in splits.values()):
        return splits
    train = splits["train"].inputs
    known = ~np.isnan(train)
    if not known.any(axis=0).all():
        column = int(np.flatnonzero(~known.any(axis=0))[0])
        raise DataError(
            f"Received data.missing=mean; in {origin} no training sample has a value for "
            f"input {column} (from 0), leave its column out with data.drop"
        )
    mean = np.where(known, train, 0.0).sum(axis=0) / known.sum(axis=0)
    return {
        name: Split(np.where(np.isnan(split.inputs), mean, split.inputs), split.targets)
        for name, split in splits.items()
    }


def _chosen(splits: Splits) -> tuple[Splits, Normalize, dict[str, Any]]:
    """Return what `normalize=auto` comes to: splits, the normalization, and what to note of it."""
    inputs = splits["train"].inputs
    if inputs.dtype.kind != "f":
        return splits, "unit", {}
    low, high = float(inputs.min()), float(inputs.max())
    if low >= -1.0 and high <= 1.0:
        return splits, "none", {}
    if inputs.ndim >= MIN_IMAGE_AXES and low >= 0.0 and high <= 255.0:
        divided = {name: Split(s.inputs / 255.0, s.targets) for name, s in splits.items()}
        return divided, "none", {"normalize": "255"}
    return splits, "standard", {"normalize": "standard"}


def _normalised(
    splits: Splits, normalize: Normalize, unit_scale: float
) -> tuple[Splits, float, tuple[float, float] | None]:
    """Return the splits, the scale that backends apply to 8-bit inputs, and `ArraySpec.standard`.

    `standard`: `(x - mean) / deviation` over the training samples, images as a whole, tables by
    column (population deviation; a constant divides by 1).
    """
    inputs = splits["train"].inputs
    stored = inputs.dtype == np.uint8
    if inputs.dtype == np.int64:
        if normalize == "standard":
            raise ConfigError(
                "Received data.normalize=standard; tokens are not quantities, use unit or none."
            )
        return splits, 1.0, None
    if normalize != "standard":
        return splits, unit_scale if stored and normalize == "unit" else 1.0, None
    mean, deviation = _moments(inputs, None if stored or inputs.ndim >= MIN_IMAGE_AXES else 0)
    moved = {
        name: Split(
            (split.inputs - mean) / deviation, split.targets, split.inputs if stored else None
        )
        for name, split in splits.items()
    }
    return moved, 1.0, (float(mean), float(deviation)) if stored else None


def _moments(values: NDArray[Any], axis: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and population deviation; of what is constant its value and 1."""
    # Minimum and maximum decide what is constant: rounding gives a constant column a tiny
    # deviation, and dividing by that would turn it into noise.
    constant = values.min(axis=axis) == values.max(axis=axis)
    mean = np.where(constant, values.min(axis=axis), values.mean(axis=axis, dtype=np.float64))
    return mean, np.where(constant, 1.0, values.std(axis=axis, dtype=np.float64))


def _standardized(
    splits: Splits, normalize_targets: str, kind: TaskKind
) -> tuple[Splits, dict[str, list[float]]]:
    """Return the splits with targets `(t - mean) / deviation`, and what these are of each output.

    Both are of the training samples alone. Raises ConfigError for class labels.
    """
    if normalize_targets == "none":
        return splits, {}
    if kind != "regression":
        raise ConfigError(
            f"Received data.normalize_targets={normalize_targets} with task={kind}; class labels "
            "are not quantities: leave it out, or use task=regression."
        )
    mean, deviation = _moments(splits["train"].targets, 0)
    scaled = {
        name: Split(split.inputs, (split.targets - mean) / deviation, split.pixels)
        for name, split in splits.items()
    }
    return scaled, {"mean": mean.tolist(), "deviation": deviation.tolist()}
