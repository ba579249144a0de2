"""NumPy's fused execution against its reference, where the conformance kit does not go."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from nnbench.backends.drift import agreement
from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.fused import blas, images, online, plan, stages
from nnbench.backends.numpy.fused.online import BLOCK
from nnbench.backends.numpy.fused.stages import largest_product
from nnbench.backends.numpy.fused.team import Team
from nnbench.backends.parity import Agreement
from nnbench.backends.protocol import Walk
from nnbench.errors import UnsupportedSpec
from nnbench.model.layers import (
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
)
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adam, Optimizer
from nnbench.testing.cases import Case, case

RELU, TANH, SIGMOID = Activation("relu"), Activation("tanh"), Activation("sigmoid")


def trainers(given: Case, **changes: Any) -> tuple[NumpyTrainer, NumpyTrainer]:
    task = dataclasses.replace(given.task, **changes)
    fused = dataclasses.replace(task, execution="fused")
    return NumpyTrainer(task, given.splits), NumpyTrainer(fused, given.splits)


def walks(given: Case, batch: int, samples: int = 170, epochs: int = 2) -> list[Walk]:
    """Rates that change from step to step, samples in another order each epoch."""
    steps = -(-samples // batch)
    return [
        Walk(
            np.random.default_rng(epoch).permutation(200)[:samples],
            given.rate * (1.0 + 0.5 * np.sin(np.arange(steps))),
            samples,
            epoch,
            epoch * steps,
            given.task.seed,
        )
        for epoch in range(epochs)
    ]


def compared(given: Case, batch: int, **changes: Any) -> Agreement:
    reference, fused = trainers(given, batch_size=batch, **changes)
    found = agreement(reference, fused, given.params, walks(given, batch))
    assert found.one_ulp < 1e-10
    return found


OUT = {"output": "sigmoid"}
ONLINE: dict[str, tuple[list[Layer], dict[str, Any]]] = {
    "one layer": ([], {}),
    "sigmoid, bce": ([Dense(9), SIGMOID], {"loss": Loss("bce", "sum")}),
    "relu, no bias": ([Dense(9, bias=False), RELU], {}),
    "tanh, mse": ([Dense(9), TANH], {"loss": Loss("mse")}),
    "three layers": ([Dense(9), RELU, Dense(7, bias=False), TANH, Dense(6)], {}),
    "linear": ([Dense(9), Dense(8)], {"loss": Loss("l1"), "kind": "regression"}),
    "sigmoids, mse": ([Dense(9), SIGMOID, Dense(8), SIGMOID], {"loss": Loss("mse", "sum")} | OUT),
    "sigmoids, l1": ([Dense(9), TANH], {"loss": Loss("l1"), "kind": "regression"} | OUT),
    "one sigmoid layer": ([], {"loss": Loss("bce", "sum")}),
    "images": ([Flatten(), Dense(9), RELU], {"inputs": "image"}),
}


@pytest.mark.parametrize("name", ONLINE)
def test_held_back_updates_are_exact(name: str) -> None:
    layers, options = ONLINE[name]
    found = case(*layers, optimizer=SGD(), **({"inputs": "flat"} | options))
    assert trainers(found, batch_size=1)[1].slice_multiple == BLOCK
    result = compared(found, batch=1)
    assert result.within, result
    assert result.difference < 1e-12


def test_what_was_chosen_by_itself_is_told() -> None:
    """Sizes of blocks go into the record; they come from a table, never from a timing."""
    given = case(Dense(9), RELU, inputs="flat", optimizer=SGD())
    one, eight = (trainers(given, batch_size=n)[1].choices for n in (1, 8))
    assert one["steps_per_block"] == BLOCK
    assert eight["steps_per_block"] is None
    assert one["samples_per_evaluation"] == plan.EVALUATED
    assert one["blas_kernel"] is None or one["blas_kernel"] == eight["blas_kernel"]


NOT_ONLINE: dict[str, tuple[list[Layer], Optimizer]] = {
    "momentum": ([Dense(9), RELU], SGD(momentum=0.9)),
    "weight decay": ([Dense(9), RELU], SGD(weight_decay=0.1)),
    "clipping": ([Dense(9), RELU], SGD(clip_norm=0.1)),
    "adam": ([Dense(9), RELU], Adam()),
    "dropout": ([Dense(9), Dropout(0.5)], SGD()),
}


@pytest.mark.parametrize("name", NOT_ONLINE)
def test_batch_size_one_without_holding_back(name: str) -> None:
    layers, optimizer = NOT_ONLINE[name]
    found = case(*layers, optimizer=optimizer, inputs="flat")
    assert trainers(found, batch_size=1)[1].slice_multiple == 1
    assert compared(found, batch=1).within


def test_threads_that_share_nothing_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small net is trained by one of two threads, and says so; a large one by both."""
    given = case(Dense(9), RELU, inputs="flat", optimizer=SGD())
    small = trainers(given, batch_size=1, threads=2)[1]
    assert (small.choices["blas_threads"], small.slice_multiple) == (1, BLOCK)
    monkeypatch.setattr(blas, "SHARED_PRODUCT", 1)
    large = trainers(given, batch_size=1, threads=2)[1]
    assert (large.choices["blas_threads"], large.slice_multiple) == (2, 1)
    assert compared(given, batch=1, threads=2).within


