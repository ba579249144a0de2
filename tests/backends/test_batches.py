"""What an epoch is cut into: the last batch left out, on every backend and from every loader."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnbench import data
from nnbench.backends.protocol import Task, Walk
from nnbench.config.composition import compose
from nnbench.errors import ConfigError, NNBenchError
from nnbench.model import metrics
from nnbench.records import trajectory
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
