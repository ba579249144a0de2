"""The NumPy backend against finite differences, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from nnbench import metrics
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import ACTIVATIONS, Sigmoid
from nnbench.data.dataset import ArraySpec, Split
from nnbench.init import Uniform, initial_params
from nnbench.optimizers import SGD
from nnbench.spec import MLP, Architecture, Loss, ParamKey
from nnbench.trainer import Task, Walk

OUTPUTS = {"bce": "sigmoid", "cross_entropy": "softmax"}


def make(
    loss: Loss, activation: str, output: str, bias: bool, optimizer: SGD | None = None, n: int = 7
) -> NumpyTrainer:
    rng = np.random.default_rng(5)
    split = Split(rng.normal(size=(n, 6)), rng.integers(0, 4, n))
    arch = MLP(hidden=(5, 3), activation=activation, output_activation=output, bias=bias)  # type: ignore[arg-type]
    architecture = arch.build((6,), 4)
    task = Task(
        kind="classification",
        architecture=architecture,
        loss=loss,
        optimizer=optimizer or SGD(),
        batch_size=3,
        dtype="float64",
        inputs=ArraySpec((6,), "float64"),
        targets=ArraySpec((), "int64"),
        device="cpu",
        semantics="matched",
        execution="reference",
        threads=1,
        seed=0,
    )
    trainer = NumpyTrainer(task, {"train": split, "train_eval": split, "test": split})
    trainer.load(initial_params(Uniform(-0.7, 0.7), architecture, 1, "float64"))
    return trainer


def loss_of(trainer: NumpyTrainer, loss: Loss, architecture: Architecture) -> float:
    targets = trainer._targets["test"]
    losses = metrics.sample_losses(
        trainer.evaluate("test"), targets, loss, architecture.output_activation
    )
    return float(losses.sum() * loss.batch_scale(len(losses)))


def numeric_gradients(trainer: NumpyTrainer, loss: Loss) -> dict[ParamKey, np.ndarray]:
    """Central differences with h = 1e-5, error O(h^2)."""
    grads = {}
    for key, p in trainer._params.items():
        grad = np.zeros_like(p)
        for index in np.ndindex(p.shape):
            kept = p[index]
            p[index] = kept + 1e-5
            high = loss_of(trainer, loss, trainer.task.architecture)
            p[index] = kept - 1e-5
            low = loss_of(trainer, loss, trainer.task.architecture)
            p[index] = kept
            grad[index] = (high - low) / 2e-5
        grads[key] = grad
    return grads


def worst_difference(trainer: NumpyTrainer, loss: Loss) -> float:
    n = len(trainer._targets["train"])
    x = trainer._gather("train", slice(0, n))
    _, grads = trainer.gradients(x, trainer._target_matrix)
    numeric = numeric_gradients(trainer, loss)
    scale = max(np.abs(g).max() for g in numeric.values())
    return max(float(np.abs(grads[k] - numeric[k]).max()) for k in numeric) / scale


def combinations() -> Iterator[tuple[str, str, str, str, str, bool]]:
    for activation in ("sigmoid", "tanh", "relu", "linear"):
        for loss in ("mse", "bce", "cross_entropy"):
            for output in [OUTPUTS[loss]] if loss in OUTPUTS else sorted({*ACTIVATIONS} - {"gelu"}):
                yield activation, loss, output, "mean", "mean", True
    for loss in ("mse", "bce"):
        for over_outputs in ("sum", "mean"):
            for over_batch in ("sum", "mean"):
                yield "sigmoid", loss, "sigmoid", over_outputs, over_batch, False


@pytest.mark.parametrize(
    ("activation", "name", "output", "over_outputs", "over_batch", "bias"), list(combinations())
)
def test_gradients_equal_finite_differences(
    activation: str, name: str, output: str, over_outputs: str, over_batch: str, bias: bool
) -> None:
    loss = Loss(name, over_outputs, over_batch)  # type: ignore[arg-type]
    trainer = make(loss, activation, output, bias)
    assert worst_difference(trainer, loss) <= 1e-8


def test_hidden_softmax_gradient_equals_finite_differences() -> None:
    loss = Loss("mse")
    trainer = make(loss, "relu", "softmax", True)
    trainer.layers[1] = ACTIVATIONS["softmax"]({})
    assert worst_difference(trainer, loss) <= 1e-8


def test_a_planted_sign_error_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sigmoid, "input_grad", lambda self, x, y, dy: -dy * y * (1.0 - y))
    loss = Loss("bce", "sum")
    assert worst_difference(make(loss, "sigmoid", "sigmoid", True), loss) > 0.1


def test_a_gradient_wrong_by_one_in_two_thousand_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sigmoid, "input_grad", lambda self, x, y, dy: 1.0005 * dy * y * (1.0 - y))
    loss = Loss("bce", "sum")
    assert worst_difference(make(loss, "sigmoid", "sigmoid", True), loss) > 1e-6


def test_momentum_and_weight_decay_follow_the_closed_form() -> None:
    trainer = make(Loss("mse"), "tanh", "linear", True, SGD(momentum=0.9, weight_decay=0.1))
    rates = np.array([0.1, 0.01, 0.5])
    weights = trainer.params()
    velocity = {key: np.zeros_like(w) for key, w in weights.items()}
    order = np.arange(7)
    for step, lr in enumerate(rates):
        rows = slice(3 * step, 3 * step + 3)
        x = trainer._gather("train", rows)
        _, grads = trainer.gradients(x, trainer._target_matrix[rows])
        trainer.train(Walk(order[rows], rates[step : step + 1], len(order[rows]), 0, step, 0))
        for key, w in weights.items():
            velocity[key] = 0.9 * velocity[key] + grads[key] + 0.1 * w
            weights[key] = w - lr * velocity[key]
    for key, w in trainer.params().items():
        np.testing.assert_allclose(w, weights[key], rtol=0, atol=1e-15)
