"""The Keras Trainer, on TensorFlow, PyTorch or JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nnbench.backends.arrays import target_array
from nnbench.backends.keras import layers, model, optimizers, process
from nnbench.backends.keras.executions import Execution, execution_class
from nnbench.backends.keras.model import Net, input_dtype
from nnbench.backends.protocol import Params, ProfileRow, State, StepTrace, Task, TrainStats, Walk
from nnbench.backends.trainers import resident, traced
from nnbench.data.dataset import Split
from nnbench.errors import UnsupportedSpec

EVALUATION_SAMPLES = 4096


class KerasTrainer:
    """`xla` or `fit` execution, matched or native."""

    slice_multiple = 1

    def __init__(self, task: Task, splits: Mapping[str, Split]) -> None:
        self.task = task
        self._device = process.prepare(task.device, task.threads, task.semantics)
        self.accelerator = process.accelerator(self._device)
        process.check_precision(task.dtype)
        optimizers.check_accumulation(task, len(splits["train"]))
        kind = execution_class(task.execution)
        with self._settings():
            net = model.build(task)
            self.model, self._params = net.model, net.variables
            self._optimizer = optimizers.build(task, self.model.trainable_variables)
            self._optimizer.build(self.model.trainable_variables)
            self.effective = optimizers.effective(self._optimizer, task.optimizer)
            self.effective |= layers.effective(net.layers)
            self._own = [*self._optimizer.variables, *_other_variables(net)]
            self._fresh = [np.array(keras.ops.convert_to_numpy(v)) for v in self._own]
            self._inputs = resident(task, splits, kind.place)
            self._net = net
            self._targets = kind.place(target_array(task, splits["train"]))
            self._execution: Execution = kind(
                task, net, self._optimizer, self._inputs["train"].array, self._targets
            )
        self._forward = _compiled(self.model, task)

    def load(self, params: Params) -> None:
        """Assign the weights, put all other variables back to their first values."""
        for key, variable in self._params.items():
            variable.assign(params[key])
        for variable, value in zip(self._own, self._fresh, strict=True):
            variable.assign(value)

    def warm_up(self, n: int) -> None:
        """Compile every program, then put everything back."""
        kept = self.state()
        with self._settings():
            self._execution.prepare(n)
        self._logits(self._inputs["train"].array[:1])
        self.restore(kept)

    def train(self, walk: Walk) -> TrainStats:
        """Run the walk; reading the loss back waits for the device."""
        with self._settings():
            return self._execution.run(walk)

    def trace(self, walk: Walk) -> StepTrace:
        """Take the one step of `walk`, as `train` does, and return what went on in it."""
        if keras.backend.backend() != "tensorflow":
            raise UnsupportedSpec("backend=keras traces steps with backend.engine=tensorflow only.")
        from nnbench.backends.keras.trace import step_gradients

        def take_apart(walk: Walk) -> tuple[list[Any], list[Any], Params]:
            with self._settings():
                return step_gradients(
                    self.task, self._net, self._inputs["train"].array, self._targets, walk
                )

        return traced(self, walk, take_apart)

    def profile(self, walk: Walk) -> list[ProfileRow]:
        """Take the steps of `walk` under TensorFlow's profiler; see `profile_rows`."""
        if keras.backend.backend() != "tensorflow":
            raise UnsupportedSpec(
                "backend=keras can be profiled with backend.engine=tensorflow only."
            )
        from nnbench.backends.keras.profile import profile_rows

        return profile_rows(lambda: self.train(walk), len(walk.lr))

    def evaluate(self, split: str) -> NDArray[np.floating]:
        """Return the logits `(n, outputs)` of a split, before the output activation."""
        array, n = self._inputs[split]
        starts = range(0, max(n, 1), EVALUATION_SAMPLES)
        ends = [min(start + EVALUATION_SAMPLES, n) for start in starts]
        parts = []
        for start, end in zip(starts, ends, strict=True):
            self._net.begin_at(start)
            parts.append(self._logits(array[start:end]))
        self._net.begin_at(0)
        return np.concatenate(parts)

    def params(self) -> Params:
        """Return host copies of the weights; Keras' layout is the canonical one."""
        return {key: np.array(keras.ops.convert_to_numpy(v)) for key, v in self._params.items()}

    def state(self) -> State:
        """Return copies of the weights and of all variables of optimizer and layers."""
        state = {str(key): value for key, value in self.params().items()}
        for i, variable in enumerate(self._own):
            state[f"own.{i}"] = np.array(keras.ops.convert_to_numpy(variable))
        return state

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        for key, variable in self._params.items():
            variable.assign(state[str(key)])
        for i, variable in enumerate(self._own):
            variable.assign(state[f"own.{i}"])

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Compute on the trainer's device, with its dtype as Keras' float type."""
        with keras.device(self._device), process.floatx(self.task.dtype):
            yield

    def _logits(self, rows: Any) -> NDArray[np.floating]:
        with self._settings():
            return np.asarray(keras.ops.convert_to_numpy(self._forward(rows)))


def _compiled(model: Any, task: Task) -> Callable[[Any], Any]:
    """Return the forward pass in evaluation mode, in the engine's best form for any batch."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    import tensorflow as tf

    shape = (None, *task.architecture.input_shape)
    return tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec(shape, input_dtype(task))],
    )


def _other_variables(net: Net) -> list[Any]:
    """Return the model's variables that are no weights: seeds of Keras' own dropout, keys."""
    weights = {id(variable) for variable in net.variables.values()}
    return [variable for variable in net.model.variables if id(variable) not in weights]
