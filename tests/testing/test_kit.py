"""The conformance kit: every backend passes it, and each mutant is caught by the check named."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import MaxPool2d
from nnbench.backends.numpy.normalisation import BatchNorm
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.data.dataset import Split
from nnbench.model.optimizers import RMSprop
from nnbench.testing import (
    BLOCKS,
    CHECKS,
    RANDOM_NETS,
    Subject,
    check_trainer,
    equals_the_reference,
)
from support.backends import ALL, factory
from support.commands import Nnbench


@pytest.fixture(scope="module", params=ALL, ids=lambda p: f"{p[0]}-{p[1]}")
def subject(request: pytest.FixtureRequest) -> Subject:
    backend, execution = request.param
    return Subject(factory(backend), execution)


@pytest.mark.parametrize("name", CHECKS)
def test_every_backend_conforms(subject: Subject, name: str) -> None:
    CHECKS[name](subject)


class DropsTheRaggedBatch(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        full = walk.samples // self.task.batch_size
        return super().train(walk.part(0, full, self.task.batch_size))


class LateSchedule(NumpyTrainer):
    """Uses the learning rate of the step before."""

    def train(self, walk: Walk) -> TrainStats:
        late = np.concatenate([walk.lr[:1], walk.lr[:-1]])
        return super().train(type(walk)(**{**vars(walk), "lr": late}))


class RateInsideTheVelocity(NumpyTrainer):
    """`v = mu v + lr g; w = w - v`, as Keras' own SGD."""

    def _train_chunk(self, order: Any, rates: Any, first_step: int) -> TrainStats:
        optimizer = self._optimizer
        if "velocity" not in optimizer.buffers or "square" in optimizer.buffers:
            return super()._train_chunk(order, rates, first_step)
        original = optimizer.step

        def step(grads: Params, lr: float) -> None:
            rule = optimizer.rule
            for key, w in optimizer.weights.views.items():
                velocity = optimizer.buffers["velocity"].views[key]
                velocity *= rule.momentum
                velocity += lr * (grads[key] + rule.weight_decay * w)
                w -= velocity  # noqa: PLW2901

        optimizer.step = step  # type: ignore[method-assign]
        try:
            return super()._train_chunk(order, rates, first_step)
        finally:
            optimizer.step = original  # type: ignore[method-assign]


class WithMutants(NumpyTrainer):
    """A fake backend some of whose layers are others."""

    mutants: ClassVar[Mapping[type, type]] = {}

    def load(self, params: Params) -> None:
        super().load(params)
        self.layers = [
            self.mutants[type(layer)](layer.parameters, layer.spec)  # type: ignore[attr-defined]
            if type(layer) in self.mutants
            else layer
            for layer in self.layers
        ]


class LastMaximum(WithMutants):
    class Pool(MaxPool2d):
        def _windows(self, x: Any) -> Any:
            return super()._windows(x)[::-1]

    mutants: ClassVar = {MaxPool2d: Pool}


class BiasedVariance(WithMutants):
    """The variance that evaluation uses gathers v, not v n / (n - 1)."""

    class Norm(BatchNorm):
        def forward_training(self, x: Any, key: Any) -> Any:
            count, before = x.size / x.shape[-1], self.parameters["variance"].copy()
            y = super().forward_training(x, key)
            kept = (1.0 - self.spec.momentum) * before
            moved = self.parameters["variance"]
            moved[...] = kept + (moved - kept) * (count - 1) / count
            return y

    mutants: ClassVar = {BatchNorm: Norm}


class EpsilonInsideTheRoot(NumpyTrainer):
    def load(self, params: Params) -> None:
        super().load(params)
        if isinstance(self._optimizer.rule, RMSprop):
            self._optimizer.update = epsilon_inside


def epsilon_inside(rule: RMSprop, w: Any, g: Any, lr: float, t: int, v: Any, b: Any) -> None:
    v[...] = rule.rho * v + (1.0 - rule.rho) * g * g
    b[...] = rule.momentum * b + g / (v + rule.epsilon) ** 0.5
    w -= lr * b


class AnotherMaskPerStep(NumpyTrainer):
    def keys(self, first_step: int, steps: int) -> Any:
        return super().keys(first_step + 1, steps)


class WarmUpTrains(NumpyTrainer):
    def warm_up(self, n: int) -> None:
        self.train(Walk(np.arange(n), np.full(self.task.steps(n), 0.1), n, 0, 0, 0))


class KeepsTheVelocity(NumpyTrainer):
    def load(self, params: Params) -> None:
        kept = {name: b.vector.copy() for name, b in self._optimizer.buffers.items()}
        super().load(params)
        for name, vector in kept.items():
            self._optimizer.buffers[name].vector[...] = vector


