"""The `xla` and `graph` executions on TensorFlow: a walk as one tf.function, compiled or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nnbench.backends.keras import optimizers
from nnbench.backends.keras.whole import Program, WholeWalk
from nnbench.backends.protocol import Walk


class Xla(WholeWalk):
    """A tf.function compiled by XLA; weights live in variables that its while loop carries."""

    compiled = True
    place = staticmethod(tf.constant)

    def _own_order(self, walk: Walk) -> NDArray[np.int64]:
        key = [self.task.seed % 2**31, walk.epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(walk.samples), key)
        return np.asarray(order.numpy(), dtype=np.int64)[: self.task.visited(walk.samples)]

    def _program(self, capacity: int, size: int) -> Program:
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

        program: Program = loop
        return program

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


class Graph(Xla):
    """The same program run operation by operation."""

    compiled = False
