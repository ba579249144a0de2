"""What every Trainer must do at the edges: ties, zeros, NaN, no rows, many rows, many epochs."""

from __future__ import annotations

import numpy as np

from nnbench.backends.drift import trained
from nnbench.backends.parity import relative_difference
from nnbench.backends.protocol import Walk
from nnbench.data.dataset import Split
from nnbench.model.layers import Activation, Conv2d, Dense, Dropout, Flatten, MaxPool2d
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import Adam
from nnbench.testing.cases import OUTPUTS, case
from nnbench.testing.completion import done_on_return
from nnbench.testing.equality import Pair
from nnbench.testing.requirements import require, same
from nnbench.testing.subject import Subject


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


def dropout_in_evaluation_goes_by_the_sample(s: Subject) -> None:
    """What is dropped in evaluation is the same however many samples are computed at a time."""
    from nnbench.backends.numpy import NumpyTrainer

    layers = Dense(8), Activation("tanh"), Dropout(0.5, in_evaluation=True)
    large = case(*layers, inputs="flat").of(s.dtype)
    splits = large.sized(0) | {"test": large.draw(5000, 21)}
    splits["val"] = splits["test"].first(1500)
    trainer = s.make(large.on(s.task.execution), splits)
    reference = NumpyTrainer(large.task, splits)
    for each in (trainer, reference):
        each.load(large.params)
    for name in ("test", "val"):
        close = np.isclose(trainer.evaluate(name), reference.evaluate(name), rtol=1e-4, atol=1e-5)
        rows = int((~close).any(axis=1).sum())
        require(not rows, f"{rows} of {len(splits[name])} samples are dropped from otherwise")


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
