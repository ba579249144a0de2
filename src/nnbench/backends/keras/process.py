"""What Keras and its engines keep per process: threads, devices, the float type, the seed.

TensorFlow takes the first two only until it starts, and they are checked afterwards; the others
are set for the length of a block and put back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from nnbench.backends.cuda import Accelerator, refusal
from nnbench.backends.protocol import Semantics
from nnbench.errors import UnsupportedSpec

# XLA's scatters (gradients of an embedding, of max pooling) add in any order on a GPU without it,
# and its choice among kernels is timed.
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
NO_SEED = 87654321  # what tf.compat.v1.get_seed returns while no global seed is set


def prepare(device: str, threads: int, semantics: Semantics) -> str:
    """Fix device, threads and arithmetic for the engine; return the Keras device to train on.

    Raises UnsupportedSpec where the device is not there, or the engine already runs otherwise.
    """
    engine = keras.backend.backend()
    prepares = {"tensorflow": _tensorflow, "torch": _torch, "jax": _jax}
    if engine not in prepares:
        raise UnsupportedSpec(
            f"Received Keras on {engine}; backend=keras has backend.engine={', '.join(prepares)}."
        )
    if device not in ("cpu", "cuda", "auto"):
        raise UnsupportedSpec(f"Received device={device}; backend=keras has cpu, cuda, auto.")
    if engine == "torch":
        _make_cudnn_deterministic(semantics == "matched")
    if engine == "jax" and semantics == "matched":
        _add_flag(DETERMINISTIC)
    cards, version = prepares[engine](device, threads)
    if device == "cuda" and not cards:
        number = version.partition(",")[0]
        raise refusal(f"Keras on {engine} {number}", _why_no_card(engine, version))
    name = "cpu" if device == "cpu" or not cards else "gpu"
    # torch calls its first device by another name, and Keras compares names.
    return name.replace("gpu", "cuda") if engine == "torch" else f"{name}:0"


def accelerator(device: str) -> Accelerator | None:
    """Return what run.json says of the GPU behind a Keras device, None for the CPU."""
    if device.startswith("cpu"):
        return None
    engine = keras.backend.backend()
    if engine == "torch":
        import torch

        return {
            "name": torch.cuda.get_device_name(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
        }
    if engine == "jax":
        import jax

        precision = str(jax.config.jax_default_matmul_precision)
        return {
            "name": jax.devices("gpu")[0].device_kind,
            "matmul_precision": precision,
            "deterministic": DETERMINISTIC in os.environ.get("XLA_FLAGS", "").split(),
        }
    import tensorflow as tf

    card = tf.config.list_physical_devices("GPU")[0]
    name = tf.config.experimental.get_device_details(card).get("device_name", "GPU")
    return {"name": name, "tf32": tf.config.experimental.tensor_float_32_execution_enabled()}


def _add_flag(flag: str) -> None:
    """Add a flag for XLA, which JAX reads when it makes its first device."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*flags, *[flag] * (flag not in flags)])


def _make_cudnn_deterministic(wanted: bool) -> None:
    import torch

    torch.backends.cudnn.deterministic = wanted
    torch.backends.cudnn.benchmark = False


def _why_no_card(engine: str, version: str) -> str:
    """Return why there is no card, in the engine's own words where it has any."""
    if engine == "torch":
        import torch

        try:
            torch.cuda.init()
        except (AssertionError, RuntimeError) as error:
            return str(error)
    return "built without CUDA" if "CPU build" in version else "no CUDA GPUs"


def check_precision(dtype: str) -> None:
    """Raise UnsupportedSpec for float64 where Keras would compute in float32 all the same.

    Its type promotion (keras.src.backend.common.dtypes, BIT64_TO_BIT32_DTYPE) takes products of
    float64 arrays down to float32 on every engine but TensorFlow.
    """
    engine = keras.backend.backend()
    if dtype == "float64" and engine != "tensorflow":
        raise UnsupportedSpec(
            f"Received dtype=float64; Keras on {engine} computes matrix products of float64 arrays "
            "in float32. Use dtype=float32 or backend.engine=tensorflow."
        )


def _tensorflow(device: str, threads: int) -> tuple[int, str]:
    """Set TensorFlow's pools, forbid TF32; return the number of cards and the version."""
    import tensorflow as tf

    _fix_threads(threads)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    cards = len(tf.config.list_physical_devices("GPU"))
    if device == "cpu":
        _hide_cards()
    build = "a build for CUDA" if tf.test.is_built_with_cuda() else "a CPU build"
    return cards, f"{tf.__version__}, {build}"


def _torch(device: str, threads: int) -> tuple[int, str]:
    """Set torch's threads, forbid TF32; return the number of cards and the version."""
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.cuda.device_count(), torch.__version__


def _jax(device: str, threads: int) -> tuple[int, str]:
    """Ask for full precision, and one thread where one is asked for; JAX has no other number."""
    import jax

    if threads == 1:
        _add_flag("--xla_cpu_multi_thread_eigen=false")
    jax.config.update("jax_default_matmul_precision", "highest")
    return sum(d.platform == "gpu" for d in jax.devices()), jax.__version__


def _fix_threads(threads: int) -> None:
    """Set both thread pools; TensorFlow accepts it once started if nothing changes."""
    import tensorflow as tf

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
    import tensorflow as tf

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
def seeded(seed: int) -> Iterator[None]:
    """Seed what `fit` shuffles with, for which it takes no seed of its own; then put it back."""
    seeds = {"tensorflow": tensorflow_seed, "torch": _torch_seed, "jax": _numpy_seed}
    with seeds[keras.backend.backend()](seed):
        yield


@contextmanager
def tensorflow_seed(seed: int) -> Iterator[None]:
    """Seed TensorFlow's stateful random operations within the block.

    Setting the seed makes TensorFlow build its kernels anew, about 35 ms for the call that follows.
    """
    import tensorflow as tf

    before = tf.compat.v1.get_seed(0)[0]
    tf.random.set_seed(seed)
    try:
        yield
    finally:
        tf.random.set_seed(None if before == NO_SEED else before)


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Keras shuffles by NumPy's global generator where it feeds JAX."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
