"""How Keras runs a walk: `fit`, as readers of its documentation write it; others are in xla.py."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nnbench.backends.keras import process
from nnbench.backends.keras.losses import FitLoss, sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Task, TrainStats, Walk
from nnbench.errors import UnsupportedSpec
from nnbench.model import counter, streams


def drawn_keys(net: Net, walk: Walk) -> NDArray[np.int32]:
    """Return the keys `(steps, drawing layers, 2)` of what is random in the walk's steps."""
    steps = len(walk.lr)
    keys = np.empty((steps, len(net.drawing), 2), np.uint32)
    for i, stream in enumerate(net.drawing):
        keys[:, i] = counter.keys(walk.seed, walk.first_step, steps, stream)
    return keys.view(np.int32)


class Execution:
    """A way to run epochs, on inputs and targets that `place` has put where it wants them."""

    place: Callable[[NDArray[Any]], Any]

    def __init__(self, task: Task, net: Net, optimizer: Any, inputs: Any, targets: Any) -> None:
        self.task, self.net, self.model, self.optimizer = task, net, net.model, optimizer
        self.inputs, self.targets = inputs, targets

    def prepare(self, n: int) -> None:
        """Compile for epochs of n samples; the state may be another afterwards."""
        raise NotImplementedError

    def run(self, walk: Walk) -> TrainStats:
        """Take the steps of `walk`."""
        raise NotImplementedError


class Fit(Execution):
    """`model.compile` and `model.fit` on the walk's samples, in the walk's order.

    Resident input: from arrays. Native input: from a tf.data pipeline.
    """

    place = staticmethod(np.asarray)

    def __init__(self, task: Task, net: Net, optimizer: Any, inputs: Any, targets: Any) -> None:
        if task.input == "native" and keras.backend.backend() != "tensorflow":
            raise UnsupportedSpec(
                "Received input=native; backend=keras takes it from tf.data, which needs "
                "backend.engine=tensorflow. Use input=resident."
            )
        super().__init__(task, net, optimizer, inputs, targets)
        self._summed = task.loss.over_batch == "sum"
        # The loss that fit reports weighs summed batches wrongly; a metric then takes its place.
        losses = sample_losses(task.loss, task.architecture.output_activation)
        metrics = [keras.metrics.MeanMetricWrapper(losses, name="mean", dtype=task.dtype)]
        net.model.compile(optimizer=optimizer, loss=FitLoss(task), metrics=metrics * self._summed)

    def prepare(self, n: int) -> None:
        """Fit a walk with a full and the ragged batch, so that both shapes are traced."""
        n, batch = self.task.visited(n), self.task.batch_size
        count = n if n < 2 * batch else 2 * batch + n % batch
        self.run(Walk(np.arange(count), np.zeros(self.task.steps(count)), count, 0, 0, 0))

    def run(self, walk: Walk) -> TrainStats:
        """Fit one epoch over the walk."""
        self.optimizer.learning_rate.assign(np.asarray(walk.lr[0]))
        varies = bool((walk.lr != walk.lr[0]).any()) or bool(self.net.drawing)
        with self._seeded(walk):
            history = self.model.fit(
                **self._data(walk),
                epochs=1,
                verbose=0,
                callbacks=[_ByStep(self.net, walk)] if varies else None,
            ).history
        mean = history["mean" if self._summed else "loss"][0]
        visited = self.task.visited(walk.samples)
        return TrainStats(mean * visited, visited)

    def _data(self, walk: Walk) -> dict[str, Any]:
        """Return the arguments of `fit` that say what it trains on."""
        rows = slice(walk.samples) if walk.order is None else walk.order
        arrays, batch = (self.inputs[rows], self.targets[rows]), self.task.batch_size
        if self.task.input == "resident":
            x, y = arrays
            steps = len(walk.lr) if self.task.drop_last else None
            own = {"batch_size": batch, "shuffle": walk.order is None, "steps_per_epoch": steps}
            return {"x": x, "y": y} | own
        import tensorflow as tf

        pipeline = tf.data.Dataset.from_tensor_slices(arrays)
        if walk.order is None:
            pipeline = pipeline.shuffle(walk.samples)
        pipeline = pipeline.batch(batch, drop_remainder=self.task.drop_last)
        return {"x": pipeline.prefetch(tf.data.AUTOTUNE), "shuffle": False}

    def _seeded(self, walk: Walk) -> AbstractContextManager[None]:
        """Seed fit's shuffling where it does any; otherwise spare the kernels (see process.py)."""
        if walk.order is not None:
            return nullcontext()
        seed = streams.generator(self.task.seed, "fit", walk.epoch).integers(2**31)
        return process.seeded(int(seed))


class _ByStep(keras.callbacks.Callback):
    """Sets before every step what changes with it: the learning rate, the keys."""

    def __init__(self, net: Net, walk: Walk) -> None:
        super().__init__()
        self.net, self.rates, self.keys = net, walk.lr, drawn_keys(net, walk)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate and the keys of step `batch`."""
        if hasattr(self.model, "jax_state_sync"):  # Keras on JAX keeps the state to itself
            self.model.jax_state_sync()
        # An array: Keras takes numbers through float32 on some engines.
        self.model.optimizer.learning_rate.assign(self.rates[batch : batch + 1].reshape(()))
        for key, layer in zip(self.keys[batch], self.net.drawing.values(), strict=True):
            layer.key.assign(key)


# Where each execution is, and on which engines it runs.
EXECUTIONS = {
    "xla": ("nnbench.backends.keras.xla.Xla", ("tensorflow",)),
    "graph": ("nnbench.backends.keras.xla.Graph", ("tensorflow",)),
    "fit": ("nnbench.backends.keras.executions.Fit", ("tensorflow", "torch", "jax")),
}


def execution_class(name: str) -> Any:
    """Return the class of an execution; raises UnsupportedSpec where this engine lacks it."""
    engine = keras.backend.backend()
    if name not in EXECUTIONS or engine not in EXECUTIONS[name][1]:
        listed = " or ".join(n for n, (_, engines) in EXECUTIONS.items() if engine in engines)
        raise UnsupportedSpec(f"backend=keras has no execution {name} on {engine}; use {listed}.")
    module, _, found = EXECUTIONS[name][0].rpartition(".")
    return getattr(importlib.import_module(module), found)
