"""Every net of conf/arch, from each initializer that draws, is compared over ten steps and more."""

from __future__ import annotations

import pytest

from nnbench.config.catalogue import options
from nnbench.config.composition import compose
from nnbench.training.side_by_side import Sides, certificates

# Net: its data, its loss, its learning rate at batch 16, and whatever else it needs.
IMAGES = ("data=mnist_5k", "loss=cross_entropy", "schedule.lr=0.05")
NETS: dict[str, tuple[str, ...]] = {
    "784-10-10": IMAGES,
    "784-128-10": ("data=mnist_5k", "loss=bce", "schedule.lr=0.005"),
    "784-128-64-10": IMAGES,
    "advanced": IMAGES,
    "layers": (*IMAGES, "arch.layers=[{name: conv2d, filters: 4}, relu, max_pool2d, flatten]"),
    "lenet5": IMAGES,
    "linear_regression": ("data=synthetic", "task=regression", "loss=mse", "schedule.lr=0.01"),
    "mlp": IMAGES,
    "mlp_109k": IMAGES,
    "mlp_11m": IMAGES,
    "mlp_3m": IMAGES,
    "mlp_45m": IMAGES,
    "mlp_701k": IMAGES,
    "small_cnn": IMAGES,
    "softmax_regression": IMAGES,
    "text": ("data=sequences", "loss=cross_entropy", "schedule.lr=0.05"),
}
INITS = ("normal", "uniform", "he", "glorot", "torch_default", "keras_default")
# What make test tries.
SHORT = (("784-10-10", "he"), ("784-10-10", "uniform"), ("text", "uniform"))
CASES = [
    pytest.param(*pair, marks=[] if pair in SHORT else pytest.mark.slow)
    for pair in ((n, i) for n in NETS for i in INITS)
]


def test_the_table_is_complete() -> None:
    assert NETS.keys() == options("arch").keys()
    assert set(INITS) == options("init").keys() - {"native", "from_run"}


@pytest.mark.parametrize(("net", "init"), CASES)
def test_ten_steps_are_compared_in_float64(net: str, init: str) -> None:
    words = [f"arch={net}", f"init={init}", *NETS[net], "schedule=constant", "dtype=float64"]
    words += ["batch_size=16", "shuffle=true", "epochs=1", "eval.train_samples=50"]
    samples = "data.samples=400" if "data=mnist_5k" not in NETS[net] else "data.train_samples=288"
    configs = [
        compose([*words, samples, f"backend={name}"]).config
        for name in ("numpy_reference", "numpy")
    ]
    (found,) = certificates(Sides.build(configs, None), 1)
    assert found.outcome in ("agrees", "chaotic"), str(found)
    assert found.compared_steps >= 10, str(found)
    print(f"{net:20} {init:14} {found.word:24} {found.compared_steps:3} steps")  # noqa: T201
