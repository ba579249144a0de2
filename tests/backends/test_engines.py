"""Keras on PyTorch and on JAX: every block, in the one precision that Keras has there."""

from __future__ import annotations

import importlib.util

import pytest

from support.commands import TINY, Nnbench

LOCAL = ("tracking=local", "init=he")

ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not all(importlib.util.find_spec(p) for p in ("keras", name)), reason=f"no {name}"
        ),
    )
    for name in ("torch", "jax")
]


EXECUTIONS = [
    pytest.param(engine.values[0], execution, marks=engine.marks)
    for engine in ENGINES
    for execution in (("xla", "fit") if engine.values[0] == "jax" else ("fit",))
]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "execution"), EXECUTIONS)
def test_every_block_agrees_in_float32(nnbench: Nnbench, engine: str, execution: str) -> None:
    asked = (f"backend=keras_{engine}", f"backend.execution={execution}", "dtype=float32")
    done = nnbench("check", *asked)
    assert done.returncode == 0, done.stdout
    assert f"keras ({engine}, {execution}, float32): " in done.stdout
    assert "FAIL" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_float64_is_refused_for_what_it_would_be(nnbench: Nnbench, engine: str) -> None:
    done = nnbench(*TINY, "backend=keras", f"backend.engine={engine}", "dtype=float64")
    assert done.returncode == 2
    assert f"Keras on {engine} computes matrix products of float64 arrays in float32" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_goes_the_same_way(nnbench: Nnbench, engine: str) -> None:
    """A net with everything that keras.ops had to spell out; the slow test has every block."""
    net = "arch.layers=[{name: conv2d, filters: 2}, batch_norm, gelu, flatten, {name: dropout}]"
    words = ("data=digits", "data.train_samples=200", "arch=layers", net, "loss=cross_entropy")
    train = ("optimizer=adam", "optimizer.clip_norm=1", "schedule=cosine", "batch_size=32")
    done = nnbench("-m", f"backend=numpy,keras_{engine}", *words, *train, "epochs=2", *LOCAL)
    assert done.returncode == 0, done.stderr
    how = "jax fit" if engine == "jax" else engine
    assert f"parity agrees: keras {how} against numpy, float32" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "execution"), EXECUTIONS)
def test_a_native_run_of_every_engine(nnbench: Nnbench, engine: str, execution: str) -> None:
    asked = ("backend=keras", f"backend.engine={engine}", f"backend.execution={execution}")
    done = nnbench(*TINY, *asked, "semantics=native")
    assert done.returncode == 0, done.stderr
    assert f"keras ({execution} on {engine}), native" in done.stdout


def test_an_engine_that_does_not_exist_is_one_line(nnbench: Nnbench) -> None:
    done = nnbench(*TINY, "backend=keras", "backend.engine=theano")
    assert done.returncode == 2
    assert "Received backend.engine=theano; must be one of tensorflow, torch, jax" in done.stderr
    done = nnbench(*TINY, "backend=keras_torch", "backend.execution=xla")
    assert "Received backend.execution=xla; backend=keras has fit" in done.stderr
