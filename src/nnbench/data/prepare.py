"""From a source's arrays to splits: stratified or plain splitting, first n, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.data.config import DataConfig
from nnbench.data.dataset import ArraySpec, Dataset, Split
from nnbench.errors import ConfigError, DataError
from nnbench.spec import TaskKind
from nnbench.streams import generator


@dataclass(frozen=True)
class Raw:
    """What a source yields: `train` and, where it brings one along, `test`.

    `test_fraction` is split off `train` where there is no test split. `scale` turns stored uint8
    into the unit interval (`normalize=unit`). `digest` is the SHA-256 of the payload.
    """

    name: str
    train: Split
    test: Split | None
    digest: str
    scale: float = 1.0
    test_fraction: float = 0.2


def prepare(raw: Raw, config: DataConfig, kind: TaskKind, split_seed: int) -> Dataset:
    """Split, cut and normalise `raw` as `config` says."""
    _check_kind(raw, kind)
    train, test = raw.train, raw.test
    if test is None:
        train, test = split_off(train, raw.test_fraction, split_seed, stratify=kind != "regression")
    train = _first(train, config.train_samples, "train", raw.name)
    test = _first(test, config.test_samples, "test", raw.name)
    splits = {"train": train, "test": test}
    if config.val_fraction:
        splits |= _validation(train, config.val_fraction)
    outputs = _outputs(raw, kind)
    splits, scale = _normalised(splits, config.normalize, raw.scale)
    inputs = splits["train"].inputs
    return Dataset(
        name=raw.name,
        splits=splits,
        inputs=ArraySpec(inputs.shape[1:], str(inputs.dtype), scale),
        targets=ArraySpec(train.targets.shape[1:], str(train.targets.dtype)),
        outputs=outputs,
        payload_digest=raw.digest,
    )


def split_off(
    split: Split, fraction: float, split_seed: int, *, stratify: bool
) -> tuple[Split, Split]:
    """Return (the rest, `fraction` of the samples), both in random order.

    Stratified: each class gives its share, rounded. At least one sample remains in each.
    """
    rng = generator(split_seed, "split")
    if stratify:
        classes = [np.flatnonzero(split.targets == k) for k in np.unique(split.targets)]
    else:
        classes = [np.arange(len(split))]
    rest, taken = [], []
    for members in classes:
        mixed = rng.permutation(members)
        cut = round(fraction * len(members))
        taken.append(mixed[:cut])
        rest.append(mixed[cut:])
    first, second = (rng.permutation(np.concatenate(part)) for part in (rest, taken))
    if not len(first) or not len(second):
        raise DataError(
            f"Received {len(split)} samples; data.test_fraction={fraction:g} leaves no sample on "
            "one side of the split."
        )
    return _take(split, first), _take(split, second)


def _take(split: Split, rows: Any) -> Split:
    return Split(split.inputs[rows], split.targets[rows])


def _first(split: Split, n: int | None, which: str, name: str) -> Split:
    if n is not None and n > len(split):
        raise DataError(
            f"Received data.{which}_samples={n}; {name} has {len(split):,} samples to {which}."
        )
    return split.first(n)


def _validation(train: Split, fraction: float) -> Mapping[str, Split]:
    """Cut the last `fraction` of the training samples off for validation."""
    count = round(fraction * len(train))
    if not 0 < count < len(train):
        raise DataError(
            f"Received data.val_fraction={fraction:g}; of {len(train)} training samples it leaves "
            "none on one side."
        )
    cut = len(train) - count
    return {"train": _take(train, slice(0, cut)), "val": _take(train, slice(cut, None))}


def _check_kind(raw: Raw, kind: TaskKind) -> None:
    labels = raw.train.targets.dtype.kind in "iu"
    if labels and kind == "regression":
        raise ConfigError(
            f"Received task=regression; {raw.name} has class labels, use task=classification."
        )
    if not labels and kind == "classification":
        raise ConfigError(
            f"Received task=classification; {raw.name} has real targets, use task=regression."
        )


def _outputs(raw: Raw, kind: TaskKind) -> int:
    """Return the number of classes, or of regression targets."""
    if kind == "regression":
        return int(raw.train.targets.shape[1])
    parts = [s.targets for s in (raw.train, raw.test) if s is not None]
    labels = np.concatenate(parts)
    if labels.min() < 0:
        raise DataError(f"{raw.name} has the label {labels.min()}; labels must be 0, 1, 2, ...")
    count = int(labels.max()) + 1
    if count < 2:
        raise DataError(f"{raw.name} has one class only; classification needs two or more.")
    return count


def _normalised(splits: dict[str, Split], how: str, scale: float) -> tuple[dict[str, Split], float]:
    """Return the splits normalised, and the scale that remains to be applied to uint8."""
    stored = splits["train"].inputs
    if how == "unit" or (how == "none" and stored.dtype != np.uint8):
        return splits, scale
    if how == "none":
        return splits, 1.0
    floats = stored.astype(np.float64)
    # Images share one mean and deviation, so that their pixels stay comparable.
    axis: int | None = None if stored.dtype == np.uint8 else 0
    mean, deviation = floats.mean(axis=axis), floats.std(axis=axis)
    deviation = np.where(deviation == 0, 1.0, deviation)

    def standard(x: NDArray[Any]) -> NDArray[np.float64]:
        return (x.astype(np.float64) - mean) / deviation

    return {name: Split(standard(s.inputs), s.targets) for name, s in splits.items()}, 1.0
