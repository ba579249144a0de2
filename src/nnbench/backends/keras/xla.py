"""The `xla` and `graph` executions: a whole walk as one TensorFlow program, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench.backends.keras import optimizers
from nnbench.backends.keras.executions import Batches, Execution
from nnbench.backends.keras.losses import sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Task, TrainStats, Walk

# loop(order, rates, keys, shares, last, batches) -> sum of the losses
Loop = Callable[[Any, Any, Any, Any, Any, Any], Any]


class Xla(Execution):
    """A tf.function compiled by XLA that takes all full batches of a walk in one while loop.

    The number of batches is an argument, so that a slice of a walk runs the same program; the
    ragged last batch has a program of its own. Weights live in variables carried by the loop.
    """

    compiled = True
    place = staticmethod(tf.constant)

    def __init__(self, task: Task, net: Net, optimizer: Any, inputs: Any, targets: Any) -> None:
        super().__init__(task, net, optimizer, inputs, targets)
        self._losses = sample_losses(task.loss, task.architecture.output_activation)
        self._loops: dict[tuple[int, int], Loop] = {}
        self._capacity = 0

    def prepare(self, n: int) -> None:
        """Compile both programs by running one step of each."""
        n, batch = self.task.visited(n), self.task.batch_size
        self._capacity = max(self._capacity, n - n % batch)
        for capacity, size in ((self._capacity, batch), (n % batch, n % batch)):
            if capacity:
                walk = Walk(np.arange(size), np.zeros(1), size, 0, 0, 0)
                self._call(capacity, size, np.arange(size), Batches.of(self.task, self.net, walk))

    def run(self, walk: Walk) -> TrainStats:
        """Take the full batches in one call, the ragged one in another."""
        order = self._own_order(walk) if walk.order is None else walk.order
        size, batches = self.task.batch_size, Batches.of(self.task, self.net, walk)
        count, ragged = divmod(len(order), size)
        full = count * size
        self._capacity = max(self._capacity, full)
        loss_sum = 0.0
        if full:
            loss_sum += self._call(self._capacity, size, order[:full], batches.part(0, count))
        if ragged:
            loss_sum += self._call(ragged, ragged, order[full:], batches.part(count, None))
        return TrainStats(loss_sum, len(order))

    def _own_order(self, walk: Walk) -> NDArray[np.int64]:
        """Shuffle by TensorFlow, keyed by seed and epoch, so that there is no state to keep."""
        key = [self.task.seed % 2**31, walk.epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(walk.samples), key)
        return np.asarray(order.numpy(), dtype=np.int64)[: self.task.visited(walk.samples)]

    def _call(self, capacity: int, size: int, order: NDArray[np.int64], batches: Batches) -> float:
        """Pad everything to the program's capacity and run its batches, of `size` samples each."""
        count, most = len(batches.rates), capacity // size
        given = [
            _padded(order, capacity, np.int32),
            _padded(batches.rates, most, self.task.dtype),
            _padded(batches.keys, most, np.int32),
            _padded(batches.shares, most, self.task.dtype),
            _padded(batches.last, most, self.task.dtype),
        ]
        if (capacity, size) not in self._loops:
            self._loops[capacity, size] = self._loop(size)
        loop = self._loops[capacity, size]
        return float(loop(*(tf.constant(a) for a in (*given, np.int32(count)))))

    def _loop(self, size: int) -> Loop:
        accumulation = optimizers.accumulation(self.optimizer)

        @tf.function(jit_compile=self.compiled, autograph=False)  # type: ignore[untyped-decorator]
        def loop(order: Any, rates: Any, keys: Any, shares: Any, last: Any, count: Any) -> Any:
            def body(batch: Any, total: Any) -> tuple[Any, Any]:
                rows = tf.slice(order, [batch * size], [size])
                for i, layer in enumerate(self.net.drawing.values()):
                    layer.key.assign(keys[batch, i])
                for variable, values in zip(accumulation, (shares, last), strict=False):
                    variable.assign(values[batch])
                total += self._learn(tf.gather(self.inputs, rows), rows, rates[batch])
                return batch + 1, total

            zero = tf.constant(0.0, tf.float64)
            start = tf.constant(0, tf.int32)
            return tf.while_loop(lambda batch, _: batch < count, body, (start, zero))[1]

        return loop

    def _learn(self, x: Any, rows: Any, rate: Any) -> Any:
        """Hand the gradients of a batch to the optimizer; return the sum of its losses."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            losses = self._losses(tf.gather(self.targets, rows), self.model(x, training=True))
            loss = tf.reduce_sum(losses)
            scaled = loss * self.task.loss.batch_scale(x.shape[0])
        gradients = tape.gradient(scaled, [v.value for v in variables])
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(gradients, variables)
        return tf.cast(loss, tf.float64)


def _padded(array: NDArray[Any], length: int, dtype: Any) -> NDArray[Any]:
    """Return the array in `dtype`, its first axis filled up with zeros."""
    found = np.zeros((length, *array.shape[1:]), dtype)
    found[: len(array)] = array
    return found


class Graph(Xla):
    """The same program run operation by operation."""

    compiled = False
