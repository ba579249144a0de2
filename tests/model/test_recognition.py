"""Initial weights are recognised by their values."""

from __future__ import annotations

import numpy as np
import pytest

from nnbench.model import layers as spec
from nnbench.model.init import Glorot, He, KerasDefault, Normal, TorchDefault, initial_params
from nnbench.model.network import Architecture
from nnbench.model.recognition import initializer, recognised

NET = Architecture(
    (8, 8, 1),
    (spec.Conv2d(8), spec.BatchNorm(), spec.Flatten(), spec.Dense(32), spec.Dense(10)),
    "softmax",
)
DRAWN = {
    "torch's default, U(+-1/sqrt(fan_in))": TorchDefault(),
    "glorot uniform": KerasDefault(),
    "glorot normal": Glorot("normal"),
    "glorot normal, truncated": Glorot("truncated_normal"),
    "he uniform": He("uniform"),
    "he normal": He("normal"),
    "he normal, truncated": He("truncated_normal"),
}


@pytest.mark.parametrize("says", DRAWN)
def test_what_was_drawn_is_named(says: str) -> None:
    """Of large kernels always; of a small one nearly always, of twenty draws."""
    small = 0
    for seed in range(20):
        found = recognised(initial_params(DRAWN[says], NET, seed, "float32"))
        assert found["3.kernel"].says == says
        small += found["0.kernel"].says == says
        assert {found[f"1.{role}"].says for role in ("scale", "offset")} == {"ones", "zeros"}
    cut = "truncated" in says or "normal" in says
    assert small >= (8 if cut else 17)


def test_the_option_that_draws_them_all_is_named() -> None:
    for name, init in (("torch_default", TorchDefault()), ("keras_default", KerasDefault())):
        assert initializer(recognised(initial_params(init, NET, 0, "float32"))) == name
    assert initializer(recognised(initial_params(Normal(0.3), NET, 0, "float32"))) is None


def test_values_of_no_distribution_are_called_values() -> None:
    params = initial_params(TorchDefault(), NET, 0, "float64")
    key = next(key for key in params if str(key) == "3.kernel")
    params[key] = np.sign(params[key]) * 0.1
    assert recognised(params)["3.kernel"].name == "values"
    params[key] = np.random.default_rng(0).uniform(-0.7, 0.7, params[key].shape)
    found = recognised(params)["3.kernel"]
    assert found.name == "uniform"
    assert found.high == pytest.approx(0.7, rel=0.01)
