"""How Keras runs a walk: `fit`, as readers of its documentation write it; others are in xla.py."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from nnbench.backends.keras import optimizers, process
from nnbench.backends.keras.losses import FitLoss, sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Task, TrainStats, Walk
from nnbench.errors import UnsupportedSpec
from nnbench.model import counter, streams


def drawn_keys(task: Task, net: Net, walk: Walk) -> NDArray[np.int32]:
    """Return the keys `(batches, drawing layers, 2)` of what is random in the walk's batches."""
    numbers = task.batches(walk.first_step, task.visited(walk.samples))
    keys = np.empty((len(numbers), len(net.drawing), 2), np.uint32)
    for i, stream in enumerate(net.drawing):
        keys[:, i] = counter.keys(walk.seed, numbers.start, len(numbers), stream)
    return keys.view(np.int32)


class Batches(NamedTuple):
    """What is set before each batch of a walk: arrays whose first axis has the batches.

    `rates` of the step that a batch is part of, the `keys` of what is random; of a step of several
    batches also the `shares` of each one's gradient, and whether it is the step's `last`.
    """

    rates: NDArray[np.float64]
    keys: NDArray[np.int32]
    shares: NDArray[np.float64]
    last: NDArray[np.float64]

    @classmethod
    def of(cls, task: Task, net: Net, walk: Walk) -> Batches:
        """Return those of `walk`."""
        keys, n = drawn_keys(task, net, walk), task.visited(walk.samples)
        step = np.arange(len(keys)) // task.gradient_accumulation_steps
        sizes = np.minimum(n - task.batch_size * np.arange(len(keys)), task.batch_size)
        shares = sizes / np.bincount(step, sizes)[step]
        if task.loss.over_batch == "sum":
            shares = np.ones(len(keys))
        last = np.append(step[1:] > step[:-1], True).astype(float)
        return cls(walk.lr[step], keys, shares, last)

    def part(self, start: int, stop: int | None) -> Batches:
        """Return those of some batches."""
        rows = slice(start, stop)
        return Batches(self.rates[rows], self.keys[rows], self.shares[rows], self.last[rows])


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
        varies |= self.task.gradient_accumulation_steps > 1
        with self._seeded(walk):
            history = self.model.fit(
                **self._data(walk),
                epochs=1,
                verbose=0,
                callbacks=[_ByBatch(self.task, self.net, walk)] if varies else None,
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
            kept = self.task.visited(walk.samples) // batch if self.task.drop_last else None
            own = {"batch_size": batch, "shuffle": walk.order is None, "steps_per_epoch": kept}
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


class _ByBatch(keras.callbacks.Callback):
    """Sets before every batch what changes with it: the learning rate, the keys, its share."""

    def __init__(self, task: Task, net: Net, walk: Walk) -> None:
        super().__init__()
        self.net, self.batches = net, Batches.of(task, net, walk)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set what is of batch `batch`."""
        if hasattr(self.model, "jax_state_sync"):  # Keras on JAX keeps the state to itself
            self.model.jax_state_sync()
        # An array: Keras takes numbers through float32 on some engines.
        rates, keys, *rest = self.batches.part(batch, batch + 1)
        self.model.optimizer.learning_rate.assign(rates.reshape(()))
        for key, layer in zip(keys[0], self.net.drawing.values(), strict=True):
            layer.key.assign(key)
        own = optimizers.accumulation(self.model.optimizer)
        for variable, value in zip(own, rest, strict=False):
            variable.assign(value.reshape(()))


# Where each execution is, by engine.
FIT = "nnbench.backends.keras.executions.Fit"
EXECUTIONS = {
    "xla": {
        "tensorflow": "nnbench.backends.keras.xla.Xla",
        "jax": "nnbench.backends.keras.xla_jax.Xla",
    },
    "graph": {"tensorflow": "nnbench.backends.keras.xla.Graph"},
    "fit": {"tensorflow": FIT, "torch": FIT, "jax": FIT},
}


def execution_class(name: str) -> Any:
    """Return the class of an execution; raises UnsupportedSpec where this engine lacks it."""
    engine = keras.backend.backend()
    place = EXECUTIONS.get(name, {}).get(engine)
    if place is None:
        listed = " or ".join(n for n, engines in EXECUTIONS.items() if engine in engines)
        raise UnsupportedSpec(f"backend=keras has no execution {name} on {engine}; use {listed}.")
    module, _, found = place.rpartition(".")
    return getattr(importlib.import_module(module), found)
