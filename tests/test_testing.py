"""The conformance kit: every backend passes it, and each mutant is caught by the check named."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Nnbench
from nnbench.backends.numpy import NumpyTrainer
from nnbench.data.dataset import Split
from nnbench.testing import CHECKS, Subject, check_trainer
from nnbench.trainer import Params, Task, TrainStats, Walk
from test_parity import BACKENDS, factory

ALL = [("numpy", "reference"), *BACKENDS]


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

    def _train_chunk(self, order: Any, rates: list[float]) -> TrainStats:
        optimizer = self._optimizer
        original = optimizer.step

        def step(grads: list[Any], lr: float) -> None:
            rule = optimizer.rule
            for i, (w, g) in enumerate(zip(optimizer.parameters, grads, strict=True)):
                velocity = optimizer.buffers["velocity"][i]
                velocity *= rule.momentum
                velocity += lr * (g + rule.weight_decay * w)
                w -= velocity  # noqa: PLW2901

        optimizer.step = step  # type: ignore[method-assign]
        try:
            return super()._train_chunk(order, rates)
        finally:
            optimizer.step = original  # type: ignore[method-assign]


class WarmUpTrains(NumpyTrainer):
    def warm_up(self, n: int) -> None:
        self.train(Walk(np.arange(n), np.full(self.task.steps(n), 0.1), n, 0, 0, 0))


class KeepsTheVelocity(NumpyTrainer):
    def load(self, params: Params) -> None:
        before = getattr(self, "_optimizer", None)
        super().load(params)
        if before is not None:
            self._optimizer.buffers = before.buffers


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
        for velocity in self._optimizer.buffers["velocity"]:
            velocity[...] *= walk.first_step % 7 == 0
        return super().train(walk)


MUTANTS = {
    DropsTheRaggedBatch: "ragged_batch_counts",
    LateSchedule: "rate_is_per_step",
    RateInsideTheVelocity: "twenty_one_steps_equal_the_reference",
    WarmUpTrains: "warm_up_changes_nothing",
    KeepsTheVelocity: "load_resets_the_optimizer",
    EvaluateMoves: "evaluate_is_pure",
    SharesItsWeights: "parameters_round_trip",
    UsesGlobalRandomness: "global_random_state_is_untouched",
    ForgetsTheVelocity: "state_and_restore_continue",
    WritesToItsInputs: "inputs_are_left_alone",
    LossOfTheLastBatch: "running_loss_is_the_mean",
    SlicesOnItsOwn: "slice_law",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_a_mutant_is_caught_by_the_check_of_its_name(mutant: type[NumpyTrainer]) -> None:
    results = {r.name: r for r in check_trainer(mutant, "reference")}
    assert set(results) == set(CHECKS)
    caught = results[MUTANTS[mutant]]
    assert not caught.passed
    assert caught.detail


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
    assert "mine (reference): " in done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_scorecard_of_numpy(nnbench: Nnbench) -> None:
    done = nnbench("check", "backend=numpy")
    assert done.returncode == 0, done.stderr
    assert f"numpy (reference): {len(CHECKS)} of {len(CHECKS)}" in done.stdout
    assert nnbench("check", "backend=jax").returncode == 2
