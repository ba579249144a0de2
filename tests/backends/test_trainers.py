"""What the conformance kit does not ask of a Trainer: odd slices, native semantics, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnbench.backends.protocol import Trainer, Walk
from nnbench.errors import UnsupportedSpec
from nnbench.model.init import Params
from nnbench.model.layers import Activation, BatchNorm, Dense, Dropout, Layer
from nnbench.testing.checks import global_random_state
from support.backends import (
    ALL,
    ALL_IN_SHORT,
    SMALL,
    factory,
    natively,
    small_splits,
    small_task,
    small_walks,
)

PARAMS = SMALL.params


task_for = small_task


PAIRS = [*ALL[:3], ("keras", "graph"), ALL[4], pytest.param(ALL[3], marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda p: f"{p[0]}-{p[1]}")
def built(request: pytest.FixtureRequest) -> Trainer:
    """Built once per backend: compiling takes seconds."""
    backend, execution = request.param
    return factory(backend)(task_for(execution), small_splits())


@pytest.fixture
def trainer(built: Trainer) -> Trainer:
    built.load(PARAMS)
    return built


def same(a: Params, b: Params) -> bool:
    return all((a[key] == b[key]).all() for key in a)


def walk() -> Walk:
    return small_walks()[0]


@pytest.mark.parametrize("cuts", [[3], [1, 2, 6], [6]])
def test_slices_of_a_walk_equal_the_whole_bit_for_bit(trainer: Trainer, cuts: list[int]) -> None:
    whole = walk()
    trainer.train(whole)
    expected = trainer.params()
    trainer.load(PARAMS)
    cuts = [cut * trainer.slice_multiple for cut in cuts]
    for start, stop in zip([0, *cuts], [*cuts, 7], strict=True):
        trainer.train(whole.part(start, stop, 32))
    assert same(trainer.params(), expected)


@pytest.mark.parametrize("n", [200, 192, 20, 33])
def test_warming_up_leaves_the_state_bit_unchanged(trainer: Trainer, n: int) -> None:
    trainer.train(walk())
    before = trainer.state()
    trainer.warm_up(n)
    after = trainer.state()
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)
    trainer.train(walk())
    expected = trainer.params()
    trainer.load(PARAMS)
    for _ in range(2):
        trainer.train(walk())
    assert same(trainer.params(), expected)


@pytest.mark.parametrize(("backend", "execution"), ALL_IN_SHORT, ids=str)
def test_building_leaves_global_random_state_alone(backend: str, execution: str) -> None:
    make = factory(backend)
    before = global_random_state()
    if backend == "torch":
        import torch

        torch_before = torch.random.get_rng_state()
    make(task_for(execution), small_splits())
    assert global_random_state() == before
    if backend == "torch":
        assert (torch.random.get_rng_state() == torch_before).all()


@pytest.mark.parametrize(("backend", "execution"), ALL_IN_SHORT, ids=str)
def test_native_semantics_learn_with_the_frameworks_own_weights(
    backend: str, execution: str
) -> None:
    task = natively(task_for(execution))
    make = factory(backend)
    first, second = make(task, small_splits()), make(task, small_splits())
    assert same(first.params(), second.params())  # seeded
    other = make(dataclasses.replace(task, seed=1), small_splits())
    assert not same(first.params(), other.params())
    losses = [first.train(dataclasses.replace(w, order=None)).loss_sum for w in small_walks()]
    assert losses[-1] < losses[0]
    in_order = second.train(dataclasses.replace(small_walks()[0], order=np.arange(200)))
    assert in_order.loss_sum != losses[0]  # the framework shuffles by itself


@pytest.mark.parametrize(
    "layers",
    [pytest.param((), marks=pytest.mark.slow), (Dense(8), BatchNorm(), Dropout(0.4))],
    ids=["", "random"],
)
@pytest.mark.parametrize(
    ("backend", "execution"),
    [*ALL[:3], ("keras", "graph"), *(pytest.param(*p, marks=pytest.mark.slow) for p in ALL[3:])],
    ids=str,
)
def test_native_runs_are_repeated_by_their_seed_and_resumed(
    backend: str, execution: str, layers: tuple[Layer, ...]
) -> None:
    """The framework's own order and dropout belong to what a checkpoint brings back."""
    architecture = SMALL.task.architecture
    architecture = dataclasses.replace(architecture, layers=(*layers, *architecture.layers))
    task = natively(small_task(execution, architecture=architecture))
    walks = [dataclasses.replace(w, order=None) for w in small_walks()]
    first = factory(backend)(task, small_splits())
    first.train(walks[0])
    kept = first.state()
    first.train(walks[1])
    second = factory(backend)(task, small_splits())
    second.train(walks[0])
    second.train(walks[1])
    assert same(second.params(), first.params())
    resumed = factory(backend)(task, small_splits())
    resumed.restore(kept)
    resumed.train(walks[1])
    assert same(resumed.params(), first.params())
    resumed.restore(kept)
    resumed.train(walks[2])  # at other rates, and in another order
    assert not same(resumed.params(), first.params())


@pytest.mark.parametrize(("backend", "execution"), ALL_IN_SHORT, ids=str)
def test_a_native_walk_visits_as_many_samples_as_it_says(backend: str, execution: str) -> None:
    task = natively(task_for(execution))
    trainer = factory(backend)(task, small_splits())
    trainer.load(PARAMS)
    order = np.arange(40)
    rates = np.zeros(2)
    expected = trainer.train(Walk(order, rates, 40, 0, 0, 0))
    found = trainer.train(Walk(None, rates, 40, 0, 0, 0))
    assert found.samples == expected.samples == 40
    assert found.loss_sum == pytest.approx(expected.loss_sum, rel=1e-12)


@pytest.mark.parametrize(("backend", "execution"), ALL_IN_SHORT, ids=str)
def test_what_a_backend_cannot_do_is_refused_in_one_line(backend: str, execution: str) -> None:
    make = factory(backend)
    for change in ({"execution": "warp"}, {"device": "cuda"}):
        with pytest.raises(UnsupportedSpec) as caught:
            make(dataclasses.replace(task_for(execution), **change), small_splits())  # type: ignore[arg-type]
        assert next(iter(change.values())) in str(caught.value)
        assert "\n" not in str(caught.value)
    swish = Activation("swish")  # type: ignore[arg-type]
    architecture = task_for(execution).architecture
    architecture = dataclasses.replace(architecture, layers=(*architecture.layers, swish))
    with pytest.raises(UnsupportedSpec, match="swish"):
        make(dataclasses.replace(task_for(execution), architecture=architecture), small_splits())
