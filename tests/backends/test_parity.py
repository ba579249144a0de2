"""Matched backends agree: the sigmoid net of the first comparison, then every piece of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from nnbench import data
from nnbench.backends.drift import drift, trained
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.parity import (
    Agreement,
    Verdict,
    compare,
    first_parts,
    first_steps,
    moved_by_one_ulp,
    relative_difference,
    verdict,
)
from nnbench.backends.protocol import Params, Task, TrainStats, Walk
from nnbench.config.composition import compose
from nnbench.data.dataset import Split
from nnbench.model import streams
from nnbench.model.init import initial_params
from nnbench.model.layers import Activation, Conv2d, Flatten, MaxPool2d
from nnbench.model.network import ParamKey
from nnbench.testing import BLOCKS, equals_the_reference
from nnbench.testing.cases import case
from nnbench.training.runner import make_task
from support.backends import BACKENDS, SMALL, factory, small_splits, small_task, small_walks


@cache
def first_comparison(dtype: str) -> tuple[Task, dict[str, Split], Params]:
    """Bare nnbench: 784-128-10 sigmoid, 1,000 samples of mnist_5k, summed bce, batch 1."""
    config = compose([f"dtype={dtype}"]).config
    dataset = data.load(config.data, kind="classification", seed=0)
    task = make_task(config, dataset)
    splits = dataset.splits | {"train_eval": dataset.splits["train"]}
    return task, splits, initial_params(config.init, task.architecture, 0, dtype)  # type: ignore[arg-type]


def epochs_at_batch_1(count: int, samples: int = 1000) -> Iterator[Walk]:
    for epoch in range(count):
        yield Walk(np.arange(samples), np.full(samples, 0.005), samples, epoch, epoch * samples, 0)


@cache
def numpy_weights(dtype: str, epochs: int) -> Params:
    task, splits, params = first_comparison(dtype)
    return trained(NumpyTrainer(task, splits), params, epochs_at_batch_1(epochs))


LONG = {("fit", "float64"), ("fit", "float32"), ("eager", "float64"), ("eager", "float32")}


@pytest.mark.parametrize(
    ("backend", "execution", "dtype", "bound", "epochs"),
    [
        # A fit of 20,000 batches takes half a minute, PyTorch a third of that: test_blocks compares
        # their steps.
        *(
            pytest.param(b, e, dtype, bound, 20, marks=[pytest.mark.slow] * ((e, dtype) in LONG))
            for b, e in BACKENDS
            for dtype, bound in (("float64", 1e-12), ("float32", 1e-4))
        ),
    ],
)
def test_epochs_at_batch_1_end_in_the_same_weights(
    backend: str, execution: str, dtype: str, bound: float, epochs: int
) -> None:
    task, splits, params = first_comparison(dtype)
    task = dataclasses.replace(task, execution=execution)
    found = trained(factory(backend)(task, splits), params, epochs_at_batch_1(epochs))
    expected = numpy_weights(dtype, epochs)
    largest = max(float(np.abs(found[key] - expected[key]).max()) for key in expected)
    assert relative_difference(params, expected) > 1.0  # it did train
    assert largest <= bound


def test_a_walk_that_visits_another_order_is_caught() -> None:
    a, b = (NumpyTrainer(small_task(), small_splits()) for _ in range(2))
    swapped = [dataclasses.replace(w, order=np.roll(w.order, 32)) for w in small_walks()]
    expected, found = trained(a, SMALL.params, small_walks()), trained(b, SMALL.params, swapped)
    assert relative_difference(expected, found) > 1e-6


class AnotherOrder(NumpyTrainer):
    """Each batch's samples in an order of its own: what rounds otherwise, and does nothing else."""

    def train(self, walk: Walk) -> TrainStats:
        assert walk.order is not None
        size, rng = self.task.batch_size, np.random.default_rng(walk.first_step)
        parts = np.split(walk.order, range(size, len(walk.order), size))
        return super().train(
            dataclasses.replace(walk, order=np.concatenate([rng.permutation(p) for p in parts]))
        )


