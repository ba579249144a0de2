"""The Keras Trainer on TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench.backends.arrays import input_array, target_array
from nnbench.backends.keras.executions import EXECUTIONS, Execution
from nnbench.backends.keras.model import build, optimizer, parameters
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec
from nnbench.trainer import Params, State, Task, TrainStats, Walk

EVALUATION_SAMPLES = 4096


class KerasTrainer:
    """`xla` or `fit` execution, matched or native."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        if task.execution not in EXECUTIONS:
            listed = " or ".join(EXECUTIONS)
            raise UnsupportedSpec(f"backend=keras has no execution {task.execution}; use {listed}.")
        if keras.backend.backend() != "tensorflow":
            raise UnsupportedSpec(
                f"backend=keras runs on tensorflow; KERAS_BACKEND is {keras.backend.backend()}."
            )
        _configure(task)
        self.task = task
        self._use_dtype()
        with tf.device(self._device()):
            self._inputs = {n: tf.constant(input_array(task, s)) for n, s in splits.items()}
            targets = tf.constant(target_array(task, splits["train"]))
        self.model = build(task.architecture, task.dtype, task.seed)
        self._params = parameters(self.model, task.architecture)
        self._optimizer = optimizer(task)
        self._optimizer.build(self.model.trainable_variables)
        self._fresh = [v.numpy() for v in self._optimizer.variables]
        execution: Any = EXECUTIONS[task.execution]
        self._execution: Execution = execution(
            task, self.model, self._optimizer, self._inputs["train"], targets
        )
        shape = (None, *task.architecture.input_shape)
        self._forward = tf.function(
            lambda x: self.model(x, training=False),
            input_signature=[tf.TensorSpec(shape, task.dtype)],
        )

    def load(self, params: Params) -> None:
        """Assign the weights, put the optimizer's variables back to their first values."""
        for key, variable in self._params.items():
            variable.assign(params[key])
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def warm_up(self, n: int) -> None:
        """Compile every program, then put everything back."""
        self._use_dtype()
        kept = self.state()
        self._execution.prepare(n)
        self._forward(self._inputs["train"][:1])
        self.restore(kept)

    def train(self, walk: Walk) -> TrainStats:
        """Run the walk; reading the loss back waits for the device."""
        self._use_dtype()
        return self._execution.run(walk)

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        x = self._inputs[split]
        starts = range(0, len(x), EVALUATION_SAMPLES)
        return np.concatenate(
            [self._forward(x[i : i + EVALUATION_SAMPLES]).numpy() for i in starts]
        )

    def params(self) -> Params:
        """Return host copies of the weights; Keras' layout is the canonical one."""
        return {key: np.array(v.numpy()) for key, v in self._params.items()}

    def state(self) -> State:
        """Return copies of weights and of all the optimizer's variables."""
        state = {str(key): value for key, value in self.params().items()}
        for i, variable in enumerate(self._optimizer.variables):
            state[f"optimizer.{i}"] = np.array(variable.numpy())
        return state

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        for key, variable in self._params.items():
            variable.assign(state[str(key)])
        for i, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer.{i}"])

    def _use_dtype(self) -> None:
        """Keras casts data and learning rates to this process-wide type."""
        keras.config.set_floatx(self.task.dtype)

    def _device(self) -> str:
        return "CPU:0" if self.task.device == "cpu" or not _gpus() else "GPU:0"


def _gpus() -> list[Any]:
    return tf.config.list_physical_devices("GPU")


def _configure(task: Task) -> None:
    """Set threads and TF32 before TensorFlow starts; raise where it runs with other threads."""
    threading = tf.config.threading
    try:
        threading.set_intra_op_parallelism_threads(task.threads)
        threading.set_inter_op_parallelism_threads(task.threads)
    except RuntimeError:
        if threading.get_intra_op_parallelism_threads() != task.threads:
            raise UnsupportedSpec(
                f"Received threads={task.threads}; TensorFlow runs in this process with "
                f"{threading.get_intra_op_parallelism_threads()} already. Use a fresh process."
            ) from None
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if task.device == "cuda" and not _gpus():
        raise UnsupportedSpec(
            "Received device=cuda; TensorFlow sees none here. Use device=cpu or auto."
        )
