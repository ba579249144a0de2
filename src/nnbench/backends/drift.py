"""Trainers on the same way: how far they drift apart, where they part, and whether rounding did it.

What "agree" means is in `nnbench.backends.parity`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Protocol, runtime_checkable

import numpy as np

from nnbench.backends.parity import (
    Agreement,
    Verdict,
    compare,
    moved_by_one_ulp,
    relative_difference,
    verdict,
)
from nnbench.backends.protocol import Params, State, Trainer, Walk
from nnbench.model.network import ParamKey
from nnbench.schema.deferred import dataclass

AT_ONCE = 1e6  # times what it was, a difference after one step that rounding has decided
ONE, SEVERAL = (0,), (0, 1, 2, 3, 4)  # coins that choose which ulp: of all, and of who is accused


@runtime_checkable
class Backwards(Protocol):
    """A reference that can round in another way."""

    def go_backwards(self, yes: bool, ulp_off: bool = False) -> None:
        """Take the samples of each batch in reverse order, or in theirs; `ulp_off`: have values of
        activations an ulp off.
        """


class _Twins:
    """The reference on its way, and rounded otherwise: from one ulp away, each batch backwards.

    `own` are the last states of the former: now, before the last walk, and before the one before.
    There is one of the others for each of `coins`.
    """

    def __init__(self, reference: Trainer, params: Params, coins: Sequence[int]) -> None:
        self.reference = reference
        self.nudged: list[State] = []
        for coin in coins:
            reference.load(moved_by_one_ulp(params, coin))
            self.nudged.append(reference.state())
        reference.load(params)
        self.own = deque([reference.state()], maxlen=3)

    def train(self, walk: Walk) -> tuple[Params, list[Params]]:
        """Train all along `walk`; return their weights. Whoever makes walks finds the first."""
        nudged = []
        for i, state in enumerate(self.nudged):
            nudged.append(self._from(state, walk, backwards=True))
            self.nudged[i] = self._state()
        own = self._from(self.own[-1], walk)
        self.own.append(self._state())
        return own, nudged

    def again(self, walk: Walk, params: Params) -> tuple[Params, list[Params]]:
        """Take the last walk once more, from other weights; return those of both."""
        starts = (params, moved_by_one_ulp(params))
        there = [self.own[-2] | {str(key): p for key, p in start.items()} for start in starts]
        return self._from(there[0], walk), [self._from(there[1], walk, backwards=True)]

    def _from(self, state: State, walk: Walk, backwards: bool = False) -> Params:
        self.reference.restore(state)
        if isinstance(self.reference, Backwards):
            self.reference.go_backwards(backwards, ulp_off=backwards)
        self.reference.train(walk)
        return self.reference.params()

    def _state(self) -> State:
        return {key: np.array(value) for key, value in self.reference.state().items()}


def drift(
    reference: Trainer,
    others: Mapping[str, Trainer],
    params: Params,
    walks: Iterable[Walk],
    excluded: Collection[ParamKey] = (),
    coins: Sequence[int] = ONE,
) -> Iterator[dict[str, Agreement]]:
    """Train all from `params` and yield, after each walk, how far each of `others` is away.

    The reference goes every walk once more for each of `coins`, from one ulp away and backwards
    within each batch; whoever makes the walks finds it where it is itself. `excluded`: parameters
    without effect (`Architecture.without_effect`), which only wander.
    """
    twins = _Twins(reference, params, coins)
    for other in others.values():
        other.load(params)
    for walk in walks:
        expected, perturbed = twins.train(walk)
        found = {}
        for name, other in others.items():
            other.train(walk)
            found[name] = _compared(expected, perturbed, other.params(), excluded)
        yield found


def _compared(
    expected: Params, perturbed: Sequence[Params], found: Params, excluded: Collection[ParamKey]
) -> Agreement:
    """Compare with what rounding does at most.

    Of the second twin and later ones those that leap tell nothing: `first_parting` does.
    """
    first, *others = (compare(expected, each, found, excluded) for each in perturbed)
    return reduce(Agreement.widened, [each for each in others if not each.chaotic], first)


def judge(
    reference: Trainer,
    other: Trainer,
    params: Params,
    steps: Sequence[Walk],
    step_samples: int,
    excluded: Collection[ParamKey] = (),
) -> tuple[list[Agreement], Verdict]:
    """Compare both after each of `steps`; where rounding decides one, what follows is chaotic.

    Where the two part, rounding is given more chances to do as much.
    """
    others = {"other": other}
    for coins in (ONE, SEVERAL):
        found = [s["other"] for s in drift(reference, others, params, steps, excluded, coins)]
        judged = verdict(found)
        if judged.parted is None:
            break
    if judged.parted:
        way = steps[: judged.parted + 1]
        where = first_parting(reference, other, params, way, step_samples, excluded)
        if where is not None and where.by_rounding:
            return found, Verdict("chaotic", judged.parted)
    return found, judged


@dataclass(frozen=True)
class Parting:
    """The step (from 0) of a walk in which two diverge, and the layer that is furthest apart.

    `by_rounding`: from the weights of the other, which rounding alone keeps apart from its own, the
    reference takes that step, too.
    """

    step: int
    layer: int
    by_rounding: bool


def first_parting(
    reference: Trainer,
    other: Trainer,
    params: Params,
    walks: Sequence[Walk],
    step_samples: int,
    excluded: Collection[ParamKey] = (),
) -> Parting | None:
    """Return where the two diverge first in the last of `walks`, taken step by step, if they do."""
    last, whole = walks[-1], len(walks) - 1
    steps = [last.part(i, i + 1, step_samples) for i in range(len(last.lr))]
    twins = _Twins(reference, params, SEVERAL)
    other.load(params)
    for i, walk in enumerate([*walks[:-1], *steps]):
        there = other.params()
        expected, perturbed = twins.train(walk)
        other.train(walk)
        found = _compared(expected, perturbed, other.params(), excluded)
        if i >= whole and not found.within:
            by_rounding = _rounding_decides(twins, walk, there, other.params(), excluded)
            return Parting(i - whole, found.layer, by_rounding)
    return None


def _rounding_decides(
    twins: _Twins, walk: Walk, there: Params, found: Params, excluded: Collection[ParamKey]
) -> bool:
    """Tell whether the last step was the reference's, but from where rounding had brought weights.

    From `there` the reference has to step to what was `found`, and from its own weights elsewhere:
    a bias that came back to zero here, and there to half an ulp of what it was, decides whether a
    dark background learns. A formula that is a little wrong makes no such leap, and what stays zero
    here has to stay it there: rounding moves no zero.
    """
    if len(twins.own) < 3 or not {str(key) for key in there} <= twins.own[0].keys():
        return False
    earlier, here, now = ({key: state[str(key)] for key in there} for state in twins.own)
    stayed = all(((earlier[k] != 0) | (here[k] != 0) | (p == 0)).all() for k, p in there.items())
    own, nudged = twins.again(walk, there)
    step = _compared(own, nudged, found, excluded)
    apart = relative_difference(here, there, excluded)
    leap = relative_difference(now, own, excluded)
    return stayed and step.within and not step.chaotic and leap > AT_ONCE * apart


def agreement(
    reference: Trainer,
    other: Trainer,
    params: Params,
    walks: Iterable[Walk],
    excluded: Collection[ParamKey] = (),
) -> Agreement:
    """Return how far `other` is away after all `walks`; see `drift`."""
    *_, last = drift(reference, {"other": other}, params, walks, excluded)
    return last["other"]


def trained(trainer: Trainer, params: Params, walks: Iterable[Walk]) -> Params:
    """Return the weights after loading `params` and training along `walks`."""
    trainer.load(params)
    for walk in walks:
        trainer.train(walk)
    return trainer.params()
