"""What "agree" means: two trainers stay within what rounding does to one of them.

The difference between backends must stay within `ENVELOPE_FACTOR` times the difference that the
reference itself shows when every initial weight is moved by one ulp and each batch's samples are
taken in reverse order, which rounds every sum over them in another way, as another backend does;
side by side, values of activations are an ulp off as well (`nnbench.backends.drift`).
It counts as one ulp of the largest weight at least: storing it rounds by as much, however fast a
perturbation fades.
Where the envelope passes `CHAOTIC`, the case is chaotic: no comparison beyond that point means
anything, and what is compared is the stable prefix before it. A prefix of nothing proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from nnbench.backends.protocol import Params, Walk
from nnbench.model.network import ParamKey
from nnbench.model.streams import generator
from nnbench.schema.deferred import dataclass

ENVELOPE_FACTOR = 100.0
CHAOTIC = 1e-3
FIRST_STEPS = 16  # judged in any case, a longer epoch's up to FIRST_SHARE of it
FIRST_SHARE = 1 / 16
ByLayer = dict[int, float]


Outcome = Literal["agrees", "diverges", "chaotic", "not proven"]


@dataclass(frozen=True)
class Agreement:
    """`difference` between two trainers and the reference's own `one_ulp` difference.

    Both relative to the largest weight of the reference's net, and both also by layer.
    """

    difference: float
    one_ulp: float
    differences: ByLayer = field(default_factory=dict)
    one_ulps: ByLayer = field(default_factory=dict)

    @classmethod
    def of_numbers(
        cls,
        difference: float | None,
        envelope: float | None,
        differences: Mapping[Any, float | None],
        one_ulps: Mapping[Any, float | None],
    ) -> Agreement:
        """Return the agreement of recorded numbers; None is what was not finite."""

        def layers(found: Mapping[Any, float | None]) -> ByLayer:
            return {int(i): _number(value) for i, value in found.items()}

        one_ulp = _number(envelope) / ENVELOPE_FACTOR
        return cls(_number(difference), one_ulp, layers(differences), layers(one_ulps))

    @property
    def envelope(self) -> float:
        """Return the difference that is allowed."""
        return ENVELOPE_FACTOR * self.one_ulp

    @property
    def chaotic(self) -> bool:
        """Tell whether one ulp alone grows past any comparison, or to what is no number."""
        return not self.envelope <= CHAOTIC

    @property
    def within(self) -> bool:
        """Tell whether the difference stays within the envelope; one that is no number does not."""
        return self.difference <= self.envelope

    def widened(self, other: Agreement | None) -> Agreement:
        """Return it with what `other` has found rounding to do, where that is more."""
        if other is None or not other.one_ulp > self.one_ulp:
            return self
        return replace(self, one_ulp=other.one_ulp, one_ulps=other.one_ulps)

    @property
    def layer(self) -> int:
        """Return the layer that is furthest apart, measured by its own one-ulp difference."""
        tiny = np.finfo(np.float64).tiny
        return max(self.differences, key=lambda i: self.differences[i] / (self.one_ulps[i] + tiny))


@dataclass(frozen=True)
class Verdict:
    """What a sequence of agreements amounts to.

    `compared` counts those of the stable prefix; `parted` is the first of them that is outside of
    the envelope, None unless the outcome is `diverges`. With nothing compared it is `not proven`.
    """

    outcome: Outcome
    compared: int
    parted: int | None = None


def verdict(agreements: Sequence[Agreement]) -> Verdict:
    """Judge `agreements` taken one after the other along the way."""
    chaotic = [i for i, found in enumerate(agreements) if found.chaotic]
    stable = agreements[: chaotic[0]] if chaotic else agreements
    for i, found in enumerate(stable):
        if not found.within:
            return Verdict("diverges", len(stable), i)
    if not stable:
        return Verdict("not proven", 0)
    return Verdict("chaotic" if chaotic else "agrees", len(stable))


def first_steps(steps: int) -> list[int]:
    """Return after which steps (1, 2, 4, 8, ...) of an epoch of `steps` weights are compared.

    They are taken apart from the epoch, which is judged when it ends, and cost little beside it.
    """
    last = min(steps - 1, max(FIRST_STEPS, int(steps * FIRST_SHARE)))
    return [2**i for i in range(last.bit_length()) if 2**i <= last]


def first_parts(walk: Walk, step_samples: int) -> list[Walk]:
    """Return the beginning of `walk`, cut after each of its `first_steps`."""
    cuts = [0, *first_steps(len(walk.lr))]
    return [walk.part(start, stop, step_samples) for start, stop in pairwise(cuts)]


def compare(
    expected: Params, perturbed: Params, found: Params, excluded: Collection[ParamKey] = ()
) -> Agreement:
    """Return how far `found` and `perturbed` are from `expected`."""
    differences = layer_differences(expected, found, excluded)
    one_ulps = layer_differences(expected, perturbed, excluded)
    one_ulp = float(np.maximum(_largest(one_ulps), np.finfo(_dtype(expected)).eps))  # NaN stays
    return Agreement(_largest(differences), one_ulp, differences, one_ulps)


def moved_by_one_ulp(params: Params, seed: int = 0) -> Params:
    """Return `params` with every value moved to the next one up or down, by a seeded coin.

    Zeros stay zero, which every arithmetic keeps exactly: moved, the bias of a ReLU would decide
    by a coin whether a whole dark background learns.
    """
    moved: Params = {}
    for key, p in params.items():
        up = generator(seed, "ulp", key.layer, key.role).random(p.shape) < 0.5
        step = np.where(p == 0, 0, np.spacing(np.abs(p)))
        moved[key] = (p + np.where(up, step, -step)).astype(p.dtype)
    return moved


def relative_difference(a: Params, b: Params, excluded: Collection[ParamKey] = ()) -> float:
    """Return the largest difference of any weight, relative to the largest weight of `a`."""
    return _largest(layer_differences(a, b, excluded))


def layer_differences(a: Params, b: Params, excluded: Collection[ParamKey] = ()) -> ByLayer:
    """Return each layer's largest difference, relative to the largest weight of the net `a`."""
    kept = [key for key in a if key not in excluded]
    largest = max(float(np.abs(a[key]).max()) for key in kept)
    found: ByLayer = {}
    for key in kept:
        difference = float(np.abs(a[key].astype(np.float64) - b[key]).max()) / largest
        found[key.layer] = _largest({0: difference, 1: found.get(key.layer, 0.0)})
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _dtype(params: Params) -> np.dtype[np.floating]:
    return next(iter(params.values())).dtype


def _largest(values: ByLayer) -> float:
    """Return the largest value; NaN wins, since `max` alone would lose it."""
    return float(np.max(list(values.values())))
