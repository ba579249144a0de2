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
from nnbench.backends.keras.model import Net, build, input_dtype
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
            net = build(task)
            self.model, self._params = net.model, net.variables
            self._optimizer = build_optimizer(task)
            self._optimizer.build(self.model.trainable_variables)
            self._own = [*self._optimizer.variables, *_other_variables(net)]
            self._fresh = [np.array(v.numpy()) for v in self._own]
            self._inputs = _resident(task, splits, kind.place)
            targets = kind.place(target_array(task, splits["train"]))
            self._execution: Execution = kind(
                task, net, self._optimizer, self._inputs["train"].array, targets
            )
        shape = (None, *task.architecture.input_shape)
        self._forward = tf.function(
            lambda x: self.model(x, training=False),
            input_signature=[tf.TensorSpec(shape, input_dtype(task))],
        )

    def load(self, params: Params) -> None:
        """Assign the weights, put all other variables back to their first values."""
        for key, variable in self._params.items():
            variable.assign(params[key])
        for variable, value in zip(self._own, self._fresh, strict=True):
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
        """Return copies of the weights and of all variables of optimizer and layers."""
        state = {str(key): value for key, value in self.params().items()}
        for i, variable in enumerate(self._own):
            state[f"own.{i}"] = np.array(variable.numpy())
        return state

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        for key, variable in self._params.items():
            variable.assign(state[str(key)])
        for i, variable in enumerate(self._own):
            variable.assign(state[f"own.{i}"])

    def _logits(self, rows: Any) -> NDArray[np.floating]:
        with tf.device(self._device):
            return np.asarray(self._forward(rows).numpy())


def _other_variables(net: Net) -> list[Any]:
    """Return the model's variables that are no weights: seeds of Keras' own dropout, keys."""
    weights = {id(variable) for variable in net.variables.values()}
    return [variable for variable in net.model.variables if id(variable) not in weights]


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