def test_a_block_may_end_anywhere() -> None:
    """Within rounding where it is not the end of a block, bit for bit where it is."""
    given = case(Dense(9), SIGMOID, inputs="flat", optimizer=SGD())
    (walk,) = walks(given, 1, epochs=1)
    _, fused = trainers(given, batch_size=1)
    ends = {}
    for cuts in ([], [BLOCK, 3 * BLOCK], [1, 40, 41, 169]):
        fused.load(given.params)
        for start, stop in zip([0, *cuts], [*cuts, 170], strict=True):
            fused.train(walk.part(start, stop, 1))
        ends[len(cuts)] = fused.params()
    for key, expected in ends[0].items():
        np.testing.assert_array_equal(ends[2][key], expected)
        np.testing.assert_allclose(ends[4][key], expected, rtol=0, atol=1e-14)


IMAGES: dict[str, list[Layer]] = {
    "relu before pooling": [Conv2d(3), RELU, MaxPool2d(), Flatten()],
    "relu after pooling": [Conv2d(3, padding="same"), MaxPool2d(), RELU, Flatten()],
    "tanh before pooling": [Conv2d(3), TANH, MaxPool2d(), Flatten()],
    "two convolutions": [Conv2d(3, padding="same"), MaxPool2d(), Conv2d(4, 2), RELU, Flatten()],
    "pooled twice": [
        Conv2d(3, padding="same"),
        RELU,
        MaxPool2d(),
        Conv2d(4, 3, padding="same", bias=False),
        MaxPool2d(),
        RELU,
        Flatten(),
        Dense(5),
        RELU,
    ],
    "even kernel, same": [Conv2d(3, 4, padding="same"), RELU, MaxPool2d(), Flatten()],
    "kernel of one": [Conv2d(3, 1), MaxPool2d(), Conv2d(2, 1), Flatten()],
    "overlapping pooling": [Conv2d(3), MaxPool2d(3, 2), Flatten()],
    "stride": [Conv2d(3, stride=2), RELU, Conv2d(2, 2), Flatten()],
    "average pooling": [Conv2d(3), AvgPool2d(), Conv2d(2, 2), Flatten()],
    "pooling first": [MaxPool2d(), Conv2d(3, 2), Flatten()],
}


@pytest.mark.parametrize("inputs", ["image", "ties"])
@pytest.mark.parametrize("name", IMAGES)
def test_images_in_parts_of_a_batch(name: str, inputs: Any) -> None:
    """Batches of 70 are three parts, the last of them smaller; the last batch is ragged."""
    given = case(*IMAGES[name], inputs=inputs, rate=0.01)
    assert stages.IMAGES < 70
    assert compared(given, batch=70).within


@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), Adam()]
)
def test_every_kind_of_update_gathers_the_parts(optimizer: Optimizer) -> None:
    given = case(*IMAGES["two convolutions"], optimizer=optimizer, rate=0.003)
    assert compared(given, batch=70).within


