"""A training step over a fixed number of samples, as a list of calls."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call, Step
from nnbench.backends.numpy.fused.pointwise import gradient_factor, logit_calls
from nnbench.backends.numpy.fused.stage import Material, Program, Sink
from nnbench.backends.numpy.fused.stages import build_stages, convolves, gather_calls
from nnbench.backends.numpy.fused.team import Team
from nnbench.backends.numpy.fused.updates import Update
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.stopwatch import Stopwatch

# Samples evaluated at a time, so that what their layers need stays in the cache; where the weights
# themselves do not fit, so many that they are read seldom.
EVALUATED = 128
EVALUATED_LARGE = 2048
LARGE_BYTES = 2**21


class Plan:
    """Takes steps of `n` samples; `logits` are those of the last one.

    A step of several batches computes one after the other, each as a whole or in parts of at most
    `part` samples, which the threads of a team share.
    """

    def __init__(
        self,
        material: Material,
        update: Update,
        blas: Blas,
        n: int,
        part: int | None,
        team: Team | None,
    ) -> None:
        architecture, batch = material.task.architecture, min(material.task.batch_size, n)
        size = -(-batch // -(-batch // (part or batch)))  # parts as large as each other
        starts = [
            start
            for first in range(0, n, batch)
            for start in range(first, min(first + batch, n), size)
        ]
        threads = min(team.threads, len(starts)) if team else 1
        self.update = update.gathering() if len(starts) > 1 else update
        self.logits = np.zeros((n, architecture.output_shape()[0]), material.task.dtype)
        self._team = team if threads > 1 else None
        self._rows = np.full(n, -1, np.int64)
        self._scale = np.zeros((), material.task.dtype)
        self._factor = gradient_factor(material.task.loss, self.logits.shape[1], n)
        # A full batch in the same order as before is in its place already.
        full = batch == n == len(material.inputs)
        self._stays = full and architecture.augment is None and not convolves(architecture)
        own = (Sink(material.weights.like(), 1.0, 0.0) for _ in range(threads - 1))
        self._shares = [
            _Share(material, blas, self._scale, sink, self._stays)
            for sink in (self.update.sink, *own)
        ]
        for i, (start, stop) in enumerate(pairwise([*starts, n])):
            share = self._shares[i * threads // len(starts)]
            if start and start % batch == 0:
                share.add("batch", [partial(_draw, material, start // batch)])
            share.compute(self._rows[start:stop], self.logits[start:stop])

    def watch(self, stopwatch: Stopwatch) -> None:
        """Put the stopwatch around every call; the parts are then computed by one thread."""
        self._team = None
        for share in self._shares:
            share.watch(stopwatch)

    def take(self, rows: Array, lr: float) -> None:
        """Take a step over the training samples `rows` with learning rate `lr`."""
        if not (self._stays and np.array_equal(rows, self._rows)):
            self._rows[...] = rows
            for share in self._shares:
                for call in share.gather:
                    call()
        self._scale[...] = self._factor * lr if self.update.in_gradient else self._factor
        if self._team:
            self._team.run([share.calls for share in self._shares])
        else:
            for share in self._shares:
                for call in share.calls:
                    call()
        gradient, *others = (share.sink.target.vector for share in self._shares)
        for other in others:
            np.add(gradient, other, gradient)
        self.update.apply(lr)


def _draw(material: Material, batch: int) -> None:
    """Let what is random draw by the keys of batch `batch` of the step."""
    material.keys.update(material.batch_keys[batch])


class _Share(Program):
    """Parts of a step that are computed one after the other; their gradients go to `sink`.

    `stays`: their samples seldom change, and are gathered only then, by the calls `gather`.
    """

    def __init__(
        self, material: Material, blas: Blas, scale: Array, sink: Sink, stays: bool
    ) -> None:
        super().__init__()
        self.sink, self.gather, self._stays = sink, list[Call](), stays
        self._part = partial(_Part, material, blas, scale)
        self._parts: dict[int, _Part] = {}

    def compute(self, rows: Array, logits: Array) -> None:
        """Add the calls for the samples `rows`, whose logits go to `logits`."""
        sink = self.sink.adding() if self._parts else self.sink
        place = len(self._parts) if self._stays else len(rows)
        if place not in self._parts:
            self._parts[place] = self._part(len(rows))
        part = self._parts[place]
        gather: list[Call] = [partial(np.copyto, part.rows, rows), *part.gather]
        if self._stays:
            self.gather += gather
        else:
            self.add("batch", gather)
        self.extend(part.steps(sink))
        self.add("loss", [partial(np.copyto, logits, part.logits)])


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
