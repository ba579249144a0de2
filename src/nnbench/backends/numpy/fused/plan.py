"""A training step over a fixed number of samples, as a list of calls."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call, Step
from nnbench.backends.numpy.fused.pointwise import gradient_factor, logit_calls
from nnbench.backends.numpy.fused.stage import Material, Program, Sink
from nnbench.backends.numpy.fused.stages import build_stages, gather_calls, in_parts
from nnbench.backends.numpy.fused.updates import Update
from nnbench.backends.numpy.layers import Array

# Samples at a time, so that what their layers need stays in the cache: of images; in evaluation of
# anything else, and where the weights themselves do not fit, so many that they are read seldom.
PART = 32
EVALUATED = 128
EVALUATED_LARGE = 2048
LARGE_BYTES = 2**21


class Plan(Program):
    """Takes steps of `n` samples; `logits` are those of the last one.

    A step of several batches computes one after the other, each as a whole or in parts.
    """

    def __init__(self, material: Material, update: Update, blas: Blas, n: int) -> None:
        super().__init__()
        architecture, batch = material.task.architecture, material.task.batch_size
        # Targets that broadcast are those of the whole batch.
        whole = material.task.loss.mistake == "broadcast_targets"
        size = min(PART if in_parts(architecture) and not whole else batch, n)
        starts = [
            start
            for first in range(0, n, batch)
            for start in range(first, min(first + batch, n), size)
        ]
        self.update = update.gathering() if len(starts) > 1 else update
        self.logits = np.zeros((n, architecture.output_shape()[0]), material.task.dtype)
        self._rows = np.full(n, -1, np.int64)
        self._scale = np.zeros((), material.task.dtype)
        self._factor = gradient_factor(material.task.loss, self.logits.shape[1], n)
        # A full batch in the same order as before is in its place already.
        self._stays = size == n == len(material.inputs) and architecture.augment is None
        self._gather: list[Call] = []
        parts: dict[int, _Part] = {}
        for start, stop in pairwise([*starts, n]):
            rows, logits = self._rows[start:stop], self.logits[start:stop]
            if start and start % batch == 0:
                self.add("batch", [partial(_draw, material, start // batch)])
            if len(rows) not in parts:
                parts[len(rows)] = _Part(material, blas, self._scale, len(rows))
            part = parts[len(rows)]
            gather: list[Call] = [partial(np.copyto, part.rows, rows), *part.gather]
            if self._stays:
                self._gather = gather
            else:
                self.add("batch", gather)
            sink = self.update.sink.adding() if start else self.update.sink
            self.extend(part.steps(sink))
            self.add("loss", [partial(np.copyto, logits, part.logits)])

    def take(self, rows: Array, lr: float) -> None:
        """Take a step over the training samples `rows` with learning rate `lr`."""
        if not (self._stays and np.array_equal(rows, self._rows)):
            self._rows[...] = rows
            for call in self._gather:
                call()
        self._scale[...] = self._factor * lr if self.update.in_gradient else self._factor
        for call in self.calls:
            call()
        self.update.apply(lr)


def _draw(material: Material, batch: int) -> None:
    """Let what is random draw by the keys of batch `batch` of the step."""
    material.keys.update(material.batch_keys[batch])


class Evaluation:
    """Computes logits `(n, outputs)` of `n` samples of one split."""

    def __init__(self, material: Material, blas: Blas, n: int) -> None:
        self._material = material
        self._part = _Part(material, blas, np.zeros((), material.task.dtype), n)
        self._calls = [*self._part.gather, *(call for _, call in self._part.forward())]

    def logits(self, start: int) -> Array:
        """Return those of the samples from `start` on; valid until the next call."""
        self._part.rows[...] = np.arange(start, start + len(self._part.rows))
        self._material.first_row = start
        for call in self._calls:
            call()
        return self._part.logits


class _Part:
    """Forward and backward pass over the `n` samples `rows`; `scale` as `logit_calls` takes it."""

    def __init__(self, material: Material, blas: Blas, scale: Array, n: int) -> None:
        task = material.task
        self.blas, self.task, self.scale = blas, task, scale
        self.rows = np.zeros(n, np.int64)
        self.logits = np.zeros((n, task.architecture.output_shape()[0]), task.dtype)
        self.targets = np.zeros_like(self.logits)
        self.stages, self.first = build_stages(material, blas, self.logits)
        self.gather = gather_calls(material, self.rows, self.stages[0].input)
        if material.training:
            take = partial(np.take, material.targets, self.rows, 0, self.targets, "clip")
            self.gather.append(take)
        self._made: dict[float, list[Step]] = {}

    def forward(self) -> list[Step]:
        """Return the calls that compute the logits of the gathered samples."""
        return [
            (f"{stage.layer + 1} forward", call)
            for stage in self.stages
            for call in stage.forward(self.blas)
        ]

    def steps(self, sink: Sink) -> list[Step]:
        """Return the calls that compute the logits and bring the gradients to `sink`."""
        if sink.beta not in self._made:
            self._made[sink.beta] = self._passes(sink)
        return self._made[sink.beta]

    def _passes(self, sink: Sink) -> list[Step]:
        calls = self.forward()
        dy: Array = np.zeros_like(self.logits)
        activation = self.task.architecture.output_activation
        loss = self.task.loss
        logit = logit_calls(loss, activation, self.logits, self.targets, dy, self.scale)
        calls += [("loss", call) for call in logit]
        for i in range(len(self.stages) - 1, self.first - 1, -1):
            more, dx = self.stages[i].backward(self.blas, dy, sink, i > self.first)
            calls += [(f"{self.stages[i].layer + 1} backward", call) for call in more]
            if i > self.first:
                assert dx is not None
                dy = dx.reshape(self.stages[i - 1].out.shape)
        return calls
