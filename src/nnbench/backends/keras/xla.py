"""The `xla` and `graph` executions: a whole walk as one TensorFlow program, compiled or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench.backends.keras.executions import Execution, drawn_keys
from nnbench.backends.keras.losses import sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Task, TrainStats, Walk

# loop(order, rates, keys, steps) -> sum of the losses
Loop = Callable[[Any, Any, Any, Any], Any]


class Xla(Execution):
    """A tf.function compiled by XLA that takes all full batches of a walk in one while loop.

    The number of steps is an argument, so that a slice of a walk runs the same program; the
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
                self._call(capacity, size, Walk(np.arange(size), np.zeros(1), size, 0, 0, 0))

    def run(self, walk: Walk) -> TrainStats:
        """Take the full batches in one call, the ragged one in another."""
        order = self._own_order(walk) if walk.order is None else walk.order
        batch = self.task.batch_size
        walk = dataclasses.replace(walk, order=order)
        full = len(order) - len(order) % batch
        self._capacity = max(self._capacity, full)
        loss_sum = 0.0
        if full:
            part = walk.part(0, full // batch, batch)
            loss_sum += self._call(self._capacity, batch, part)
        if full < len(order):
            ragged = len(order) - full
            part = walk.part(full // batch, len(walk.lr), batch)
            loss_sum += self._call(ragged, ragged, part)
        return TrainStats(loss_sum, len(order))

    def _own_order(self, walk: Walk) -> NDArray[np.int64]:
        """Shuffle by TensorFlow, keyed by seed and epoch, so that there is no state to keep."""
        key = [self.task.seed % 2**31, walk.epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(walk.samples), key)
        return np.asarray(order.numpy(), dtype=np.int64)[: self.task.visited(walk.samples)]

    def _call(self, capacity: int, batch: int, walk: Walk) -> float:
        """Pad the walk to the program's capacity and run its steps."""
        count = len(walk.lr)
        order = np.zeros(capacity, np.int32)
        order[: walk.samples] = np.asarray(walk.order)
        rates = np.zeros(capacity // batch, self.task.dtype)
        rates[:count] = walk.lr
        keys = np.zeros((capacity // batch, len(self.net.drawing), 2), np.int32)
        keys[:count] = drawn_keys(self.net, walk)
        if (capacity, batch) not in self._loops:
            self._loops[capacity, batch] = self._loop(batch)
        loop = self._loops[capacity, batch]
        return float(loop(*(tf.constant(a) for a in (order, rates, keys, np.int32(count)))))

    def _loop(self, batch: int) -> Loop:
        @tf.function(jit_compile=self.compiled, autograph=False)  # type: ignore[untyped-decorator]
        def loop(order: Any, rates: Any, keys: Any, steps: Any) -> Any:
            def body(step: Any, total: Any) -> tuple[Any, Any]:
                rows = tf.slice(order, [step * batch], [batch])
                for i, layer in enumerate(self.net.drawing.values()):
                    layer.key.assign(keys[step, i])
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


class Graph(Xla):
    """The same program run operation by operation."""

    compiled = False
