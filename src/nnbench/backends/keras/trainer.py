"""The Keras Trainer on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench.backends.arrays import begins, input_array, target_array
from nnbench.backends.keras import process
from nnbench.backends.keras.executions import EXECUTIONS, Execution
from nnbench.backends.keras.model import build, parameters
from nnbench.backends.keras.optimizers import build_optimizer
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
        self.task = task
        self._device = process.prepare(task.device, task.threads)
        kind: Any = EXECUTIONS[task.execution]
        with tf.device(self._device), process.floatx(task.dtype):
            self.model = build(task.architecture, task.dtype, task.seed)
            self._params = parameters(self.model, task.architecture)
            self._optimizer = build_optimizer(task)
            self._optimizer.build(self.model.trainable_variables)
            self._fresh = [np.array(v.numpy()) for v in self._optimizer.variables]
            self._inputs = _resident(task, splits, kind.place)
            targets = kind.place(target_array(task, splits["train"]))
            self._execution: Execution = kind(
                task, self.model, self._optimizer, self._inputs["train"].array, targets
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
        kept = self.state()
        with tf.device(self._device):
            self._execution.prepare(n)
        self._logits(self._inputs["train"].array[:1])
        self.restore(kept)

    def train(self, walk: Walk) -> TrainStats:
        """Run the walk; reading the loss back waits for the device."""
        with tf.device(self._device):
            return self._execution.run(walk)

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        array, n = self._inputs[split]
        starts = range(0, n, EVALUATION_SAMPLES)
        ends = [min(start + EVALUATION_SAMPLES, n) for start in starts]
        return np.concatenate([self._logits(array[a:b]) for a, b in zip(starts, ends, strict=True)])

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

    def _logits(self, rows: Any) -> NDArray[np.floating]:
        with tf.device(self._device):
            return np.asarray(self._forward(rows).numpy())


class _Resident(NamedTuple):
    """Inputs where the execution wants them; the first `samples` rows are the split's own."""

    array: Any
    samples: int


def _resident(
    task: Task, splits: Mapping[str, Split], place: Callable[[NDArray[Any]], Any]
) -> dict[str, _Resident]:
    """Place every split; one that begins the training split shares its memory."""
    train = splits["train"]
    shared = place(input_array(task, train))
    return {
        name: _Resident(
            shared if begins(split, train) else place(input_array(task, split)), len(split)
        )
        for name, split in splits.items()
    }
