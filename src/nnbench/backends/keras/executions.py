"""How Keras runs a walk: `xla`, one compiled loop over steps, or `fit`, as its readers write it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench import streams
from nnbench.backends.keras import process
from nnbench.backends.keras.model import FitLoss, sample_losses
from nnbench.trainer import Task, TrainStats, Walk

# (capacity in samples, batch) -> loop(order, rates, steps) -> sum of the losses
Loop = Callable[[Any, Any, Any], Any]


class Execution(Protocol):
    """Runs walks.

    `place` puts an array where the execution wants it; `prepare` compiles for walks of n samples
    and may leave the state changed.
    """

    @staticmethod
    def place(array: NDArray[Any]) -> Any: ...  # noqa: D102

    def prepare(self, n: int) -> None: ...  # noqa: D102

    def run(self, walk: Walk) -> TrainStats: ...  # noqa: D102


class Xla:
    """A tf.function compiled by XLA that takes all full batches of a walk in one while loop.

    The number of steps is an argument, so that a slice of a walk runs the same program; the
    ragged last batch has a program of its own. Weights live in variables carried by the loop.
    """

    def __init__(self, task: Task, model: Any, optimizer: Any, inputs: Any, targets: Any) -> None:
        self.task, self.model, self.optimizer = task, model, optimizer
        self.inputs, self.targets = inputs, targets
        self._losses = sample_losses(task.loss, task.architecture.output_activation)
        self._loops: dict[tuple[int, int], Loop] = {}
        self._capacity = 0

    @staticmethod
    def place(array: NDArray[Any]) -> Any:
        """Return `array` on the device, where it stays."""
        return tf.constant(array)

    def prepare(self, n: int) -> None:
        """Compile both programs by running one step of each."""
        batch = self.task.batch_size
        self._capacity = max(self._capacity, n - n % batch)
        for capacity, size in ((self._capacity, batch), (n % batch, n % batch)):
            if capacity:
                self._call(capacity, size, np.arange(size), np.zeros(1))

    def run(self, walk: Walk) -> TrainStats:
        """Take the full batches in one call, the ragged one in another."""
        order = self._own_order(walk) if walk.order is None else walk.order
        batch = self.task.batch_size
        full = len(order) - len(order) % batch
        self._capacity = max(self._capacity, full)
        loss_sum = 0.0
        if full:
            steps = full // batch
            loss_sum += self._call(self._capacity, batch, order[:full], walk.lr[:steps])
        if full < len(order):
            ragged = len(order) - full
            loss_sum += self._call(ragged, ragged, order[full:], walk.lr[-1:])
        return TrainStats(loss_sum, len(order))

    def _own_order(self, walk: Walk) -> NDArray[np.int64]:
        """Shuffle by TensorFlow, keyed by seed and epoch, so that there is no state to keep."""
        key = [self.task.seed % 2**31, walk.epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(walk.samples), key)
        return np.asarray(order.numpy(), dtype=np.int64)

    def _call(self, capacity: int, batch: int, order: NDArray[Any], rates: NDArray[Any]) -> float:
        """Pad the walk to the program's capacity and run its steps."""
        padded = np.zeros(capacity, np.int32)
        padded[: len(order)] = order
        padded_rates = np.zeros(capacity // batch, self.task.dtype)
        padded_rates[: len(rates)] = rates
        if (capacity, batch) not in self._loops:
            self._loops[capacity, batch] = self._loop(batch)
        steps = tf.constant(len(rates), tf.int32)
        loop = self._loops[capacity, batch]
        return float(loop(tf.constant(padded), tf.constant(padded_rates), steps))

    def _loop(self, batch: int) -> Loop:
        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def loop(order: Any, rates: Any, steps: Any) -> Any:
            def body(step: Any, total: Any) -> tuple[Any, Any]:
                rows = tf.slice(order, [step * batch], [batch])
                total += self._step(tf.gather(self.inputs, rows), rows, rates[step])
                return step + 1, total

            zero = tf.constant(0.0, tf.float64)
            start = tf.constant(0, tf.int32)
            return tf.while_loop(lambda step, _: step < steps, body, (start, zero))[1]

        return loop

    def _step(self, x: Any, rows: Any, rate: Any) -> Any:
        """Take one step; return the sum of the batch's losses."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            losses = self._losses(tf.gather(self.targets, rows), self.model(x, training=True))
            loss = tf.reduce_sum(losses)
            scaled = loss * self.task.loss.batch_scale(x.shape[0])
        gradients = tape.gradient(scaled, [v.value for v in variables])
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(gradients, variables)
        return tf.cast(loss, tf.float64)


class Fit:
    """`model.compile` and `model.fit` on the walk's samples, in the walk's order."""

    def __init__(self, task: Task, model: Any, optimizer: Any, inputs: Any, targets: Any) -> None:
        self.task, self.model, self.optimizer = task, model, optimizer
        self.inputs, self.targets = inputs, targets
        self._summed = task.loss.over_batch == "sum"
        # The loss that fit reports weighs summed batches wrongly; a metric then takes its place.
        losses = sample_losses(task.loss, task.architecture.output_activation)
        metrics = [keras.metrics.MeanMetricWrapper(losses, name="mean", dtype=task.dtype)]
        model.compile(optimizer=optimizer, loss=FitLoss(task), metrics=metrics * self._summed)

    @staticmethod
    def place(array: NDArray[Any]) -> Any:
        """Return `array` itself: `fit` takes NumPy arrays."""
        return array

    def prepare(self, n: int) -> None:
        """Fit a walk with a full and the ragged batch, so that both shapes are traced."""
        batch = self.task.batch_size
        count = n if n < 2 * batch else 2 * batch + n % batch
        self.run(Walk(np.arange(count), np.zeros(self.task.steps(count)), count, 0, 0, 0))

    def run(self, walk: Walk) -> TrainStats:
        """Fit one epoch over the walk."""
        rows = slice(walk.samples) if walk.order is None else walk.order
        self.optimizer.learning_rate.assign(walk.lr[0])
        varies = bool((walk.lr != walk.lr[0]).any())
        with process.floatx(self.task.dtype), self._seeded(walk):
            history = self.model.fit(
                self.inputs[rows],
                self.targets[rows],
                batch_size=self.task.batch_size,
                epochs=1,
                shuffle=walk.order is None,
                verbose=0,
                callbacks=[_RateByStep(walk.lr)] if varies else None,
            ).history
        mean = history["mean" if self._summed else "loss"][0]
        return TrainStats(mean * walk.samples, walk.samples)

    def _seeded(self, walk: Walk) -> AbstractContextManager[None]:
        """Seed fit's shuffling where it does any; otherwise spare the kernels (see process.py)."""
        if walk.order is not None:
            return nullcontext()
        seed = streams.generator(self.task.seed, "fit", walk.epoch).integers(2**31)
        return process.tensorflow_seed(int(seed))


class _RateByStep(keras.callbacks.Callback):
    """Sets the learning rate before every step."""

    def __init__(self, rates: NDArray[np.float64]) -> None:
        super().__init__()
        self.rates = rates

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate of step `batch`."""
        self.model.optimizer.learning_rate.assign(self.rates[batch])


EXECUTIONS = {"xla": Xla, "fit": Fit}
