"""MiniTorch: what it computes rightly passes, everything else is refused with the reason.

The package is on no index: these tests are skipped where it is not importable.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from nnbench.errors import UnsupportedSpec
from nnbench.model import layers as spec
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop
from nnbench.testing import check_trainer, equals_the_reference
from nnbench.testing.blocks import BLOCKS
from nnbench.testing.cases import case
from support.commands import Nnbench

RIGHT = {
    "dense", "dense without bias", "no hidden layer", "relu", "sigmoid", "tanh", "softmax inside",
    "flatten", "cross_entropy mean over batch", "mse mean over outputs, mean over batch",
    "mse, regression", "sgd", "sgd momentum", "sgd weight_decay", "adam", "adam weight_decay",
    "rmsprop", "rmsprop weight_decay", "adagrad", "batches of 1", "slice law",
    "state and restore continue", "running accuracy is counted",
}  # fmt: skip
REASONS = {
    "conv2d valid": "no graph",
    "max_pool2d first": "no graph",
    "embedding": "no graph",
    "batch_norm 1d": "running variance is the biased one",
    "batch_norm biased": "does the work below it four times over",
    "dropout": "global random state",
    "l1, regression": "mean of the signed differences",
    "bce mean over outputs, mean over batch": "wrong where outputs saturate",
    "sgd nesterov": "no Nesterov",
    "adagrad initial": "it starts at 0",
    "adam keras": "it has after",
    "rmsprop momentum": "no momentum in rmsprop",
    "adamw": "no optimizer=adamw",
}


@pytest.fixture
def real() -> None:
    pytest.importorskip("minitorch.nn", reason="MiniTorch is not on the path")


@pytest.mark.usefixtures("real")
def test_what_is_right_passes_and_nothing_fails() -> None:
    from nnbench.backends.minitorch import MiniTorchTrainer

    results = {r.name: r for r in check_trainer(MiniTorchTrainer, "plain")}
    assert not [r for r in results.values() if r.outcome == "failed"]
    assert {name for name in RIGHT if results[name].outcome != "passed"} == set()
    for name, reason in REASONS.items():
        assert results[name].outcome == "unsupported", name
        assert reason in results[name].detail, name


@pytest.mark.usefixtures("real")
def test_what_is_refused_would_fail() -> None:
    """Each refusal is needed: without it, weights would be wrong."""
    from nnbench.backends.minitorch import package, trainer

    own = package.nn.L1Loss()
    given = case(spec.Dense(6), spec.Activation("tanh"), inputs="flat", loss=Loss("mse"),
                 kind="regression").of("float64")  # fmt: skip

    class Refused(trainer.MiniTorchTrainer):
        """Takes the L1 loss, which the real one refuses."""

        def __init__(self, task: object, splits: object) -> None:
            mse = dataclasses.replace(task, loss=Loss("mse"))  # type: ignore[type-var]
            super().__init__(mse, splits)  # type: ignore[arg-type]
            self._loss = own

    equals_the_reference(trainer.MiniTorchTrainer, "plain", given)
    wrong = dataclasses.replace(given, task=dataclasses.replace(given.task, loss=Loss("l1")))
    with pytest.raises(AssertionError, match="diverges at step 1"):
        equals_the_reference(Refused, "plain", wrong)


@pytest.mark.usefixtures("real")
def test_native_is_its_own_cross_entropy() -> None:
    """It adds 1e-8 to what it takes the logarithm of: near the reference, and not it."""
    from nnbench.backends.minitorch import MiniTorchTrainer

    given = BLOCKS["dense"].of("float64")
    walk = given.walks()[0]
    ends = []
    for semantics in ("matched", "native"):
        task = dataclasses.replace(given.on("plain"), semantics=semantics)
        made = MiniTorchTrainer(task, given.splits)
        made.load(given.params)
        made.train(walk)
        ends.append(made.params())
    apart = max(np.abs(a - b).max() for a, b in zip(*(e.values() for e in ends), strict=True))
    assert 1e-12 < apart < 1e-7


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam(), RMSprop(), Adagrad()])
def test_optimizers_are_its_own(optimizer: Optimizer) -> None:
    from nnbench.backends.minitorch import MiniTorchTrainer, package

    given = case(spec.Dense(6), inputs="flat", optimizer=optimizer).of("float64")
    made = MiniTorchTrainer(given.on("plain"), given.splits)
    assert type(made._optimizer) is getattr(package.optim, type(optimizer).__name__)


@pytest.mark.usefixtures("real")
def test_float32_is_refused_since_one_step_undoes_it() -> None:
    from nnbench.backends.minitorch import MiniTorchTrainer, rows

    given = BLOCKS["dense"].of("float32")
    with pytest.raises(UnsupportedSpec, match="turns its weights into float64"):
        MiniTorchTrainer(given.on("plain"), given.splits)
    assert rows.facts()["one_step_to_float64"] == 1.0


@pytest.mark.usefixtures("real")
def test_the_rows_of_its_document_that_do_not_work() -> None:
    from nnbench.backends.minitorch import rows

    assert rows.failing() == [
        *(f"mt.{name}" for name in ("zeros", "ones", "randn", "rand", "arange", "eye")),
        *(f"nn.{name}" for name in ("Conv2d", "MaxPool2d", "AvgPool2d", "BatchNorm1d",
                                    "BatchNorm2d", "Embedding", "BCELoss", "L1Loss")),
    ]  # fmt: skip
    found = rows.facts()
    assert (found["operations_that_work"], found["optimizers_that_work"]) == (16.0, 4.0)
    assert (found["training_loop"], found["migration"]) == (1.0, 1.0)
    assert (found["migration_with_labels"], found["lacked_after_all"]) == (0.0, 0.0)


@pytest.mark.usefixtures("real")
def test_a_row_that_computes_something_else_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnbench.backends.minitorch import package, rows

    assert rows.works(rows.OPERATIONS["x.exp"])
    ops = __import__("minitorch.ops", fromlist=["_"])

    def backward(ctx: object, grad: object) -> tuple[object]:
        return (package.tensor.Tensor(grad.data * 1.001),)  # type: ignore[attr-defined]

    monkeypatch.setattr(ops.Exp, "backward", staticmethod(backward))
    assert not rows.works(rows.OPERATIONS["x.exp"])


def test_another_project_of_that_name_is_refused(nnbench: Nnbench, tmp_path: Path) -> None:
    package = tmp_path / "other" / "minitorch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.5'\n")
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    done = nnbench("backend=minitorch", "dtype=float64", "loss=cross_entropy", "epochs=1",
                   "tracking=local", env={"PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 2
    assert "is another project of that name" in " ".join(done.stderr.split())


def test_without_it_the_remedy_is_said(nnbench: Nnbench) -> None:
    if importlib.util.find_spec("minitorch"):
        pytest.skip("it is on the path")
    done = nnbench("check", "backend=minitorch")
    assert done.returncode == 2
    assert "put the repository github.com/abdimoallim/minitorch on PYTHONPATH" in done.stderr
    assert done.stderr.count("\n") == 1
