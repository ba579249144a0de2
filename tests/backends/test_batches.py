"""What an epoch is cut into: the last batch left out, and steps of several batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnbench import data
from nnbench.backends.drift import trained
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import relative_difference
from nnbench.backends.protocol import Task, Walk
from nnbench.config.composition import compose
from nnbench.errors import ConfigError, NNBenchError, UnsupportedSpec
from nnbench.model import metrics
from nnbench.model.layers import Activation, BatchNorm, Conv2d, Dense, Dropout, Flatten
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adam, RMSprop
from nnbench.records import identity, trajectory
from nnbench.testing import equals_the_reference
from nnbench.testing.cases import case
from nnbench.training.assembly import make_task, make_walk
from support.backends import ALL, SMALL, factory, natively, small_splits, small_task
from support.records import make_run
from support.running import run_here

LOADERS = [*((b, e, "resident") for b, e in ALL), ("torch", "eager", "native")]
LOADERS.append(("keras", "fit", "native"))
KEPT, BATCH = 192, 32  # of 200 samples


@pytest.mark.parametrize(("backend", "execution", "loader"), LOADERS, ids=str)
def test_a_frameworks_own_shuffling_drops_other_samples_each_epoch(
    backend: str, execution: str, loader: str
) -> None:
    """At rate 0 the losses of an epoch lack those of eight samples, seldom the same ones."""
    task = natively(small_task(execution, drop_last=True, input=loader))
    trainer = factory(backend)(task, small_splits())
    trainer.warm_up(200)
    trainer.load(SMALL.params)
    targets, net = SMALL.splits["train"].targets, task.architecture
    logits = trainer.evaluate("train")
    losses = metrics.sample_losses(logits, targets, task.loss, net.output_activation)
    dropped = []
    for epoch in range(3):
        stats = trainer.train(Walk(None, np.zeros(KEPT // BATCH), 200, epoch, 6 * epoch, 0))
        assert stats.samples == KEPT
        dropped.append(losses.sum() - stats.loss_sum)
    assert np.ptp(dropped) > 1e-6
    for each in dropped:
        assert 8 * losses.min() <= each <= 8 * losses.max()
        assert abs(each - losses[KEPT:].sum()) > 1e-6


@pytest.mark.parametrize(("backend", "execution"), ALL, ids=str)
def test_matched_epochs_are_those_of_the_full_batches(backend: str, execution: str) -> None:
    """What is trained is the beginning of the same order, bit for bit."""
    config = compose(["batch_size=32", "shuffle=true", "drop_last=true"]).config
    task = small_task(execution)
    trainer = factory(backend)(dataclasses.replace(task, drop_last=True), small_splits())
    trainer.warm_up(200)
    trainer.load(SMALL.params)
    rates = np.full(7, 0.01)
    whole = make_walk(config, task, 200, 1, rates)
    cut = make_walk(config, dataclasses.replace(task, drop_last=True), 200, 1, rates[:6])
    assert whole.order is not None
    assert cut.order is not None
    assert np.array_equal(cut.order, whole.order[:KEPT])
    assert (cut.samples, cut.first_step, whole.first_step) == (KEPT, 6, 7)
    stats = trainer.train(cut)
    assert stats.samples == KEPT
    found = trainer.params()
    trainer.load(SMALL.params)
    first = trainer.train(dataclasses.replace(whole.part(0, 6, BATCH), first_step=6))
    assert first.loss_sum == stats.loss_sum
    for key, value in trainer.params().items():
        assert np.array_equal(value, found[key])


def test_steps_are_counted_without_the_batch_that_is_dropped() -> None:
    task: Task = small_task()
    cut = dataclasses.replace(task, drop_last=True)
    counts = [(task.steps(n), cut.steps(n), cut.visited(n)) for n in (31, 32, 33, 64)]
    assert counts == [(1, 0, 0), (1, 1, 32), (2, 1, 32), (2, 2, 64)]


def records(tmp_path: Path, *overrides: str) -> tuple[Any, set[int]]:
    """Return a run on 160 training samples, and the first steps that are kept of it."""
    given = ["epochs=2", "batch_size=48", "backend=numpy_reference", "data.train_samples=160"]
    run = run_here(tmp_path, [*given, *overrides])
    return run, set(trajectory.load(tmp_path).first)


def test_a_run_that_drops_its_last_batch_counts_by_what_it_visits(tmp_path: Path) -> None:
    rates = ["schedule=one_cycle", "schedule.max_lr=0.1"]
    whole, steps = records(tmp_path / "whole", *rates)
    assert (whole.visited, whole.updates, max(steps)) == (160, 4, 2)
    cut, steps = records(tmp_path / "cut", "drop_last=true", *rates)
    assert (cut.visited, cut.updates, max(steps)) == (144, 3, 2)
    assert cut.fingerprint != whole.fingerprint
    # One cycle over 6 steps in place of 8: another rate where the second epoch begins.
    assert cut.epochs[1].learning_rate != whole.epochs[1].learning_rate
    few, _ = records(tmp_path / "few", "data.train_samples=144", *rates)
    for a, b in zip(cut.epochs, few.epochs, strict=True):
        assert a.running_loss == b.running_loss  # the same samples, in the same order
        assert a.test_loss == b.test_loss


def test_a_batch_larger_than_the_data_is_refused_in_one_line(tmp_path: Path) -> None:
    few = ["data.train_samples=160", "drop_last=true", "epochs=1"]
    with pytest.raises(NNBenchError) as caught:
        run_here(tmp_path, [*few, "batch_size=161"])
    assert str(caught.value) == (
        "Received drop_last=true with batch_size=161 and 160 training samples, which leaves no "
        "batch; use drop_last=false or batch_size=160 at most."
    )
    assert isinstance(caught.value, ConfigError)
    assert not (tmp_path / "run.json").exists()
    run = run_here(tmp_path / "all", [*few, "batch_size=160"])
    assert run.updates == 1


def test_what_is_no_flag_is_refused() -> None:
    with pytest.raises(ConfigError, match="drop_last"):
        compose(["drop_last=3"])


def test_a_task_and_its_record_count_alike(tmp_path: Path) -> None:
    cell = compose(["data=synthetic", "data.samples=200", "batch_size=48", "drop_last=true"])
    task = make_task(cell.config, data.load(cell.config.data, kind="classification", seed=0))
    run = make_run(tmp_path, config=cell.values, data={"samples": {"train": 160}})
    assert (run.visited, run.updates) == (task.visited(160), task.steps(160)) == (144, 3)


TANH = Activation("tanh")
NOISY = case(Dense(6), BatchNorm(), TANH, Dropout(0.3), inputs="flat")
# Nets that see no batch as a whole: a step of several batches is a step of one large one.
SEPARATE = {
    "dense": case(Dense(6), TANH, inputs="flat"),
    "plain sgd": case(Dense(6), TANH, inputs="flat", optimizer=SGD()),
    "sum": case(Dense(6), TANH, inputs="flat", loss=Loss("bce", "sum", "sum")),
    "images, sgd": case(Conv2d(3), TANH, Flatten(), optimizer=SGD()),
    "images, adam": case(Conv2d(3), TANH, Flatten(), optimizer=Adam(weight_decay=0.1)),
    "clipped": case(Dense(6), TANH, inputs="flat", optimizer=RMSprop(clip_norm=0.1, clip_value=1)),
}


@pytest.mark.parametrize("name", SEPARATE)
@pytest.mark.parametrize(
    ("backend", "execution"),
    [*ALL[:3], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ALL[3:])],
    ids=str,
)
def test_small_batches_together_are_a_large_one(backend: str, execution: str, name: str) -> None:
    """200 samples: updates of 64, 64, 64 and 8, the last one of a ragged batch alone."""
    small, large = SEPARATE[name].accumulating(2), SEPARATE[name].in_batches(64)
    found, expected = (
        trained(factory(backend)(c.on(execution), c.splits), c.params, c.walks())
        for c in (small, large)
    )
    assert [len(w.lr) for w in small.walks()] == [len(w.lr) for w in large.walks()] == [4, 4, 4]
    assert relative_difference(expected, found) <= 1e-14


def test_a_mean_of_means_would_be_caught() -> None:
    """What scripts do that divide by the number of batches: the ragged one weighs too much."""

    class MeanOfMeans(NumpyTrainer):
        def _accumulated(self, x: Any, t: Any, keys: Any) -> Any:
            logits, grads = super()._accumulated(x, t, keys)
            size = len(x) / (self.task.batch_size * len(keys))
            return logits, {key: size * g for key, g in grads.items()}

    given = SEPARATE["dense"].accumulating(7)
    with pytest.raises(AssertionError, match="diverges at step 1 "):
        equals_the_reference(MeanOfMeans, "reference", given)


def test_gradients_of_several_batches_equal_finite_differences() -> None:
    """Each batch is normalised by itself, and drops values by keys of its own."""
    given = NOISY.in_batches(4).accumulating(2)
    trainer = NumpyTrainer(given.task, {name: s.first(6) for name, s in given.splits.items()})
    trainer.load(given.params)
    keys, targets = trainer.keys(0, 2), trainer._targets["train"]
    x, t = trainer._gather("train", slice(0, 6)), trainer._target_matrix

    def loss() -> float:
        total = 0.0
        for rows, key in zip((slice(4), slice(4, 6)), keys, strict=True):
            logits = trainer.activations(x[rows], key)[-1]
            total += metrics.sample_losses(logits, targets[rows], given.task.loss, "softmax").sum()
        return total / 6

    _, grads = trainer._accumulated(x, t, keys)
    scale = max(np.abs(g).max() for g in grads.values())
    for key, grad in grads.items():
        p = trainer._params[key]
        for index in np.ndindex(p.shape):
            kept, sides = p[index], []
            for moved in (kept + 1e-5, kept - 1e-5):
                p[index] = moved
                sides.append(loss())
            p[index] = kept
            assert abs((sides[0] - sides[1]) / 2e-5 - grad[index]) <= 1e-7 * scale


def test_every_batch_of_a_step_draws_by_a_key_of_its_own() -> None:
    task = dataclasses.replace(NOISY.task, gradient_accumulation_steps=3)
    assert task.batches(0, 200) == range(7)
    assert task.batches(3, 96) == range(9, 12)  # the second epoch begins at step 3, not batch 7
    assert (task.steps(200), task.step_samples) == (3, 96)


@pytest.mark.parametrize(
    ("backend", "execution"),
    [*ALL[1:3], *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ALL[3:])],
    ids=str,
)
def test_stopped_between_updates_and_resumed_it_ends_in_the_same_bits(
    backend: str, execution: str
) -> None:
    given, make = NOISY.accumulating(2), factory(backend)
    task, epochs = given.on(execution), given.walks()
    first, second = make(task, given.splits), make(task, given.splits)
    expected = trained(first, given.params, epochs)
    first.load(given.params)
    first.train(epochs[0])
    first.train(epochs[1].part(0, 3, task.step_samples))
    second.restore(first.state())
    second.train(epochs[1].part(3, 4, task.step_samples))
    second.train(epochs[2])
    assert all(np.array_equal(p, expected[key]) for key, p in second.params().items())


def test_a_run_counts_updates(tmp_path: Path) -> None:
    """4 batches of 48, 48, 48 and 16 are 2 updates; a schedule has as many rates."""
    rates = ["schedule=one_cycle", "schedule.max_lr=0.1", "gradient_accumulation_steps=3"]
    run, _ = records(tmp_path / "three", *rates)
    assert (run.visited, run.updates) == (160, 2)
    alone, _ = records(tmp_path / "large", *rates[:2], "batch_size=144")
    assert alone.updates == 2
    for a, b in zip(run.epochs, alone.epochs, strict=True):
        assert a.test_loss == pytest.approx(b.test_loss, rel=1e-5)
        assert a.learning_rate == b.learning_rate
    assert identity.without_added({"gradient_accumulation_steps": 1, "drop_last": False}) == {}


def test_what_cannot_take_several_batches_refuses_them_by_name() -> None:
    with pytest.raises(ConfigError, match=r"gradient_accumulation_steps=0.*at least 1"):
        compose(["gradient_accumulation_steps=0"])
    task = natively(small_task("graph", gradient_accumulation_steps=3))
    with pytest.raises(UnsupportedSpec) as caught:
        factory("keras")(task, small_splits())
    assert str(caught.value) == (
        "Received gradient_accumulation_steps=3 with semantics=native; an epoch has 7 batches, and "
        "Keras takes those left over into the next one: use a number that divides them, or "
        "semantics=matched."
    )
    kept = dataclasses.replace(task, drop_last=True)
    assert factory("keras")(kept, small_splits()).params()
    pytest.importorskip("torch")
    from nnbench.backends.torch.graphs import check_graphs

    with pytest.raises(UnsupportedSpec, match="cudagraph, which records steps of one batch"):
        check_graphs(task, SimpleNamespace(type="cuda"))  # type: ignore[arg-type]
    pytest.importorskip("forgeNN")
    from nnbench.backends.forgenn.trainer import ForgeNNTrainer

    plain = small_task("plain", dtype="float32", gradient_accumulation_steps=2)
    plain = dataclasses.replace(plain, loss=Loss("mse"), optimizer=SGD())
    with pytest.raises(UnsupportedSpec, match="forgenn has no steps of several batches"):
        ForgeNNTrainer(plain, small_splits())
