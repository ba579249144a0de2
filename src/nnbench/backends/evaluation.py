"""What a net's weights come to on the data, by the NumPy reference in float64.

How much of it rounding decides is measured: the same weights, moved by one ulp of their own
dtype, are evaluated too, and backends may be off by `ENVELOPE_FACTOR` times what that makes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.parity import ENVELOPE_FACTOR, moved_by_one_ulp
from nnbench.backends.protocol import Params, Task
from nnbench.data.dataset import Split
from nnbench.model import metrics
from nnbench.schema.deferred import dataclass

MOVED_ROWS = 1000  # of a split, evenly spread, that are evaluated from one ulp away
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluated:
    """The `logits` `(n, outputs)` of a split and its mean `loss`, each with what rounding allows.

    `right` are the fewest and the most samples that may count as right: those whose label has the
    largest logit by more than twice `logit_envelope`, and those whose label is no further below
    the largest. None in regression.
    """

    logits: Float
    logit_envelope: float
    loss: float
    loss_envelope: float
    right: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.logits)


class Evaluator:
    """The NumPy reference of `task` over `splits`, for weights that others have trained."""

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        from nnbench.backends.numpy import NumpyTrainer

        self.task, self.splits = task, dict(splits)
        self._spread = {name: _spread(split) for name, split in splits.items()}
        plain = dataclasses.replace(
            task, dtype="float64", device="cpu", execution="reference", semantics="matched"
        )
        few = {f"{name}, spread": split for name, split in self._spread.items()}
        self._reference = NumpyTrainer(plain, self.splits | few)

    def evaluate(self, params: Params, split: str) -> Evaluated:
        """Return what `params` come to on `split`."""
        eps = {d: float(np.finfo(d).eps) for d in (self.task.dtype, "float64")}
        self._load(params)
        logits = self._reference.evaluate(split)
        few = self._reference.evaluate(f"{split}, spread")
        self._load(moved_by_one_ulp(params))
        moved = self._reference.evaluate(f"{split}, spread")
        losses = self._losses(few, self._spread[split])
        by_sample = np.abs(self._losses(moved, self._spread[split]) - losses)
        mean, largest = float(losses.mean()), float(np.abs(logits).max())
        logit = max(float(np.abs(moved - few).max()), eps[self.task.dtype] * largest)
        # Losses are taken in float64: what lies far below the logits is lost there, too.
        loss = max(
            float(by_sample.mean()), eps[self.task.dtype] * abs(mean), eps["float64"] * largest
        )
        envelope = ENVELOPE_FACTOR * logit
        whole = self.splits[split]
        return Evaluated(
            logits,
            envelope,
            float(self._losses(logits, whole).mean()),
            ENVELOPE_FACTOR * loss,
            _right(logits, whole.targets, envelope) if self.task.kind != "regression" else None,
        )

    def _load(self, params: Params) -> None:
        self._reference.load({key: value.astype(np.float64) for key, value in params.items()})

    def _losses(self, logits: Float, split: Split) -> Float:
        activation = self.task.architecture.output_activation
        with np.errstate(over="ignore", invalid="ignore"):
            return metrics.sample_losses(logits, split.targets, self.task.loss, activation)


def _spread(split: Split) -> Split:
    every = -(-len(split) // MOVED_ROWS)
    return Split(split.inputs[::every], split.targets[::every])


def _right(logits: Float, labels: NDArray[np.int64], envelope: float) -> tuple[int, int]:
    """Return how many samples are right whatever rounding does, and how many may be."""
    if not np.isfinite(envelope):
        return 0, len(logits)
    rows = np.arange(len(logits))
    own = logits[rows, labels]
    others = logits.copy()
    others[rows, labels] = -np.inf
    lead = own - others.max(axis=1)
    return int((lead > 2 * envelope).sum()), int((lead >= -2 * envelope).sum())
