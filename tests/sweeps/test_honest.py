"""Sweeps over settings drawn at random, on backends that do nothing wrong: nobody is accused."""

from __future__ import annotations

import os
import random

import pytest

from support.commands import Nnbench

SEED = int(os.environ.get("NNBENCH_HONEST_SEED", "1"))
COUNT = int(os.environ.get("NNBENCH_HONEST_COUNT", "20"))
SMALL = ("data=digits", "data.train_samples=300", "epochs=3", "tracking=local")
BACKENDS = ("torch", "torch", "keras", "numpy_compiled")
ACTIVATIONS = ("tanh", "sigmoid", "relu", "gelu", "gelu_tanh", "silu", "leaky_relu")
INITS = (
    *(f"init=normal init.scale={scale}" for scale in (0.001, 0.1, 1, 3, 10)),
    *("init=uniform init.low=-2 init.high=2", "init=glorot", "init=he", "init=torch_default"),
)
RULES = (
    *("sgd", "sgd optimizer.momentum=0.9", "sgd optimizer.clip_value=0.01"),
    *("adam", "rmsprop", "adagrad", "adamw", "adam optimizer.clip_norm=0.1"),
)


def drawn(rng: random.Random) -> list[str]:
    rule = rng.choice(RULES)
    rates = (0.01, 0.1, 1.0) if rule.startswith("sgd") else (0.0005, 0.003, 0.02)
    return " ".join(
        (
            f"backend=numpy,{rng.choice(BACKENDS)} dtype={rng.choice(('float32', 'float64'))}",
            f"arch=mlp arch.activation={rng.choice(ACTIVATIONS)}",
            rng.choice(("arch.hidden=[32]", "arch.hidden=[64,32]")),
            rng.choice(INITS),
            f"loss={rng.choice(('cross_entropy', 'bce', 'mse', 'l1', 'huber'))}",
            f"optimizer={rule} schedule=constant schedule.lr={rng.choice(rates)}",
            f"batch_size={rng.choice((1, 8, 32, 100))} shuffle={rng.choice(('true', 'false'))}",
        )
    ).split()


@pytest.mark.slow
@pytest.mark.timeout(COUNT * 120)
def test_nobody_is_accused(nnbench: Nnbench) -> None:
    for package in ("torch", "tensorflow", "numba"):
        pytest.importorskip(package)
    rng = random.Random(SEED)
    for number in range(COUNT):
        words = drawn(rng)
        done = nnbench("-m", *words, *SMALL, f"results=results/{number}")
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
