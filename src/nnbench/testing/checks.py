"""What every Trainer must do, one function each; a check fails with a sentence."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from nnbench.errors import UnsupportedSpec
from nnbench.model import metrics
from nnbench.model.layers import Activation
from nnbench.testing import edges
from nnbench.testing.cases import BATCH, OUTPUTS, SAMPLES, STEPS
from nnbench.testing.requirements import copied, require, same
from nnbench.testing.subject import Subject


def global_random_state() -> tuple[Any, ...]:
    """Return the state of Python's and NumPy's global generators, comparable by ==."""
    _, key, *rest = np.random.get_state()
    return random.getstate(), np.asarray(key).tolist(), rest


def parameters_round_trip(s: Subject) -> None:
    """`params` returns what `load` was given, bit for bit, as copies."""
    trainer = s.trainer
    require(same(trainer.params(), s.params), "params() differs from what load() was given")
    next(iter(trainer.params().values()))[...] = 7.0
    require(same(trainer.params(), s.params), "writing to params() changed the trainer")


def training_moves_every_parameter(s: Subject) -> None:
    """An epoch changes nearly every value of every parameter."""
    for key, value in s.after(s.walk()).items():
        require((value != s.params[key]).mean() > 0.9, f"{key} hardly moved")


def zero_rate_is_identity(s: Subject) -> None:
    """With a learning rate of 0 no weight changes."""
    found = s.after(dataclasses.replace(s.walk(), lr=np.zeros(STEPS)))
    require(same(found, s.params), "weights moved at learning rate 0")


def rate_is_per_step(s: Subject) -> None:
    """Each step uses its own learning rate."""
    walk = s.walk()
    found = s.after(dataclasses.replace(walk, lr=np.where(np.arange(STEPS) > 0, 0.0, walk.lr)))
    require(same(s.after(walk.part(0, 1, BATCH)), found), "steps of rate 0 moved the weights")


def running_loss_is_the_mean(s: Subject) -> None:
    """With frozen weights the running loss is the loss of the training split."""
    trainer = s.trainer
    stats = trainer.train(dataclasses.replace(s.walk(), lr=np.zeros(STEPS)))
    targets = s.splits["train"].targets
    expected = metrics.mean_loss(trainer.evaluate("train"), targets, s.task.loss, s.output)
    require(stats.samples == SAMPLES, f"counted {stats.samples} of {SAMPLES} samples")
    off = abs(stats.loss_sum / stats.samples - expected)
    require(
        off <= 4e3 * float(np.finfo(s.dtype).eps) * expected, f"running loss is off by {off:.1e}"
    )


def running_accuracy_is_counted(s: Subject) -> None:
    """With frozen weights as many samples are right as the logits say, where they are counted."""
    trainer = s.trainer
    stats = trainer.train(dataclasses.replace(s.walk(), lr=np.zeros(STEPS)))
    expected = metrics.count_correct(trainer.evaluate("train"), s.splits["train"].targets)
    require(
        stats.correct in (None, expected),
        f"counted {stats.correct} samples as right, of {expected}",
    )


def ragged_batch_counts(s: Subject) -> None:
    """The last, smaller batch is trained on."""
    walk = s.walk()
    found = s.after(walk.part(0, STEPS - 1, BATCH))
    require(not same(found, s.after(walk)), "the ragged last batch changed nothing")


def slice_law(s: Subject) -> None:
    """Parts of a walk equal the whole walk, bit for bit."""
    walk = s.walk()
    cuts = [0, *(c for c in (1, 2, 6) if c % s.trainer.slice_multiple == 0), STEPS]
    parts = [walk.part(start, stop, BATCH) for start, stop in pairwise(cuts)]
    require(
        same(s.after(*parts), s.after(walk)),
        "training on parts of an epoch differs from training on the whole",
    )


def warm_up_changes_nothing(s: Subject) -> None:
    """Warming up, for any number of samples, leaves the state bit-unchanged."""
    trainer = s.trainer
    trainer.train(s.walk())
    before = copied(trainer.state())
    for n in (SAMPLES, 192, 20, 33):
        trainer.warm_up(n)
        require(same(trainer.state(), before), f"warm_up({n}) changed the state")


def load_resets_the_optimizer(s: Subject) -> None:
    """After `load` the momentum of earlier steps is gone."""
    first = s.after(s.walk())
    require(same(s.after(s.walk()), first), "load() kept optimizer state of earlier training")


def evaluate_is_pure(s: Subject) -> None:
    """Evaluating changes no state and gives the same logits again."""
    trainer = s.trainer
    before = copied(trainer.state())
    logits = trainer.evaluate("test")
    require(logits.shape == (SAMPLES, OUTPUTS), f"evaluate() returned shape {logits.shape}")
    require(np.array_equal(trainer.evaluate("test"), logits), "a second evaluate() differs")
    require(same(trainer.state(), before), "evaluate() changed the state")


def state_and_restore_continue(s: Subject) -> None:
    """Training on from a restored state equals training on, bit for bit."""
    trainer = s.trainer
    trainer.train(s.walk())
    kept = copied(trainer.state())
    trainer.train(s.walk(1))
    expected = trainer.params()
    trainer = s.trainer
    trainer.restore(kept)
    trainer.train(s.walk(1))
    require(same(trainer.params(), expected), "training from a restored state differs")


def inputs_are_left_alone(s: Subject) -> None:
    """Splits and walk are as they were."""
    digest, walk = s.splits["train"].digest(), s.walk()
    s.trainer.train(walk)
    require(s.splits["train"].digest() == digest, "training changed the split")
    unchanged = np.array_equal(walk.order, s.walk().order)  # type: ignore[arg-type]
    require(
        unchanged and np.array_equal(walk.lr, s.walk().lr),
        "training changed the epoch order or its learning rates",
    )


def global_random_state_is_untouched(s: Subject) -> None:
    """Neither Python's nor NumPy's global generator is used."""
    trainer = s.trainer
    before = global_random_state()
    trainer.warm_up(SAMPLES)
    trainer.train(s.walk())
    trainer.evaluate("test")
    require(global_random_state() == before, "a global random generator was used")


def unknown_layer_is_refused(s: Subject) -> None:
    """A layer that the backend lacks raises UnsupportedSpec, in one line."""
    architecture = s.task.architecture
    unknown = Activation("swish")  # type: ignore[arg-type]
    architecture = dataclasses.replace(architecture, layers=(*architecture.layers, unknown))
    try:
        s.make(dataclasses.replace(s.task, architecture=architecture), s.splits)
    except UnsupportedSpec as error:
        require("\n" not in str(error), "the refusal has several lines")
        return
    raise AssertionError("a layer that does not exist was accepted")


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        parameters_round_trip,
        training_moves_every_parameter,
        zero_rate_is_identity,
        rate_is_per_step,
        running_loss_is_the_mean,
        running_accuracy_is_counted,
        ragged_batch_counts,
        slice_law,
        warm_up_changes_nothing,
        load_resets_the_optimizer,
        evaluate_is_pure,
        state_and_restore_continue,
        inputs_are_left_alone,
        global_random_state_is_untouched,
        unknown_layer_is_refused,
        edges.first_maximum_gets_the_gradient,
        edges.relu_has_no_slope_at_zero,
        edges.splits_are_told_apart,
        edges.no_rows_no_logits,
        edges.large_and_late_epochs,
        edges.dropout_in_evaluation_goes_by_the_sample,
        edges.nan_inputs_give_nan,
        edges.work_is_done_when_train_returns,
    )
}
