"""What "agree" means: two trainers stay within what one ulp in the initial weights does.

The difference between backends must stay within `ENVELOPE_FACTOR` times the difference that the
reference itself shows when every initial weight is moved by one ulp. Where the reference's own
difference passes `CHAOTIC`, the case is chaotic and no comparison at that length means anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nnbench.streams import generator
from nnbench.trainer import Params, Trainer, Walk

ENVELOPE_FACTOR = 100.0
CHAOTIC = 1e-3


@dataclass(frozen=True)
class Agreement:
    """`difference` between two trainers and the reference's own `one_ulp` difference.

    Both relative to the largest weight of the reference's net.
    """

    difference: float
    one_ulp: float

    @property
    def chaotic(self) -> bool:
        """Tell whether one ulp alone grows past any comparison."""
        return ENVELOPE_FACTOR * self.one_ulp > CHAOTIC

    @property
    def within(self) -> bool:
        """Tell whether the difference stays within the envelope."""
        return self.difference <= ENVELOPE_FACTOR * self.one_ulp


def agreement(
    reference: Trainer, other: Trainer, params: Params, walks: Iterable[Walk]
) -> Agreement:
    """Train both from `params` along `walks`, and the reference once more from one ulp away."""
    walks = list(walks)
    expected = trained(reference, params, walks)
    nudged = trained(reference, moved_by_one_ulp(params), walks)
    found = trained(other, params, walks)
    return Agreement(relative_difference(expected, found), relative_difference(expected, nudged))


def trained(trainer: Trainer, params: Params, walks: Iterable[Walk]) -> Params:
    """Return the weights after loading `params` and training along `walks`."""
    trainer.load(params)
    for walk in walks:
        trainer.train(walk)
    return trainer.params()


def moved_by_one_ulp(params: Params) -> Params:
    """Return `params` with every value moved to the next one up or down, by a seeded coin.

    A weight of 0 (a fresh bias) moves by the spacing at the net's largest weight, not to the
    smallest denormal, which no arithmetic would notice.
    """
    largest = max(np.abs(p).max() for p in params.values())
    moved: Params = {}
    for key, p in params.items():
        up = generator(0, "ulp", key.layer, key.role).random(p.shape) < 0.5
        step = np.spacing(np.where(p == 0, largest, np.abs(p)).astype(p.dtype))
        moved[key] = (p + np.where(up, step, -step)).astype(p.dtype)
    return moved


def relative_difference(a: Params, b: Params) -> float:
    """Return the largest difference of any weight, relative to the largest weight of `a`."""
    largest = max(float(np.abs(p).max()) for p in a.values())
    return max(float(np.abs(a[k].astype(np.float64) - b[k]).max()) for k in a) / largest
