"""Losses beyond the plain ones: closed forms, what the frameworks' own functions say, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from nnbench.backends.numpy.losses import logit_gradient
from nnbench.config.composition import compose
from nnbench.errors import ConfigError, UnsupportedSpec
from nnbench.model.losses import Loss
from nnbench.model.metrics import mean_loss, sample_losses
from nnbench.records.flags import of_config, read_flag
from nnbench.schema import to_data
from nnbench.testing.blocks import BLOCKS

RNG = np.random.default_rng(0)
Z, LABELS = RNG.standard_normal((20, 4)), RNG.integers(0, 4, 20)
P, T = RNG.standard_normal((20, 1)), RNG.standard_normal((20, 1))
CROSS = "cross_entropy"


def test_figures_are_those_of_pytorchs_own_losses() -> None:
    torch = pytest.importorskip("torch")
    z, t = torch.from_numpy(Z), torch.from_numpy(LABELS)
    weights = (0.5, 2.0, 0.25, 1.0)
    own = torch.nn.functional.cross_entropy
    smooth = Loss(CROSS, label_smoothing=0.2)
    found = sample_losses(Z, LABELS, smooth, "softmax")
    expected = own(z, t, label_smoothing=0.2, reduction="none").numpy()
    assert found == pytest.approx(expected, rel=1e-13)
    weighted = sample_losses(Z, LABELS, Loss(CROSS, class_weights=weights), "softmax")
    expected = own(z, t, weight=torch.tensor(weights).double(), reduction="none").numpy()
    assert weighted == pytest.approx(expected, rel=1e-13)
    twice = sample_losses(Z, LABELS, Loss(CROSS, mistake="softmax_twice"), "softmax")
    assert twice == pytest.approx(own(z.softmax(1), t, reduction="none").numpy(), rel=1e-13)
    huber = mean_loss(P, T, Loss("huber", delta=0.7), "linear")
    expected = torch.nn.HuberLoss(delta=0.7)(torch.from_numpy(P), torch.from_numpy(T)).item()
    assert huber == pytest.approx(expected, rel=1e-13)


def test_logits_as_probabilities_are_what_keras_makes_of_them() -> None:
    keras = pytest.importorskip("keras")
    loss = Loss(CROSS, mistake="logits_as_probabilities")
    own = keras.losses.sparse_categorical_crossentropy(LABELS, Z.astype("float32"))
    found = sample_losses(Z, LABELS, loss, "linear")
    assert found == pytest.approx(np.asarray(own), rel=1e-5, abs=1e-6)
    assert found.max() > 14  # a negative logit of the label: log 1e-7 and more


def test_broadcast_targets_draw_every_output_to_the_mean_of_the_batch() -> None:
    """Against finite differences of the mean over the matrix that broadcasting makes."""

    def mistaken(p: np.ndarray) -> float:
        return float(((p - T[:, 0]) ** 2).mean())

    gradient = logit_gradient(Loss("mse", mistake="broadcast_targets"), "linear")(P, T)
    for i in range(len(P)):
        step = np.zeros_like(P)
        step[i] = 1e-6
        slope = (mistaken(P + step) - mistaken(P - step)) / 2e-6
        assert gradient[i, 0] == pytest.approx(slope, abs=1e-9)
    proper = logit_gradient(Loss("mse"), "linear")(P, T)
    assert np.abs(gradient - proper).max() > 1e-2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["loss=mse", "+loss.label_smoothing=0.1"],
            "=0.1 with loss=mse; loss=cross",
        ),
        (["loss=cross_entropy", "loss.label_smoothing=1"], "smoothing=1; must be at least 0"),
        (["loss=cross_entropy", "loss.class_weights=[1,-1]"], "class_weights[1]=-1; must be at"),
        (
            ["loss=cross_entropy", "loss.mistake=broadcast_targets"],
            "is one of loss=mse and task",
        ),
        (["loss=mse", "loss.mistake=softmax_twice"], "it is one of loss=cross_entropy."),
        (["loss=cross_entropy", "loss.mistake=softmax"], "did you mean 'softmax_twice'"),
        (
            ["loss=cross_entropy", "loss.mistake=softmax_twice", "loss.label_smoothing=0.1"],
            "leave one of them out",
        ),
    ],
)
def test_what_a_loss_does_not_have_is_said(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_number_of_outputs_has_to_fit() -> None:
    with pytest.raises(ConfigError, match="class_weights of length 3; the data has 10 classes"):
        Loss(CROSS, class_weights=(1.0, 1.0, 1.0)).check_outputs(10)
    with pytest.raises(ConfigError, match="needs one output, the data has 2"):
        Loss("mse", mistake="broadcast_targets").check_outputs(2)
    with pytest.raises(ConfigError, match="of zeros"):
        Loss(CROSS, class_weights=(0.0, 0.0)).check_outputs(2)


def test_a_mistake_is_a_fact_of_the_run() -> None:
    config = compose(["loss=cross_entropy", "loss.mistake=softmax_twice"]).config
    (flag,) = of_config(config)
    assert "took softmax outputs for logits (loss.mistake=softmax_twice)" in str(flag)
    assert read_flag(to_data(flag)) == flag
    assert of_config(compose(["loss=cross_entropy"]).config) == ()
    assert config.arch.output_activation == "softmax"


@pytest.mark.parametrize("name", ["class_weights", "softmax_twice", "label_smoothing"])
def test_a_backend_without_it_refuses(name: str) -> None:
    pytest.importorskip("forgeNN")
    from nnbench.backends.forgenn import ForgeNNTrainer

    given = BLOCKS[name].of("float32")
    with pytest.raises(UnsupportedSpec, match="backend=forgenn has no label smoothing, class"):
        ForgeNNTrainer(given.on("plain"), given.splits)
