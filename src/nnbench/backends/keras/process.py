"""What Keras and TensorFlow keep per process: threads, devices, the float type, the seed.

The first two can be set only until TensorFlow starts, and are checked afterwards; the others are
set for the length of a block and put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from nnbench.errors import UnsupportedSpec

NO_SEED = 87654321  # what tf.compat.v1.get_seed returns while no global seed is set


def prepare(device: str, threads: int) -> str:
    """Fix engine, device and threads; return the TensorFlow device to train on.

    Raises UnsupportedSpec where the device is not there, or TensorFlow already runs otherwise.
    """
    engine = keras.backend.backend()
    if engine != "tensorflow":
        raise UnsupportedSpec(
            f"Received Keras on {engine}; backend=keras needs KERAS_BACKEND=tensorflow."
        )
    _fix_threads(threads)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if device not in ("cpu", "cuda", "auto"):
        raise UnsupportedSpec(f"Received device={device}; backend=keras has cpu, cuda, auto.")
    cards = tf.config.list_physical_devices("GPU")
    if device == "cuda" and not cards:
        build = "a build for CUDA" if tf.test.is_built_with_cuda() else "a CPU build"
        raise UnsupportedSpec(
            f"Received device=cuda; TensorFlow sees no CUDA device here ({tf.__version__}, "
            f"{build}); use device=cpu."
        )
    if device == "cpu":
        _hide_cards()
    return "/CPU:0" if device == "cpu" or not cards else "/GPU:0"


def _fix_threads(threads: int) -> None:
    """Set both thread pools; TensorFlow accepts it once started if nothing changes."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        running = tf.config.threading.get_intra_op_parallelism_threads()
        raise UnsupportedSpec(
            f"Received threads={threads}; TensorFlow already runs in this process with "
            f"threads={running or 'auto'}, start a fresh process."
        ) from None


def _hide_cards() -> None:
    """Keep TensorFlow off the GPUs, so that nothing is placed or allocated there."""
    if not tf.config.get_visible_devices("GPU"):
        return
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        raise UnsupportedSpec(
            "Received device=cpu; TensorFlow already runs on a GPU in this process, start a "
            "fresh process."
        ) from None


@contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Let Keras' data adapters, metrics and learning rates use `dtype` within the block.

    Keras casts the arrays given to `fit` to its global float type, whatever the layers use.
    """
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


@contextmanager
def tensorflow_seed(seed: int) -> Iterator[None]:
    """Seed TensorFlow's stateful random operations within the block.

    `fit` shuffles by such an operation and takes no seed of its own. Setting the seed makes
    TensorFlow build its kernels anew, about 35 ms for the call that follows.
    """
    before = tf.compat.v1.get_seed(0)[0]
    tf.random.set_seed(seed)
    try:
        yield
    finally:
        tf.random.set_seed(None if before == NO_SEED else before)
