"""Streams, schedules, initial weights, architectures and metrics against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnbench.errors import ConfigError
from nnbench.model import metrics
from nnbench.model.architectures import MLP, LayerList, SoftmaxRegression
from nnbench.model.init import (
    Drawn,
    Glorot,
    He,
    KerasDefault,
    Normal,
    TorchDefault,
    Uniform,
    complete_params,
    initial_params,
)
from nnbench.model.layers import Dense, Embedding, Flatten
from nnbench.model.losses import Loss
from nnbench.model.network import Architecture, ParamKey
from nnbench.model.schedule import Phases
from nnbench.model.streams import generator, order
from nnbench.testing.checks import global_random_state

NET = MLP(hidden=(200,), output_activation="sigmoid").build((300,), 10)


def test_the_order_depends_on_seed_epoch_and_n_alone() -> None:
    first = order(3, 7, 100)
    np.random.seed(0)
    assert (order(3, 7, 100) == first).all()
    assert sorted(first) == list(range(100))
    assert (order(4, 7, 100) != first).any()
    assert (order(3, 8, 100) != first).any()
    assert (order(3, 8, 100, shuffle=False) == np.arange(100)).all()


def test_the_order_of_seed_0_is_what_it_was() -> None:
    """A known answer: a change here changes every published result."""
    assert order(0, 0, 8).tolist() == [6, 4, 3, 5, 2, 7, 0, 1]


def test_streams_of_different_names_differ_and_leave_global_state_alone() -> None:
    before = global_random_state()
    a = generator(0, "init", 0, "kernel").standard_normal(5)
    b = generator(0, "init", 1, "kernel").standard_normal(5)
    assert (a != b).all()
    assert global_random_state() == before


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (Normal(0.3), 0.3),
        (Uniform(-0.5, 0.5), 1 / math.sqrt(12)),
        (He(), math.sqrt(2 / 300)),
        (Glorot(), math.sqrt(2 / 500)),
        (TorchDefault(), 1 / math.sqrt(3 * 300)),
        (KerasDefault(), math.sqrt(2 / 500)),
        (He("truncated_normal"), math.sqrt(2 / 300)),
        (Glorot("truncated_normal"), math.sqrt(2 / 500)),
    ],
)
def test_kernels_have_the_published_spread(init: Drawn, deviation: float) -> None:
    params = initial_params(init, NET, 0, "float64")
    kernel = params[ParamKey(0, "kernel")]
    assert kernel.shape == (300, 200)
    # 60,000 values: three standard errors of a standard deviation are 0.9 %.
    assert kernel.std() == pytest.approx(deviation, rel=0.009)
    assert abs(kernel.mean()) < 3 * deviation / math.sqrt(60_000)
    has_biases = params[ParamKey(0, "bias")].any()
    assert has_biases == isinstance(init, Uniform | TorchDefault)


def test_a_bias_does_not_move_the_kernels_and_float32_is_a_rounding() -> None:
    without = MLP(hidden=(200,), output_activation="sigmoid", bias=False).build((300,), 10)
    a = initial_params(Normal(), NET, 5, "float64")
    b = initial_params(Normal(), without, 5, "float32")
    for key, value in b.items():
        assert (a[key].astype(np.float32) == value).all()


def test_weights_of_another_architecture_are_refused_by_name() -> None:
    source = initial_params(Normal(), NET, 0, "float64")
    other = MLP(hidden=(100,), output_activation="sigmoid").build((300,), 10)
    with pytest.raises(ConfigError, match=r"have 0\.kernel of shape \(300, 200\).*\(300, 100\)"):
        complete_params(source, other, "error", {}, "run x")
    deeper = MLP(hidden=(200, 10), output_activation="sigmoid").build((300,), 10)
    with pytest.raises(ConfigError, match=r"lack 4\.kernel \(10, 10\).*init.missing=zeros"):
        complete_params(source, deeper, "error", {}, "run x")
    single = SoftmaxRegression(output_activation="sigmoid").build((300,), 200)
    with pytest.raises(ConfigError, match=r"have 2\.kernel, 2\.bias, which"):
        complete_params(source, single, "error", {}, "run x")


def test_missing_parameters_become_zeros_or_the_frameworks_own() -> None:
    bare = MLP(hidden=(200,), output_activation="sigmoid", bias=False).build((300,), 10)
    source = initial_params(Normal(), bare, 0, "float64")
    native = initial_params(TorchDefault(), NET, 1, "float64")
    zeros = complete_params(source, NET, "zeros", {}, "run x")
    assert not zeros[ParamKey(0, "bias")].any()
    own = complete_params(source, NET, "native", native, "run x")
    assert (own[ParamKey(2, "bias")] == native[ParamKey(2, "bias")]).all()
    assert (own[ParamKey(2, "kernel")] == source[ParamKey(2, "kernel")]).all()


def test_parameters_are_counted_as_the_first_comparison_should_have() -> None:
    assert MLP(bias=False, output_activation="sigmoid").build((784,), 10).parameter_count() == (
        101_632
    )
    assert MLP(output_activation="sigmoid").build((28, 28), 10).parameter_count() == 101_770
    assert MLP(hidden=(10,), output_activation="softmax").build((784,), 10).parameter_count() == (
        7_960
    )
    assert str(NET) == "300-200-10 relu/sigmoid"


def test_phases_begin_where_they_say() -> None:
    schedule = Phases(starts=(0, 2, 5), rates=(0.3, 0.2, 0.1))
    assert [schedule.at(e, ()) for e in range(7)] == [0.3, 0.3, 0.2, 0.2, 0.2, 0.1, 0.1]


Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -40.0]])
LABELS = np.array([0, 1])
T = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_losses_equal_their_textbook_forms() -> None:
    p = 1 / (1 + np.exp(-Z))
    bce = -(T * np.log(p) + (1 - T) * np.log1p(-p))
    found = metrics.sample_losses(Z, LABELS, Loss("bce", "sum"), "sigmoid")
    np.testing.assert_allclose(found, bce.sum(axis=1), rtol=1e-14)
    found = metrics.sample_losses(Z, LABELS, Loss("mse", "mean"), "sigmoid")
    np.testing.assert_allclose(found, ((p - T) ** 2).mean(axis=1), rtol=1e-14)
    s = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    found = metrics.sample_losses(Z, LABELS, Loss("cross_entropy"), "softmax")
    np.testing.assert_allclose(found, -np.log(s[[0, 1], LABELS]), rtol=1e-14)


def test_losses_survive_extreme_logits() -> None:
    z = np.array([[1e4, -1e4]])
    for loss, activation in ((Loss("bce"), "sigmoid"), (Loss("cross_entropy"), "softmax")):
        value = metrics.mean_loss(z, np.array([1]), loss, activation)  # type: ignore[arg-type]
        assert 1e4 <= value <= 2e4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_whose_logits_are_not_finite_is_wrong_and_no_class(bad: float) -> None:
    logits = np.array([[bad, 1.0], [2.0, bad], [2.0, 1.0]])
    for labels in ([0, 0, 0], [1, 1, 0], [0, 1, 0]):
        assert metrics.accuracy(logits, np.array(labels)) == pytest.approx(1 / 3)
    assert metrics.predicted(logits).tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (TorchDefault(), 1.0),
        (He(), math.sqrt(2)),
        (He("uniform"), math.sqrt(2)),
        (Glorot(), math.sqrt(2 / 51)),
        (Normal(0.3), 0.3),
    ],
)
@pytest.mark.parametrize("vocabulary", [400, 4000])
def test_an_embedding_s_spread_does_not_depend_on_its_vocabulary(
    init: Drawn, deviation: float, vocabulary: int
) -> None:
    net = Architecture((7,), (Embedding(vocabulary, 50), Flatten(), Dense(3)), "softmax")
    kernel = initial_params(init, net, 0, "float64")[ParamKey(0, "kernel")]
    assert kernel.std() == pytest.approx(deviation, rel=0.016)  # three standard errors of 20,000


def test_accuracy_counts_the_first_of_equal_logits() -> None:
    logits = np.array([[1.0, 1.0], [0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    assert metrics.accuracy(logits, np.array([0, 1, 1, 1])) == 0.75


def test_every_framework_s_out_of_memory_is_one_line_with_the_size() -> None:
    from nnbench.training.worker import out_of_memory

    class OutOfMemoryError(RuntimeError):
        pass

    jaxs = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 16106127360 bytes."
    torchs = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139"
    for error, said in (
        (RuntimeError(jaxs), "Out of memory (trying to allocate 16106127360 bytes); use"),
        (OutOfMemoryError(torchs), "Out of memory on the GPU (Tried to allocate 20.00 GiB); use"),
        (OutOfMemoryError("Out of memory allocating 8,192 bytes"), "(allocating 8,192 bytes); use"),
        (ValueError("OOM when allocating tensor with shape[64,10]"), "with shape[64,10]); use"),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            ),
            "(tried to allocate 9 bytes)",
        ),
        (MemoryError("Unable to allocate 571. TiB for an array"), "(Unable to allocate 571. TiB)"),
    ):
        assert said in str(out_of_memory(error))
        assert "batch_size" in str(out_of_memory(error))
    assert out_of_memory(ValueError("shapes do not fit")) is None


def test_truncated_weights_stay_within_two_deviations() -> None:
    """Of the wider normal distribution: 2 / 0.8796 deviations of the truncated one."""
    kernel = initial_params(He("truncated_normal"), NET, 0, "float64")[ParamKey(0, "kernel")]
    limit = 2.0 * math.sqrt(2 / 300) / 0.87962566103423978
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    wider = initial_params(He(), NET, 0, "float64")[ParamKey(0, "kernel")]
    assert np.abs(wider).max() > 1.5 * limit


def test_embeddings_start_as_the_frameworks_own() -> None:
    net = LayerList((Embedding(900, 50), Flatten())).layers
    text = Architecture((9,), (*net, Dense(4)), "softmax")
    for init, deviation in ((TorchDefault(), 1.0), (KerasDefault(), 0.05 / math.sqrt(3))):
        kernel = initial_params(init, text, 0, "float64")[ParamKey(0, "kernel")]
        assert kernel.std() == pytest.approx(deviation, rel=0.012)
