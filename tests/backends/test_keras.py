"""What Keras and TensorFlow keep per process is left as it was found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.protocol import Walk
from nnbench.errors import UnsupportedSpec
from support.backends import factory, small_splits, small_task, small_walks

pytest.importorskip("tensorflow")


def make(execution: str, **changes: Any) -> Any:
    task = dataclasses.replace(small_task(execution=execution), **changes)
    return factory("keras")(task, small_splits())


@pytest.mark.parametrize("execution", ["xla", "fit"])
def test_keras_settings_are_as_before(execution: str) -> None:
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy().name
    trainer = make(execution)
    trainer.warm_up(200)
    trainer.train(small_walks()[0])
    trainer.evaluate("test")
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before
    assert before[0] == "float32"  # else float64 runs would have nothing to put back


def test_the_seed_of_tensorflow_is_as_before() -> None:
    import tensorflow as tf

    from nnbench.backends.keras import process

    with process.tensorflow_seed(3):
        inside = tf.random.uniform((2,)).numpy()
    with process.tensorflow_seed(3):
        assert (tf.random.uniform((2,)).numpy() == inside).all()
    assert tf.compat.v1.get_seed(0)[0] == process.NO_SEED
    with process.tensorflow_seed(5):
        with process.tensorflow_seed(3):
            pass
        assert tf.compat.v1.get_seed(0)[0] == 5
    unseeded = [tf.random.uniform((8,)).numpy() for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()


def test_other_threads_in_a_running_process_are_refused() -> None:
    make("xla")
    with pytest.raises(UnsupportedSpec, match=r"threads=2.*fresh process") as caught:
        make("xla", threads=2)
    assert "\n" not in str(caught.value)
    make("xla")  # the refusal changed nothing


def test_walks_of_any_length_agree_and_shorter_ones_compile_nothing() -> None:
    """Shorter, longer than the training split, and not a multiple of the batch."""
    trainer = make("xla")
    trainer.warm_up(200)
    loops = trainer._execution._programs
    reference = NumpyTrainer(small_task(), small_splits())
    reference.load(trainer.params())
    for samples in (32, 40, 200, 1000):
        if samples <= 200:
            assert [f.experimental_get_tracing_count() for f in loops.values()] == [1, 1]
        order = np.random.default_rng(samples).integers(0, 200, samples)
        walk = Walk(order, np.full(-(-samples // 32), 0.01), samples, 0, 0, 0)
        reference.train(walk)
        trainer.train(walk)
        expected, found = reference.params(), trainer.params()
        assert max(float(np.abs(found[k] - expected[k]).max()) for k in expected) <= 1e-13