class EvaluateMoves(NumpyTrainer):
    def evaluate(self, split: str) -> Any:
        next(iter(self._params.values()))[0, 0] += 1e-9
        return super().evaluate(split)


class SharesItsWeights(NumpyTrainer):
    def params(self) -> Params:
        return self._params


class UsesGlobalRandomness(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        np.random.rand()
        return super().train(walk)


class ForgetsTheVelocity(NumpyTrainer):
    def restore(self, state: Any) -> None:
        velocities = {key: 0 * value for key, value in state.items() if "velocity" in key}
        super().restore({**state, **velocities})


class WritesToItsInputs(NumpyTrainer):
    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        super().__init__(task, splits)
        self._split = splits["train"].inputs

    def train(self, walk: Walk) -> TrainStats:
        self._split.setflags(write=True)
        self._split[0, 0] ^= 1
        return super().train(walk)


class LossOfTheLastBatch(NumpyTrainer):
    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        return TrainStats(stats.loss_sum * 1.001, stats.samples)


class SlicesOnItsOwn(NumpyTrainer):
    """Resets the velocity at the start of each part."""

    def train(self, walk: Walk) -> TrainStats:
        if velocity := self._optimizer.buffers.get("velocity"):
            velocity.vector[...] *= walk.first_step % 7 == 0
        return super().train(walk)


MUTANTS = {
    DropsTheRaggedBatch: "ragged batch counts",
    LateSchedule: "rate is per step",
    RateInsideTheVelocity: "sgd momentum",
    LastMaximum: "first maximum gets the gradient",
    BiasedVariance: "batch_norm 1d",
    EpsilonInsideTheRoot: "rmsprop",
    AnotherMaskPerStep: "dropout",
    WarmUpTrains: "warm up changes nothing",
    KeepsTheVelocity: "load resets the optimizer",
    EvaluateMoves: "evaluate is pure",
    SharesItsWeights: "parameters round trip",
    UsesGlobalRandomness: "global random state is untouched",
    ForgetsTheVelocity: "state and restore continue",
    WritesToItsInputs: "inputs are left alone",
    LossOfTheLastBatch: "running loss is the mean",
    SlicesOnItsOwn: "slice law",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_a_mutant_is_caught_by_the_check_of_its_name(mutant: type[NumpyTrainer]) -> None:
    name = MUTANTS[mutant]
    check = CHECKS.get(name.replace(" ", "_"))
    with pytest.raises(AssertionError, match=r"\w+ \w+"):
        check(Subject(mutant, "reference")) if check else equals_the_reference(
            mutant, "reference", BLOCKS[name]
        )


def test_the_scorecard_has_every_check_and_says_what_failed() -> None:
    results = {r.name: r for r in check_trainer(DropsTheRaggedBatch, "reference")}
    assert len(results) == len(CHECKS) + len(BLOCKS) + RANDOM_NETS
    assert results["ragged batch counts"].outcome == "failed"
    assert results["ragged batch counts"].detail == "the ragged last batch changed nothing"
    assert results["adam"].detail.startswith("diverges at step 7 of 21, most in layer")
    assert results["parameters round trip"].outcome == "passed"


def test_the_scorecard_of_a_third_party_backend(nnbench: Nnbench, tmp_path: Path) -> None:
    group = tmp_path / "own" / "backend"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text(
        "name: mine\n_target_: mine.Mine\nexecution: reference\nexecutions: [reference]\n"
    )
    (tmp_path / "mine.py").write_text(
        "from nnbench.backends.numpy import NumpyTrainer\n"
        "class Mine(NumpyTrainer):\n"
        "    def load(self, params):\n"
        "        super().load({key: 1.001 * value for key, value in params.items()})\n"
    )
    done = nnbench(
        "check",
        "--config-dir",
        "own",
        "backend=mine",
        env={"PYTHONPATH": f"{tmp_path}:{Path(sys.modules['nnbench'].__path__[0]).parent}"},
    )
    assert done.returncode == 1
    assert "FAIL  parameters round trip: params() differs" in done.stdout
    assert "mine (reference, float64): " in done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_scorecard_of_numpy(nnbench: Nnbench) -> None:
    done = nnbench("check", "backend=numpy")
    assert done.returncode == 0, done.stderr
    count = len(CHECKS) + len(BLOCKS) + RANDOM_NETS
    assert f"numpy (fused, float64): {count} of {count} passed" in done.stdout
    assert nnbench("check", "backend=jax").returncode == 2
