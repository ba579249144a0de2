"""Convolution, with the max-pooling after it, as long contiguous copies and one matrix product.

Memory is `(channels, rows, columns, samples)`, so that the samples side by side make every inner
loop long. A convolution of stride 1 then needs no gathering: with the padded image as one long
row, what tap (i, j) sees of all windows at once is that row shifted by i rows and j columns, a
contiguous copy; the few windows that run over the edge compute rubbish which nobody reads.

Where max-pooling 2 x 2 follows, the windows are kept in four planes, by row and column modulo 2,
and so is the padded image: the four values of a pooling window then lie in four planes at the same
place, and pooling and its gradient are operations on whole planes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.stage import Sink
from nnbench.backends.numpy.layers import Array
from nnbench.model import layers as spec
from nnbench.model.layers import Shape

WINDOWS = 4096  # columns of a matrix product, so that it stays in the cache


class Conv:
    """A convolution of stride 1 on an input of `shape` `(n, height, width, channels)`.

    With `pooled`, `out` is what max-pooling 2 x 2 makes of it.
    """

    def __init__(
        self, layer: int, conv: spec.Conv2d, shape: Shape, weights: Flat, out: Array, pooled: bool
    ) -> None:
        n, height, width, channels = shape
        dtype = out.dtype
        self.layer, self.out, self.taps, self.step = layer, out, conv.kernel_size, 1 + pooled
        self.kernel = weights.joined(layer)  # [W; b], (taps * taps * channels + 1, filters)
        self.pads = conv.pads(shape[1:])
        padded = (height + sum(self.pads[0]), width + sum(self.pads[1]))
        self.rows, self.columns = (-(-length // self.step) for length in padded)
        self.length = self.rows * self.columns * n
        reach = (self.taps - 1 + self.step - 1) // self.step
        self._planes_shape = (
            self.step,
            self.step,
            channels,
            self.length + reach * (self.columns + 1) * n,
        )
        self.given = np.zeros((channels, height, width, n), dtype)
        self.input = self.given.transpose(3, 1, 2, 0)
        self.planes = np.zeros(self._planes_shape, dtype)
        phases = self.step**2
        self.seen = np.ones((len(self.kernel), phases, self.length), dtype)
        self.z = np.zeros((conv.filters, phases, self.length), dtype)
        if pooled:
            self.tops, self.bottoms = np.zeros((2, conv.filters, self.length), dtype)

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls for all windows at once, and for pooling them."""
        calls: list[Call] = [
            partial(np.copyto, p, x) for p, x in self._inner(self.planes, self.given)
        ]
        calls += [partial(np.copyto, seen, plane) for seen, plane in self._seen(self.planes)]
        for seen, z in self._blocks(blas):
            calls.append(partial(np.matmul, self.kernel.T, seen, z))
        if self.step == 1:
            return [*calls, partial(np.copyto, self.out, self._outer(self.z))]
        a, b, c, d = self.z.transpose(1, 0, 2)
        tops, bottoms = self._outer(self.tops), self._outer(self.bottoms)
        return [
            *calls,
            partial(np.maximum, a, b, out=self.tops),
            partial(np.maximum, c, d, out=self.bottoms),
            partial(np.maximum, tops, bottoms, out=self.out),
        ]

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls for the gradients; z and what the taps saw are overwritten."""
        calls = self._unpooled(dy) if self.step == 2 else self._placed(dy)
        target = sink.target.joined(self.layer)
        total, product = np.zeros_like(target), np.zeros_like(target)
        inner = self.taps**2 * len(self.given)
        calls.append(partial(total.fill, 0.0))
        for seen, z in self._blocks(blas):
            calls.append(partial(np.matmul, seen, z.T, product))
            calls.append(partial(np.add, total, product, total))
            if wanted:
                calls.append(partial(np.matmul, self.kernel[:inner], z, seen[:inner]))
        # At the end, because the target may be the kernel.
        calls += [*blas.scale(sink.beta, target), *blas.accumulate(sink.alpha, total, target)]
        if not wanted:
            return calls, None
        gradient = np.zeros_like(self.given)
        planes = np.zeros(self._planes_shape, dy.dtype)
        calls.append(partial(planes.fill, 0.0))
        calls += [partial(np.add, plane, seen, plane) for seen, plane in self._seen(planes)]
        calls += [partial(np.copyto, x, p) for p, x in self._inner(planes, gradient)]
        return calls, gradient.transpose(3, 1, 2, 0)

    def _placed(self, dy: Array) -> list[Call]:
        """Return the calls that put dy in place of z; windows over the edge get none."""
        return [partial(self.z.fill, 0.0), partial(np.copyto, self._outer(self.z), dy)]

    def _unpooled(self, dy: Array) -> list[Call]:
        """Return the calls that hand dy to the first maximum of each window, in place of z.

        Windows over the edge get none: their places in `passed` stay zero.
        """
        a, b, c, d = self.z.transpose(1, 0, 2)
        passed, top = np.zeros_like(self.tops), np.zeros_like(self.tops)
        mask = np.zeros(self.tops.shape, bool)
        calls: list[Call] = [
            partial(np.copyto, self._outer(passed), dy),
            partial(np.greater_equal, self.tops, self.bottoms, mask),
            partial(np.multiply, passed, mask, top),
            partial(np.subtract, passed, top, self.bottoms),
        ]
        for left, right, share in ((a, b, top), (c, d, self.bottoms)):
            calls += [
                partial(np.greater_equal, left, right, mask),
                partial(np.multiply, share, mask, left),
                partial(np.subtract, share, left, right),
            ]
        return calls

    def _outer(self, windows: Array) -> Array:
        """Return the windows `(filters, [1,] length)` that `out` has, in its layout."""
        image = windows.reshape(len(windows), self.rows, self.columns, -1)
        return image[:, : self.out.shape[1], : self.out.shape[2]].transpose(3, 1, 2, 0)

    def _inner(self, planes: Array, image: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each plane where the image's rows and columns are in it, and which they are."""
        n, s = image.shape[3], self.step
        for a in range(s):
            for b in range(s):
                plane = planes[a, b, :, : self.length].reshape(-1, self.rows, self.columns, n)
                # Padded row s r + a is row s r + a - top of the image.
                (r, y), (q, x) = (
                    (-(-(pad - phase) // s), (phase - pad) % s)
                    for pad, phase in ((self.pads[0][0], a), (self.pads[1][0], b))
                )
                part = image[:, y::s, x::s]
                yield plane[:, r : r + part.shape[1], q : q + part.shape[2]], part

    def _seen(self, planes: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each tap and phase its rows of `seen`, and the shifted plane that they see."""
        s, channels = self.step, planes.shape[2]
        n = self.given.shape[3]
        for tap in range(self.taps**2):
            i, j = divmod(tap, self.taps)
            for a in range(s):
                for b in range(s):
                    start = ((a + i) // s * self.columns + (b + j) // s) * n
                    plane = planes[(a + i) % s, (b + j) % s, :, start : start + self.length]
                    yield self.seen[tap * channels : (tap + 1) * channels, a * s + b], plane

    def _blocks(self, blas: Blas) -> Iterator[tuple[Array, Array]]:
        """Yield the columns of `seen` and of z, block by block."""
        seen, z = self.seen.reshape(len(self.seen), -1), self.z.reshape(len(self.z), -1)
        width = min(WINDOWS, blas.small // (len(seen) * len(z)) if blas.small else WINDOWS)
        for start in range(0, seen.shape[1], max(width, 64)):
            block = slice(start, start + max(width, 64))
            yield seen[:, block], z[:, block]
