"""Whether a run's figures are what its own weights come to, and those of the reference's epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Any

import numpy as np

from nnbench.backends.evaluation import Evaluated
from nnbench.backends.parity import ENVELOPE_FACTOR, Agreement
from nnbench.formatting import count, percent
from nnbench.model.metrics import NEAR_TIE
from nnbench.records.run import EpochRecord
from nnbench.schema.deferred import dataclass

# How each split is called in figures: `train_loss` is taken on `train_eval`.
SPLITS = {"test": "test", "val": "val", "train_eval": "train"}
LOSSES = ("running_loss", "train_loss", "test_loss", "val_loss")
ACCURACIES = ("train_accuracy", "test_accuracy", "val_accuracy")


@dataclass(frozen=True)
class Figures:
    """What checking the figures of a run came to.

    `wrong` says of each figure that is wrong what was recorded and what is right; `unchecked`
    why nothing could be checked; `undecided` counts, by split, the samples of which rounding
    decides whether they are right.
    """

    wrong: tuple[str, ...] = ()
    unchecked: str | None = None
    undecided: Mapping[str, int] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Return what run.json keeps."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Figures:
        """Return what `as_data` returned."""
        return cls(tuple(data["wrong"]), data["unchecked"], data["undecided"])


def judge(
    kept: EpochRecord, evaluated: Mapping[str, Evaluated], logits: Mapping[str, Any]
) -> Figures:
    """Hold the figures of the kept epoch, and recorded `logits`, against what is `evaluated`.

    Both by split. `logits`: what the backend said of a split `(n, outputs)`, where it is kept.
    """
    wrong: list[str] = []
    for split, found in evaluated.items():
        name = SPLITS[split]
        loss, accuracy = getattr(kept, f"{name}_loss"), getattr(kept, f"{name}_accuracy")
        wrong += _wrong_accuracy(f"{name} accuracy", accuracy, found)
        wrong += _wrong_loss(f"{name} loss", loss, found.loss, found.loss_envelope)
        wrong += wrong_logits(name, logits.get(split), found)
    undecided = {
        name: found.right[1] - found.right[0]
        for name, found in evaluated.items()
        if found.right and found.right[1] > found.right[0]
    }
    return Figures(tuple(wrong), None, undecided)


def judge_epochs(
    reference: Sequence[EpochRecord],
    perturbed: Sequence[EpochRecord],
    found: Sequence[EpochRecord],
    agreements: Sequence[Agreement],
    samples: Mapping[str, int],
) -> tuple[str, ...]:
    """Hold the figures of every epoch that is compared against the reference's own; say the first.

    `agreements` are those of the weights, `samples` the sizes of the splits by figure. Losses may
    be off by what one ulp in the initial weights makes of them, times the factor; accuracies by
    the samples whose two best logits nearly tie (`EpochRecord.test_ties`), and by nothing known
    where a split's loss may be off by more than those ties are counted for: the biases that batch
    norm takes away wander, and in evaluation its mean lags behind them.
    """
    apart = dict.fromkeys(LOSSES, 0.0)
    for right, moved, said, agreement in zip(reference, perturbed, found, agreements, strict=False):
        wrong: list[str] = []
        where = f"in epoch {right.epoch + 1}"
        for name in LOSSES:
            expected, other = getattr(right, name), getattr(moved, name)
            if expected is None or other is None:
                continue
            moved_by = max(abs(other - expected), agreement.one_ulp * abs(expected))
            apart[name] = max(apart[name], moved_by)
            envelope = ENVELOPE_FACTOR * apart[name]
            told = f"{name.replace('_', ' ')} {where}"
            wrong += _wrong_loss(told, getattr(said, name), expected, envelope)
        for name in ACCURACIES:
            split = name.partition("_")[0]
            n, loss = samples.get(split, 0), getattr(right, f"{split}_loss")
            if ENVELOPE_FACTOR * apart[f"{split}_loss"] > NEAR_TIE * max(1.0, abs(loss or 0.0)):
                continue
            wrong += _apart(f"{name.replace('_', ' ')} {where}", right, moved, said, name, n)
        if wrong:
            return tuple(wrong)
    return ()


def _apart(
    told: str, right: EpochRecord, moved: EpochRecord, said: EpochRecord, name: str, n: int
) -> list[str]:
    """Return what is wrong with an accuracy on `n` samples, an empty list for nothing."""
    expected, other, found = (getattr(record, name) for record in (right, moved, said))
    if expected is None or other is None:
        return []
    ties = getattr(right, f"{name.partition('_')[0]}_ties") or 0
    allowed = ties + 2 * round(abs(other - expected) * n)
    if found is not None and round(abs(found - expected) * n) <= allowed:
        return []
    return [f"{told} {_said(found)} where the reference has {percent(expected)}"]


def _wrong_loss(name: str, said: float | None, right: float, envelope: float) -> list[str]:
    finite = said is not None and math.isfinite(said)
    if not math.isfinite(right):
        return [f"{name} {said:.6g} where its weights give none"] if finite else []
    if said is not None and abs(said - right) <= envelope:
        return []
    return [f"{name} {'not finite' if said is None else f'{said:.6g}'}, right is {right:.6g}"]


def _wrong_accuracy(name: str, said: float | None, found: Evaluated) -> list[str]:
    if found.right is None:
        return []
    n, (fewest, most) = len(found), found.right
    if said is not None and fewest <= round(said * n) <= most:
        return []
    near = f" to {percent(most / n)}" if most > fewest else ""
    return [f"{name} {_said(said)}, right is {percent(fewest / n)}{near}"]


def _said(accuracy: float | None) -> str:
    return "none" if accuracy is None else percent(accuracy)


def wrong_logits(name: str, said: Any, found: Evaluated) -> list[str]:
    """Return what is wrong with the logits of a split, an empty list for nothing or no logits."""
    if said is None:
        return []
    if said.shape != found.logits.shape:
        return [f"{name} predictions of shape {said.shape}, right is {found.logits.shape}"]
    if not np.isfinite(found.logits).all():  # its weights give no numbers, nor does rounding
        return [] if not np.isfinite(said).all() else [f"{name} predictions are all finite"]
    off = np.abs(said - found.logits)
    bad = int((~(off <= found.logit_envelope)).any(axis=1).sum())
    if not bad:
        return []
    return [
        f"{name} predictions of {count(bad, 'sample')} off by up to {float(off.max()):.1e}, "
        f"allowed {found.logit_envelope:.1e}"
    ]