NORMED = (
    "arch=layers",
    "arch.layers=[{name: conv2d, filters: 8, stride: 2, bias: false}, {name: batch_norm, "
    "momentum: 0.01, epsilon: 0.001, variance: biased}, relu, global_avg_pool2d]",
    *("loss=cross_entropy", "optimizer=rmsprop", "init=glorot", "dtype=float64", "batch_size=32"),
)


def outside(seed: int, backend: str) -> list[bool]:
    """Return of each step of a net whether another order is outside of the envelope."""
    config = compose([f"backend={backend}", *NORMED]).config
    dataset = data.load(config.data, kind="classification", seed=0)
    task = make_task(config, dataset)
    splits = dataset.splits | {"train_eval": dataset.splits["train"]}
    params = initial_params(config.init, task.architecture, seed, "float64")  # type: ignore[arg-type]
    order = streams.order(seed, 0, 1000, shuffle=True)[: 32 * 21]
    walk = Walk(order, np.full(21, 0.01), len(order), 0, 0, seed)
    steps = [walk.part(i, i + 1, 32) for i in range(21)]
    reference, other = (make(task, splits) for make in (NumpyTrainer, AnotherOrder))
    return [not f["other"].within for f in drift(reference, {"other": other}, params, steps)]


@pytest.mark.parametrize("backend", ["numpy", "numpy_reference"])
def test_sums_that_are_rounded_in_another_way_agree(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RMSprop divides by gradients that batch norm leaves next to nothing of."""
    seeds = (1, 4, 18)  # of 25 those that parted before
    assert not any(any(outside(seed, backend)) for seed in seeds)
    monkeypatch.setattr(NumpyTrainer, "go_backwards", lambda *_, **__: None)
    assert any(any(outside(seed, backend)) for seed in seeds), (
        "one ulp in the weights alone finds more"
    )


@pytest.mark.parametrize("execution", ["reference", "fused"])
@pytest.mark.parametrize("name", ["dropout of images", "augment shift", "dense", "batch_norm 1d"])
def test_backwards_draws_the_same_masks(name: str, execution: str) -> None:
    """Rounding apart, the way is the same: of dropout, of augmentation, of accumulated batches."""
    net = BLOCKS[name]
    task = dataclasses.replace(net.on(execution), gradient_accumulation_steps=2)
    forwards, backwards = (NumpyTrainer(task, net.splits) for _ in range(2))
    backwards.go_backwards(yes=True)
    walk = net.walks()[0]
    walk = dataclasses.replace(walk, lr=walk.lr[: task.steps(walk.samples)])
    a, b = (trained(trainer, net.params, [walk]) for trainer in (forwards, backwards))
    assert 0 < relative_difference(a, b) < 1e-12
    assert relative_difference(a, net.params) > 1e-3
    stats = [trainer.train(walk) for trainer in (forwards, backwards)]
    assert stats[0].loss_sum == pytest.approx(stats[1].loss_sum, rel=1e-12)
    assert stats[0].correct == stats[1].correct
    for trainer in (forwards, backwards):
        trainer.go_backwards(yes=False)
        trainer.load(net.params)
    a, b = (trained(trainer, net.params, [walk]) for trainer in (forwards, backwards))
    assert all((a[key] == b[key]).all() for key in a)


def apart(difference: float, one_ulp: float) -> Agreement:
    return Agreement(difference, one_ulp, {0: 0.0, 2: difference}, {0: one_ulp, 2: one_ulp})


def test_a_verdict_is_one_of_four() -> None:
    good, bad, wild = apart(1e-14, 1e-15), apart(1e-12, 1e-15), apart(1.0, 1e-4)
    assert verdict([good, good]) == Verdict("agrees", 2)
    assert verdict([good, bad, good]) == Verdict("diverges", 3, 1)
    assert verdict([good, good, wild]) == Verdict("chaotic", 2)
    assert verdict([wild, good]) == Verdict("not proven", 0)
    assert verdict([]) == Verdict("not proven", 0)
    assert verdict([good, bad, wild]) == Verdict("diverges", 2, 1)  # the stable prefix does
    assert verdict([apart(float("nan"), 1e-15)]).outcome == "diverges"
    assert verdict([good, apart(0.0, float("nan"))]) == Verdict("chaotic", 1)
    assert bad.layer == 2


def test_zeros_stay_zero_in_the_perturbed_twin() -> None:
    for dtype in ("float32", "float64"):
        weights = np.array([0.0, -0.0, 1.5, -3.0, 1e-30], dtype)
        moved = moved_by_one_ulp({ParamKey(0, "bias"): weights})[ParamKey(0, "bias")]
        assert moved.dtype == dtype
        assert (moved[:2] == 0).all()
        step = np.abs(moved[2:] - weights[2:]) / np.spacing(np.abs(weights[2:]))
        assert (step == 1).all()


def test_the_envelope_is_never_narrower_than_what_storing_a_weight_rounds() -> None:
    """A net whose weights are all zero, or whose perturbation has faded, has rounding too."""
    for dtype, floor in (("float32", 2**-23), ("float64", 2**-52)):
        params = SMALL.of(dtype).params  # type: ignore[arg-type]
        found = compare(params, params, params)
        assert found.envelope == 100 * floor
        nothing = {key: p * 0 for key, p in params.items()}
        nothing[ParamKey(0, "kernel")][0, 0] = 1.0
        assert compare(nothing, nothing, nothing).within


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, []),
        (2, [1]),
        (7, [1, 2, 4]),
        (16, [1, 2, 4, 8]),
        (17, [1, 2, 4, 8, 16]),
        (1000, [1, 2, 4, 8, 16, 32]),
        (1875, [1, 2, 4, 8, 16, 32, 64]),
    ],
)
def test_the_first_steps_are_powers_of_two(steps: int, expected: list[int]) -> None:
    assert first_steps(steps) == expected
    parts = first_parts(Walk(np.arange(3 * steps), np.arange(steps), 3 * steps, 0, 0, 0), 3)
    assert np.cumsum([len(part.lr) for part in parts]).tolist() == expected
    taken = sum(len(part.lr) for part in parts)
    visited = [sample for part in parts for sample in part.order]  # type: ignore[union-attr]
    assert visited == list(range(3 * taken))


def test_a_relu_on_a_dark_background_is_compared() -> None:
    """Zero biases behind zero pixels: moved, they would let whole backgrounds learn by a coin."""
    layers = Conv2d(3, 3), Activation("relu"), MaxPool2d(), Flatten()
    dark = case(*layers, inputs="image", rate=0.05)
    params = {k: p * (k.role == "kernel") for k, p in dark.params.items()}
    splits = {name: Split(_dimmed(s.inputs), s.targets) for name, s in dark.splits.items()}
    reference, other = (NumpyTrainer(dark.on(e), splits) for e in ("reference", "fused"))
    found = [step["other"] for step in drift(reference, {"other": other}, params, dark.steps())]
    assert verdict(found) == Verdict("agrees", 21)
    assert max(each.one_ulp for each in found) <= 1e-14


def _dimmed(images: np.ndarray) -> np.ndarray:
    return np.where(np.arange(images.shape[2])[:, None] < 4, 0, images).astype(np.uint8)


def test_nan_weights_never_agree() -> None:
    broken = {key: p * np.nan for key, p in SMALL.params.items()}
    assert not compare(SMALL.params, SMALL.params, broken).within


def test_the_step_and_the_layer_that_part_are_named() -> None:
    """A backend whose first layer takes a wrong step 5 is caught there, not at the end."""

    class Wrong(NumpyTrainer):
        def train(self, walk: Walk) -> TrainStats:
            stats = super().train(walk)
            if walk.first_step == 4:
                self._params[ParamKey(0, "kernel")] *= 1.0 + 1e-9
            return stats

    with pytest.raises(
        AssertionError, match=r"diverges at step 5 of 21, most in layer 1 \(dense\)"
    ):
        equals_the_reference(Wrong, "reference", SMALL)
