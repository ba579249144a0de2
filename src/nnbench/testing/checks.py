"""What every Trainer must do, one function each; a check fails with a sentence."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from nnbench.backends.parity import relative_difference, trained
from nnbench.backends.protocol import DType, Trainer, TrainerFactory, Walk
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.model import metrics
from nnbench.model.init import Params
from nnbench.model.layers import Activation, Conv2d, Dense, Dropout, Flatten, MaxPool2d
from nnbench.model.losses import Loss
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import Adam
from nnbench.testing.cases import BATCH, OUTPUTS, SAMPLES, STEPS, case
from nnbench.testing.completion import done_on_return
from nnbench.testing.equality import Pair
from nnbench.testing.requirements import copied, require, same


class Subject:
    """A trainer under test: a sigmoid net on flat images of bytes, summed binary cross-entropy."""

    def __init__(self, make: TrainerFactory, execution: str, dtype: DType = "float64") -> None:
        layers = Dense(16), Activation("sigmoid")
        self.case = case(*layers, inputs="pixels", loss=Loss("bce", "sum")).of(dtype)
        self.floats = case(*layers, inputs="flat").of(dtype)
        self.make, self.dtype = make, dtype
        self.task, self.splits = self.case.on(execution), self.case.splits
        self.params = self.case.params

    @cached_property
    def _built(self) -> Trainer:
        return self.make(self.task, self.splits)

    @property
    def trainer(self) -> Trainer:
        """The trainer, freshly loaded; built once, since compiling may take seconds."""
        self._built.load(self.params)
        return self._built

    def walk(self, epoch: int = 0) -> Walk:
        """A shuffled epoch whose learning rate falls within it."""
        return self.case.walks()[epoch]

    def after(self, *walks: Walk) -> Params:
        """The weights after training along `walks`, from the initial ones."""
        return trained(self._built, self.params, walks)


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
    expected = metrics.mean_loss(trainer.evaluate("train"), targets, s.task.loss, "sigmoid")
    require(stats.samples == SAMPLES, f"counted {stats.samples} of {SAMPLES} samples")
    off = abs(stats.loss_sum / stats.samples - expected)
    require(
        off <= 4e3 * float(np.finfo(s.dtype).eps) * expected, f"running loss is off by {off:.1e}"
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


def first_maximum_gets_the_gradient(s: Subject) -> None:
    """Of equal maxima in a pooling window the first, row by row, gets the gradient.

    Pixels 0, 1, 2 under weights of 1/2 give exact sums: windows tie whose patches differ.
    """
    from nnbench.backends.numpy import NumpyTrainer

    tied = case(Conv2d(2, 2, bias=False), MaxPool2d(), Flatten(), inputs="ties").of(s.dtype)
    params = tied.params
    params[ParamKey(0, "kernel")][...] = 0.5
    walk = [tied.steps()[0]]
    expected = trained(NumpyTrainer(tied.task, tied.splits), params, walk)
    found = trained(s.make(tied.on(s.task.execution), tied.splits), params, walk)
    off = relative_difference(expected, found)
    require(
        off <= 500 * float(np.finfo(s.dtype).eps),
        f"weights differ by {off:.1e}: another of equal maxima was taken",
    )


def work_is_done_when_train_returns(s: Subject) -> None:
    """Asking for weights, state or logits after `train` does none of its work."""
    done_on_return(s.make, s.task.execution, s.floats)


def large_and_late_epochs(s: Subject) -> None:
    """Thousands of samples, and an epoch far into a run, train as the reference does."""
    layers = Dense(8), Activation("tanh"), Dropout(0.3)
    large = case(*layers, inputs="flat", optimizer=Adam()).of(s.dtype)
    splits = large.sized(0) | {"train": large.draw(3000, 20)}
    splits["train_eval"] = splits["train"].first(1500)
    steps = large.task.steps(3000)
    walks = [
        Walk(
            np.random.default_rng(epoch).permutation(3000),
            np.full(steps, 0.003),
            3000,
            epoch,
            epoch * steps,
            large.task.seed,
        )
        for epoch in (0, 1, 700)
    ]
    Pair.of(s.make, s.task.execution, large, splits).trains(walks, "with 3,000 samples ")


def nan_inputs_give_nan(s: Subject) -> None:
    """A sample with a NaN has logits that are NaN, the others theirs; its loss is NaN too."""
    splits = {name: _with_nan(split) for name, split in s.floats.sized(0).items()}
    trainer, clean = (s.make(s.floats.on(s.task.execution), d) for d in (splits, s.floats.sized(0)))
    for each in (trainer, clean):
        each.load(s.floats.params)
    for name, split in splits.items():
        rows = np.isnan(split.inputs).any(axis=1)
        logits, expected = trainer.evaluate(name), clean.evaluate(name)
        require(
            bool(np.isnan(logits[rows]).any(axis=1).all()),
            f"a sample of {name} with a NaN has finite logits",
        )
        require(
            bool(np.allclose(logits[~rows], expected[~rows], rtol=1e-5)),
            f"a NaN in one sample of {name} changed the logits of another",
        )
    stats = trainer.train(s.floats.walks()[0])
    require(bool(np.isnan(stats.loss_sum)), f"a NaN among the inputs: loss {stats.loss_sum:g}")


def _with_nan(split: Split) -> Split:
    """Return the split with a NaN in its middle row, unless that is all it has."""
    inputs = split.inputs.copy()
    inputs[len(inputs) // 2 : len(inputs) // 2 + (len(inputs) > 1), 1] = np.nan
    return Split(inputs, split.targets)


def no_rows_no_logits(s: Subject) -> None:
    """A split without samples has logits of shape (0, outputs)."""
    empty = s.case.draw(0, 0)
    trainer = s.make(s.task, {**s.splits, "val": empty, "test": empty})
    found = trainer.evaluate("val").shape
    require(found == (0, OUTPUTS), f"the logits of a split of 0 rows have shape {found}")


def relu_has_no_slope_at_zero(s: Subject) -> None:
    """Where a relu sees exactly 0, as behind blank inputs with biases of 0, nothing is learnt."""
    blank = case(Dense(6), Activation("relu"), inputs="flat").of(s.dtype)
    blank = blank.where(lambda split: Split(np.zeros_like(split.inputs), split.targets))
    params = blank.params
    params[ParamKey(0, "bias")][...] = 0.0
    trainer = s.make(blank.on(s.task.execution), blank.splits)
    moved = trained(trainer, params, [blank.steps()[0]])[ParamKey(0, "bias")]
    require(bool((moved == 0.0).all()), "the derivative of relu at 0 is not 0")


def splits_are_told_apart(s: Subject) -> None:
    """Each split's logits are those of its own rows, whatever was evaluated before."""
    trainer = s.make(s.task, s.case.sized(1))
    trainer.load(s.params)
    names = ("test", "val", "train", "train_eval")
    once = {name: trainer.evaluate(name) for name in names}
    again = {name: trainer.evaluate(name) for name in reversed(names)}
    require(same(once, again), "logits depend on which split was evaluated before")


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        parameters_round_trip,
        training_moves_every_parameter,
        zero_rate_is_identity,
        rate_is_per_step,
        running_loss_is_the_mean,
        ragged_batch_counts,
        slice_law,
        warm_up_changes_nothing,
        load_resets_the_optimizer,
        evaluate_is_pure,
        state_and_restore_continue,
        inputs_are_left_alone,
        global_random_state_is_untouched,
        unknown_layer_is_refused,
        first_maximum_gets_the_gradient,
        relu_has_no_slope_at_zero,
        splits_are_told_apart,
        no_rows_no_logits,
        large_and_late_epochs,
        nan_inputs_give_nan,
        work_is_done_when_train_returns,
    )
}
