"""A whole walk as one program of the engine, with the learning in a loop inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.backends.keras.executions import Batches, Execution
from nnbench.backends.keras.losses import sample_losses
from nnbench.backends.keras.model import Net
from nnbench.backends.protocol import Task, TrainStats, Walk

# program(order, rates, keys, shares, last, count) -> sum of the losses
Program = Callable[..., Any]


class WholeWalk(Execution):
    """All full batches of a walk in one call, the ragged last one in another.

    The number of batches is an argument of the program, so that a slice of a walk runs the same
    one. Every array is padded to the program's capacity.
    """

    def __init__(self, task: Task, net: Net, optimizer: Any, inputs: Any, targets: Any) -> None:
        super().__init__(task, net, optimizer, inputs, targets)
        self._losses = sample_losses(task.loss, task.architecture.output_activation)
        self._programs: dict[tuple[int, int], Program] = {}
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
        """Return what the engine shuffles, `(visited,)`, keyed by seed and epoch: no state kept."""
        raise NotImplementedError

    def _program(self, capacity: int, size: int) -> Program:
        """Return the program for up to `capacity` samples in batches of `size`."""
        raise NotImplementedError

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
        if (capacity, size) not in self._programs:
            self._programs[capacity, size] = self._program(capacity, size)
        return float(self._programs[capacity, size](*given, np.array(count, np.int32)))


def _padded(array: NDArray[Any], length: int, dtype: Any) -> NDArray[Any]:
    """Return the array in `dtype`, its first axis filled up with zeros."""
    found = np.zeros((length, *array.shape[1:]), dtype)
    found[: len(array)] = array
    return found
