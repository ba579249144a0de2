"""Whether a trainer trains and evaluates as the NumPy reference does, one case at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.drift import judge
from nnbench.backends.parity import Agreement, moved_by_one_ulp
from nnbench.backends.protocol import Params, Trainer, TrainerFactory, Walk
from nnbench.data.dataset import Split
from nnbench.schema.deferred import dataclass
from nnbench.testing.cases import SAMPLES, SIZES, Case
from nnbench.testing.requirements import copied, require, same

Logits = dict[str, NDArray[np.floating]]
SPLITS = ("train", "train_eval", "val", "test")
LOGIT_FACTOR = 100.0  # times what one ulp in the weights does to the logits
LOSS_FACTOR = 4e3  # times the spacing of the dtype, relative: sums over a thousand terms


def equals_the_reference(make: TrainerFactory, execution: str, case: Case) -> Agreement:
    """Compare everything that a trainer does with a case; return how far apart weights are.

    The weights after each of 21 steps, and after each of three whole epochs from a fresh start;
    the logits of every split in every size, before and after training; that a restored state goes
    on bit for bit; that what is no number stays none. Of a chaotic case the stable prefix is
    compared. Raises AssertionError that says what differs first.
    """

    def built(turn: int) -> Pair:
        return Pair.of(make, execution, case, case.sized(turn))

    pair = built(0)
    pair.warms_up()
    pair.evaluates(case.params, "before training")
    found = pair.trains(case.steps(), "")
    learnt = pair.other.params()
    pair.evaluates(None, "after training")
    pair.trains(case.walks(), "as whole epochs, after load(), it ")
    pair.evaluates(None, "after three epochs")
    pair.continues()
    pair.loses(learnt)
    for turn in range(1, len(SIZES)):
        further = built(turn)
        further.evaluates(case.params, "before training")
        further.evaluates(learnt, "after training")
    pair.keeps_nan()
    return found


@dataclass(frozen=True)
class Pair:
    """The NumPy reference and a trainer with the same splits."""

    case: Case
    reference: Trainer
    other: Trainer

    @classmethod
    def of(
        cls, make: TrainerFactory, execution: str, case: Case, splits: Mapping[str, Split]
    ) -> Pair:
        """Build both."""
        from nnbench.backends.numpy import NumpyTrainer

        return cls(case, NumpyTrainer(case.task, splits), make(case.on(execution), splits))

    def warms_up(self) -> None:
        """Compile for whole epochs, as a run does; nothing may change by it."""
        self.other.load(self.case.params)
        before = copied(self.other.state())
        self.other.warm_up(SAMPLES)
        require(same(self.other.state(), before), "warm_up() changed the state")

    def trains(self, walks: Sequence[Walk], how: str) -> Agreement:
        """Train both along `walks` from the initial weights; return how far apart they end.

        `how`, a phrase that ends in a blank, says that walks are epochs; without it they are steps.
        """
        architecture = self.case.task.architecture
        found, judged = judge(
            self.reference, self.other, self.case.params, walks, self.case.task.step_samples,
            architecture.without_effect(),
        )  # fmt: skip
        if judged.parted is not None:
            parted = found[judged.parted]
            what = "epoch" if how else "step"
            raise AssertionError(
                f"{how}diverges at {what} {judged.parted + 1} of {len(found)}, most in layer "
                f"{parted.layer + 1} ({architecture.layers[parted.layer].name}): weights differ by "
                f"{parted.difference:.1e} of the largest, by {parted.one_ulp:.1e} when the "
                "initial weights are perturbed by 1 ulp"
            )
        if not judged.compared and not how:
            raise AssertionError("chaotic from the first step; there is nothing to compare")
        return found[max(judged.compared, 1) - 1]

    def evaluates(self, params: Params | None, when: str) -> None:
        """Compare the logits of all splits at `params`; None: where the other trainer is."""
        if params is not None:
            self.other.load(params)
        found = logits(self.other)
        weights = self.other.params() if params is None else params
        expected, moved = (self._expected(w) for w in (weights, moved_by_one_ulp(weights)))
        largest = max(float(np.abs(z).max()) for z in expected.values())
        one_ulp = max(float(np.abs(expected[n] - moved[n]).max()) for n in expected)
        for name, z in expected.items():
            what = f"{when} the logits of the {name} split of {len(z)} rows"
            require(found[name].shape == z.shape, f"{what} have shape {found[name].shape}")
            off = float(np.abs(found[name] - z).max())
            require(
                off <= LOGIT_FACTOR * one_ulp,
                f"{what} differ by {off / largest:.1e} of the largest, by "
                f"{one_ulp / largest:.1e} when the weights are perturbed by 1 ulp",
            )

    def continues(self) -> None:
        """Training from a restored state equals training on, bit for bit."""
        walk, kept = self.case.walks()[1], copied(self.other.state())
        stats = self.other.train(walk)
        expected = self.other.params()
        self.evaluates(None, "after a fourth epoch")
        self.other.load(self.case.params)
        self.other.restore(kept)
        again = self.other.train(walk)
        require(
            same(self.other.params(), expected) and again == stats,
            "training from a restored state differs",
        )

    def loses(self, params: Params) -> None:
        """The running loss is that of the reference: it is reported."""
        walk = replace(self.case.walks()[0], lr=np.zeros(len(self.case.walks()[0].lr)))
        self.reference.load(params)
        self.other.load(params)
        expected, found = (each.train(walk) for each in (self.reference, self.other))
        require(
            found.samples == expected.samples,
            f"train() counted {found.samples} of {expected.samples} samples",
        )
        off = abs(found.loss_sum - expected.loss_sum)
        require(
            off <= LOSS_FACTOR * float(np.finfo(self.case.task.dtype).eps) * abs(expected.loss_sum),
            f"the running loss is {found.loss_sum / found.samples:g}, it should be "
            f"{expected.loss_sum / expected.samples:g}",
        )

    def keeps_nan(self) -> None:
        """A weight that is NaN gives NaN wherever the reference has it, and stays."""
        params = copied(self.case.params)
        next(iter(params.values())).flat[0] = np.nan
        expected = self._expected(params)
        self.other.load(params)
        for name, z in logits(self.other).items():
            lost = np.isnan(expected[name]) & np.isfinite(z)
            require(
                not lost.any(), f"a NaN in the weights: {name} logits of {z[lost][:1]} are finite"
            )
        self.other.train(self.case.steps()[0])
        key, value = next(iter(self.other.params().items()))
        require(bool(np.isnan(value.flat[0])), f"a NaN in {key} was gone after a step")

    def _expected(self, params: Params) -> Logits:
        self.reference.load(params)
        return logits(self.reference)


def logits(trainer: Trainer) -> Logits:
    """Return the logits of every split, in float64."""
    return {name: np.asarray(trainer.evaluate(name), np.float64) for name in SPLITS}
