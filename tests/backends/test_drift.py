"""Where rounding decides a step, nobody is wrong; who is wrong there is found all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnbench.backends.drift import Parting, drift, first_parting, judge
from nnbench.backends.numpy import NumpyTrainer, layers
from nnbench.backends.parity import Verdict, verdict
from nnbench.backends.protocol import Params, TrainerFactory, TrainStats, Walk
from nnbench.data.dataset import Split
from nnbench.model.layers import Activation, ActivationName, Conv2d, Dense, Flatten, MaxPool2d
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import SGD, RMSprop
from nnbench.testing.cases import Case, case
from nnbench.testing.random_nets import seeded_dark
from support.backends import SMALL, factory

BIAS = ParamKey(0, "bias")
CLIP, RATE = 3e-3, 0.05


def dark_case() -> tuple[Case, Params]:
    """Return a case whose first bias comes back to zero in the first step, by a clipped gradient.

    Behind it are a ReLU and pixels that are zero. The second bias is zero and stays it.
    """
    layers = Conv2d(3, 3), Activation("relu"), MaxPool2d(), Flatten()
    plain = case(*layers, inputs="image", rate=RATE)
    dark = replace(plain, task=replace(plain.task, optimizer=SGD(clip_value=CLIP)))
    dark.splits.update({n: Split(dimmed(s.inputs), s.targets) for n, s in dark.splits.items()})
    params = {k: p * (k.role == "kernel") for k, p in dark.params.items()}
    params[ParamKey(0, "kernel")][..., :2] = -1.0  # what is not dark is off, behind the ReLU
    params[BIAS][0] = RATE * CLIP
    trainer = NumpyTrainer(dark.task, dark.splits)
    trainer.load(params)
    trainer.train(dark.steps()[0])
    assert trainer.params()[BIAS][0] == 0, "the first step takes the bias back"
    return dark, params


def dimmed(images: np.ndarray) -> np.ndarray:
    return np.where(np.arange(images.shape[2])[:, None] < 4, 0, images).astype(np.uint8)


class Fused(NumpyTrainer):
    """Leaves of a bias that comes back to zero what a fused multiplication and addition leaves."""

    def train(self, walk: Walk) -> TrainStats:
        before = self._params[BIAS].copy()
        stats = super().train(walk)
        bias = self._params[BIAS]
        bias[(before != 0) & (bias == 0)] = 1e-21
        self.spoil(walk)
        return stats

    def spoil(self, walk: Walk) -> None:
        pass


class AlsoWrong(Fused):
    """Takes the step that rounding decides a billionth too far."""

    def spoil(self, walk: Walk) -> None:
        if walk.first_step == 1:
            self._params[ParamKey(4, "kernel")] *= 1.0 + 1e-9


class MovesZeros(NumpyTrainer):
    """Gives a bias that has never been anything but zero a push of no size."""

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        bias = self._params[BIAS][1:2]
        bias[bias == 0] = 1e-21
        return stats


class Slow(NumpyTrainer):
    """Goes too far by next to nothing: each step is within rounding, and their sum is not."""

    def train(self, walk: Walk) -> TrainStats:
        return super().train(replace(walk, lr=walk.lr * (1 + 1e-13)))


def judged(
    make: TrainerFactory, dark: Case, params: Params, execution: str = "reference"
) -> tuple[Verdict, Verdict, Parting | None]:
    """Return the verdict by the envelope alone, the verdict, and where the two part."""
    reference = NumpyTrainer(dark.on("reference"), dark.splits)
    other = make(dark.on(execution), dark.splits)
    steps, size = dark.steps(), dark.task.step_samples
    found, whole = judge(reference, other, params, steps, size)
    by_envelope = verdict(found)
    where = None
    if by_envelope.parted is not None:
        way = steps[: by_envelope.parted + 1]
        where = first_parting(reference, other, params, way, size)
    return by_envelope, whole, where


def test_a_bias_that_comes_back_to_zero_is_decided_by_rounding() -> None:
    """One ulp at the beginning does not tell: the clipped steps take it away."""
    by_envelope, whole, where = judged(Fused, *dark_case())
    assert by_envelope == Verdict("diverges", 21, 1)
    assert whole == Verdict("chaotic", 1)
    assert where == Parting(0, 0, by_rounding=True)


def test_pytorch_is_such_a_one() -> None:
    dark, params = dark_case()
    by_envelope, whole, _ = judged(factory("torch"), dark, params, "eager")
    if by_envelope.outcome == "agrees":
        pytest.skip("here PyTorch does not fuse multiplication and addition")
    assert by_envelope == Verdict("diverges", 21, 1)
    assert whole == Verdict("chaotic", 1)


@pytest.mark.parametrize("make", [AlsoWrong, MovesZeros, Slow])
def test_who_is_wrong_is_not_excused(make: type[NumpyTrainer]) -> None:
    where_it_is = (SMALL, SMALL.params) if make is Slow else dark_case()
    _, whole, where = judged(make, *where_it_is)
    assert whole.outcome == "diverges"
    assert where is not None
    assert not where.by_rounding


def test_the_reference_goes_its_own_way_whoever_goes_beside_it() -> None:
    dark, params = dark_case()
    reference, other = (NumpyTrainer(dark.task, dark.splits) for _ in range(2))
    steps = dark.steps()
    found = [s["other"] for s in drift(reference, {"other": other}, params, steps)]
    assert {each.difference for each in found} == {0.0}


class OtherTanh(NumpyTrainer):
    """Has every value of a tanh an ulp away from zero, but 1."""

    ulps = 1

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for layer in self.layers:
            if isinstance(layer, layers.Activation) and layer.spec.name == "tanh":
                layer.function = self.tanh

    def tanh(self, x: np.ndarray) -> np.ndarray:
        y = np.tanh(x)
        return np.clip(y + self.ulps * np.spacing(y), -1.0, 1.0)


class WrongTanh(OtherTanh):
    """Has them a thousand ulps away."""

    ulps = 1000


SATURATED = [("gelu_tanh", -6.0), ("tanh", -6.0), ("tanh", 8.0), ("gelu", -8.0), ("sigmoid", 8.0)]


def saturated(activation: ActivationName, bias: float) -> tuple[Case, Params]:
    """Return a case whose hidden units are as good as one value, of which RMSprop makes steps."""
    found = case(Dense(5), Activation(activation), inputs="flat", optimizer=RMSprop(), rate=0.003)
    return found, found.params | {BIAS: np.full_like(found.params[BIAS], bias)}


@pytest.mark.parametrize(("activation", "bias"), SATURATED)
def test_another_librarys_tanh_is_no_fault(activation: ActivationName, bias: float) -> None:
    _, whole, _ = judged(factory("torch"), *saturated(activation, bias), "eager")
    assert whole == Verdict("agrees", 21)


def test_weights_an_ulp_off_alone_would_accuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = NumpyTrainer.go_backwards

    def in_order_alone(trainer: NumpyTrainer, yes: bool, ulp_off: bool = False) -> None:
        backwards(trainer, yes)

    monkeypatch.setattr(NumpyTrainer, "go_backwards", in_order_alone)
    _, whole, _ = judged(OtherTanh, *saturated("tanh", 8.0))
    assert whole.outcome == "diverges"


def test_a_tanh_that_is_a_little_wrong_is_found() -> None:
    _, whole, _ = judged(WrongTanh, *saturated("tanh", 8.0))
    assert whole.outcome == "diverges"


def test_rounding_has_several_chances() -> None:
    """A net whose first twin moves less than PyTorch does, and whose others do not."""
    net = seeded_dark(140)
    params = {k: p * (4.0 if k.role in ("kernel", "bias") else 1.0) for k, p in net.params.items()}
    _, whole, _ = judged(factory("torch"), net, params, "eager")
    assert whole.outcome == "agrees"


def test_a_leap_of_a_further_twin_excuses_nobody() -> None:
    """One start in two, an ulp up, comes to the kink of the dark case, too."""
    dark, params = dark_case()
    reference = NumpyTrainer(dark.task, dark.splits)
    other = AlsoWrong(dark.task, dark.splits)
    way = drift(reference, {"other": other}, params, dark.steps(), coins=(3,))
    assert verdict([each["other"] for each in way]).outcome == "chaotic"
    assert judged(AlsoWrong, dark, params)[1].outcome == "diverges"