LARGE: dict[str, list[Layer]] = {
    "dense": [Dense(9), RELU, Dense(7, bias=False), TANH],
    "images": [Flatten(), Dense(9), SIGMOID],
    "pooled": [Conv2d(3, stride=2), RELU, AvgPool2d(), Flatten()],
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=["sgd", "momentum", "adam"]
)
@pytest.mark.parametrize("name", LARGE)
def test_a_large_batch_goes_in_parts_that_threads_share(
    name: str, optimizer: Optimizer, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As equal as the whole batch, twice the same bits, full batches and ragged ones alike."""
    inputs = "flat" if name == "dense" else "image"
    given = case(*LARGE[name], optimizer=optimizer, rate=0.003, inputs=inputs)
    shapes = given.task.architecture.shapes()
    values = math.prod(given.task.architecture.input_shape) + sum(math.prod(s[3]) for s in shapes)
    for limit in ("PART_BYTES", "SHARED_BYTES"):
        monkeypatch.setattr(stages, limit, 33 * 8 * values)
    for batch, samples in ((70, 170), (200, 200)):
        reference, fused = trainers(given, batch_size=batch, threads=threads)
        assert fused.choices["samples_per_part"] == 33
        assert threads == fused.choices.get("part_threads", 1)
        way = walks(given, batch, samples, epochs=1) * 2
        assert agreement(reference, fused, given.params, way).within
        ends = []
        for _ in range(2):
            fused.load(given.params)
            for walk in way:
                fused.train(walk)
            ends.append(fused.params())
        for key, expected in ends[0].items():
            np.testing.assert_array_equal(ends[1][key], expected)


def test_threads_that_share_a_batch_warn_no_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's warnings are each thread's own; a net that diverges would print them."""
    monkeypatch.setattr(stages, "SHARED_BYTES", 2**13)
    given = case(Dense(9), RELU, inputs="flat", optimizer=SGD(), rate=1e200)
    fused = trainers(given, batch_size=70, threads=2)[1]
    assert fused.choices["part_threads"] == 2
    fused.load(given.params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for walk in walks(given, 70):
            assert not np.isfinite(fused.train(walk).loss_sum)


def test_a_fault_in_a_thread_is_the_step_s() -> None:
    """Nothing that goes wrong in another thread is lost."""

    def fails() -> None:
        raise MemoryError

    done: list[int] = []
    team = Team(3)
    for _ in range(2):
        with pytest.raises(MemoryError):
            team.run([[lambda: done.append(1)], [fails], [lambda: done.append(3)]])
    assert sorted(done) == [1, 1, 3, 3]


@pytest.mark.parametrize("n", [16, 32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("units", [10, 64, 128, 512])
def test_blocks_of_columns_are_no_slivers(
    n: int, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 256 to 1,024 were multiplied in blocks of one to seven columns."""
    monkeypatch.setattr(blas, "_kernel", lambda: "SkylakeX")
    found = blas.Blas("float32")
    blocks = found.columns((n, 784), units)
    assert 784 % blocks == 0
    assert blocks == 1 or 784 // blocks >= blas.LEAST_COLUMNS
    if blocks > 1:
        assert n * units * 784 // blocks <= 10**6


def test_a_batch_that_is_normalised_stays_whole() -> None:
    given = case(Conv2d(3), BatchNorm(), RELU, Flatten(), rate=0.01)
    reference, fused = trainers(given, batch_size=70)
    excluded = given.task.architecture.without_effect()
    assert agreement(reference, fused, given.params, walks(given, 70), excluded).within


@pytest.mark.parametrize("small", [None, 500, 4_000, 60_000])
@pytest.mark.parametrize("name", ["dense", "images"])
def test_the_size_of_products_does_not_matter(
    name: str, small: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the kernel's limit: blocks of columns, blocks of rows, or neither."""
    monkeypatch.setattr(blas, "LEAST_ROWS", 20)
    monkeypatch.setattr(blas, "SMALL_PRODUCT", {"this": small} if small else {})
    monkeypatch.setattr(blas, "_kernel", lambda: "this")
    monkeypatch.setattr(images, "WINDOWS", 100)
    layers = [Flatten(), Dense(16), RELU] if name == "dense" else IMAGES["pooled twice"]
    given = case(*layers, rate=0.01)
    for batch in (16, 150):
        assert compared(given, batch=batch).within


@pytest.mark.parametrize(
    "rule", [SGD(), SGD(momentum=0.9), Adam()], ids=["sgd", "momentum", "adam"]
)
@pytest.mark.parametrize("name", ["dense", "pooled twice"])
def test_two_threads_use_one_blas(
    name: str, rule: SGD | Adam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "SHARED_PRODUCT", 1)
    layers = [Flatten(), Dense(9), RELU] if name == "dense" else IMAGES[name]
    given = case(*layers, optimizer=rule, rate=0.01)
    reference, fused = trainers(given, threads=2)
    assert fused.choices["blas_library"] == ("scipy" if name == "dense" else "numpy")
    assert agreement(reference, fused, given.params, given.walks()).within


@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=["sgd", "momentum", "adam"]
)
@pytest.mark.parametrize("apart", [False, True])
def test_sums_are_added_by_blas_or_afterwards(
    apart: bool, optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the two depends on the kernel of the machine at hand."""
    monkeypatch.setattr(blas, "APART", {blas._kernel()} if apart else set())
    given = case(Dense(40), RELU, inputs="flat", optimizer=optimizer)
    assert compared(given, batch=32).within
    monkeypatch.setattr(blas, "APART_ROWS", 1)
    assert compared(given, batch=32).within


def test_a_convolution_s_product_is_that_of_a_block() -> None:
    """From 4,096 windows on more samples make it no larger."""
    task = case(*IMAGES["pooled twice"]).task
    few, many = (dataclasses.replace(task, batch_size=n) for n in (2, 4096))
    assert largest_product(few) < largest_product(many)
    assert largest_product(many) == largest_product(dataclasses.replace(task, batch_size=8192))


def test_a_full_batch_is_gathered_when_its_order_changes() -> None:
    given = case(Dense(9), RELU, inputs="flat")
    changing, fixed = walks(given, 200, 200, epochs=3), walks(given, 200, 200, epochs=1) * 3
    for way in (changing, fixed):
        reference, fused = trainers(given, batch_size=200)
        assert agreement(reference, fused, given.params, way).within


@pytest.mark.parametrize("optimizer", [Adam(), SGD(momentum=0.9), SGD()])
def test_weights_loaded_after_a_divergence_are_clean(optimizer: Optimizer) -> None:
    given = case(Dense(9), RELU, inputs="flat", optimizer=optimizer)
    _, fused = trainers(given)
    poison = {key: np.full_like(p, np.nan) for key, p in given.params.items()}
    ends = []
    for first in (given.params, poison):
        fused.load(first)
        fused.train(given.walks()[0])
        fused.load(given.params)
        fused.train(given.walks()[1])
        ends.append(fused.params())
    for key in ends[0]:
        np.testing.assert_array_equal(ends[0][key], ends[1][key])


def test_planted_faults_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong constant in one kind of step is seen; the tests above can fail."""
    dense = case(Dense(9), SIGMOID, inputs="flat", optimizer=SGD())
    monkeypatch.setattr(online, "gradient_factor", lambda *a: 1.0 + 1e-9)
    assert not compared(dense, batch=1).within
    pooled = case(*IMAGES["kernel of one"], inputs="ties", rate=0.01)
    monkeypatch.setattr(np, "greater_equal", np.less_equal)  # not to the maximum
    assert not compared(pooled, batch=70).within


def test_fused_is_refused_where_it_cannot_be() -> None:
    given = case(Dense(9), inputs="flat")
    with pytest.raises(UnsupportedSpec, match="has fused, reference"):
        trainers(given)[0].__class__(
            dataclasses.replace(given.task, execution="turbo"), given.splits
        )


def test_blas_is_scipy_s_without_the_rest_of_scipy_linalg() -> None:
    code = (
        "import sys\n"
        "from nnbench.backends.numpy.fused.blas import _routines\n"
        "found = _routines()\n"
        "assert 'scipy.linalg' not in sys.modules\n"
        "from scipy.linalg import blas\n"
        "assert found.dgemm is blas.dgemm and found.sgemv is blas.sgemv\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
