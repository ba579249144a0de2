"""Figures that the reference makes of the weights of others, and the envelope around them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnbench.backends.evaluation import Evaluator
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import DType
from nnbench.data.dataset import Split
from nnbench.model import metrics
from nnbench.model.network import ParamKey
from nnbench.testing.cases import Case
from nnbench.testing.random_nets import seeded, seeded_dark
from support.backends import SMALL, factory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [seeded, seeded_dark])
def test_honest_figures_stay_within_the_envelope(make: object, dtype: DType) -> None:
    for i in range(8):
        case: Case = make(i).of(dtype)  # type: ignore[operator]
        trainer = NumpyTrainer(case.on("fused"), case.splits)
        evaluator = Evaluator(case.task, case.splits)
        trainer.load(case.params)
        for walk in case.walks():
            trainer.train(walk)
        for split in ("train_eval", "test"):
            found = evaluator.evaluate(trainer.params(), split)
            said, targets = trainer.evaluate(split), case.splits[split].targets
            # A tenth of it: the factor is for backends that round otherwise.
            assert np.abs(said - found.logits).max() <= 0.1 * found.logit_envelope
            activation = case.task.architecture.output_activation
            loss = metrics.mean_loss(said, targets, case.task.loss, activation)
            assert abs(loss - found.loss) <= 0.1 * found.loss_envelope
            scale = np.abs(found.logits).max()
            assert found.logit_envelope <= {"float32": 1e-2, "float64": 1e-10}[dtype] * scale
            if case.task.kind == "classification":
                assert found.right is not None
                right = round(metrics.accuracy(said, targets) * len(said))
                assert found.right[0] <= right <= found.right[1]


def test_another_framework_stays_within_it_in_float32() -> None:
    case = SMALL.of("float32")
    trainer = factory("torch")(case.on("eager"), case.splits)
    trainer.load(case.params)
    trainer.train(case.walks()[0])
    found = Evaluator(case.task, case.splits).evaluate(trainer.params(), "test")
    assert np.abs(trainer.evaluate("test") - found.logits).max() <= 0.2 * found.logit_envelope


def test_ties_are_left_open_and_nothing_else() -> None:
    """Two samples alike but for their labels: of a net that cannot tell, both may be right."""
    task = dataclasses.replace(SMALL.task, dtype="float32")
    inputs = np.zeros((4, 12))
    inputs[2:, 0] = 1.0
    splits = {**SMALL.splits, "test": Split(inputs, np.array([0, 1, 0, 1]))}
    params = {key: np.zeros_like(p) for key, p in SMALL.of("float32").params.items()}
    (hidden, output) = sorted(key for key in params if key.role == "kernel")
    params[hidden][0, 0] = 1.0
    params[output][0, 0] = 1.0
    params[ParamKey(output.layer, "bias")][...] = [-0.5, 0.0, -9.0, -9.0]
    found = Evaluator(task, splits).evaluate(params, "test")
    # sigmoid(0) = 0.5 makes both logits of the first two samples 0; the others prefer class 0.
    assert found.right == (1, 3)
    assert 0 < found.logit_envelope < 1e-3
    assert len(found) == 4
