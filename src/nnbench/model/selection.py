"""Which epoch is best, and when to stop: pure functions of the records so far."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from nnbench.schema import at_least
from nnbench.schema.deferred import dataclass

Monitor = Literal[
    "val_loss", "val_accuracy", "train_loss", "train_accuracy", "test_loss", "test_accuracy"
]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs without an improvement of more than `min_delta`; None: never."""

    patience: Annotated[int, at_least(1)] | None = None
    min_delta: Annotated[float, at_least(0.0)] = 0.0


class Watch:
    """Follows the monitored figure over the epochs; `scores` hold it, the smaller the better."""

    def __init__(self, monitor: Monitor, stopping: EarlyStopping) -> None:
        self.monitor, self.stopping = monitor, stopping
        self.scores: list[float] = []

    def see(self, value: float | None) -> None:
        """Take in the figure of an epoch; one that is no number is as bad as can be."""
        sign = -1.0 if self.monitor.endswith("accuracy") else 1.0
        known = value is not None and math.isfinite(value)
        self.scores.append(sign * float(value) if known else math.inf)  # type: ignore[arg-type]

    @property
    def best_epoch(self) -> int | None:
        """Return the first epoch with the best figure, None while there is none."""
        finite = [score for score in self.scores if math.isfinite(score)]
        return self.scores.index(min(finite)) if finite else None

    def reason_to_stop(self) -> str | None:
        """Return why to stop after the epochs seen, None to go on."""
        patience = self.stopping.patience
        if patience is None:
            return None
        best, waited = math.inf, 0
        for score in self.scores:
            if score < best - self.stopping.min_delta:
                best, waited = score, 0
            else:
                waited += 1
        if waited < patience:
            return None
        return (
            f"stopped after epoch {len(self.scores)}: {self.monitor} has not improved for "
            f"{waited} epoch{'s' * (waited > 1)}"
        )
