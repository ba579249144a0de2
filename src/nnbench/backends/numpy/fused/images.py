"""Convolution, with the max-pooling after it, as long contiguous copies and one matrix product.

Memory is `(channels, rows, columns, samples)`, so that the samples side by side make every inner
loop long. A convolution of stride 1 then needs no gathering: what tap (i, j) sees of all windows at
once is the padded image from row i and column j on, copied in runs of a row of windows each.

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
        rows, columns = (-(-length // self.step) for length in padded)
        self._planes_shape = (self.step, self.step, channels, rows, columns, n)
        self.given = np.zeros((channels, height, width, n), dtype)
        self.input = self.given.transpose(3, 1, 2, 0)
        self.planes = np.zeros(self._planes_shape, dtype)
        windows = (*out.shape[1:3], n)
        self.seen = np.ones((len(self.kernel), self.step**2, *windows), dtype)
        self.z = np.zeros((conv.filters, self.step**2, *windows), dtype)
        if pooled:
            self.tops, self.bottoms = np.zeros((2, conv.filters, *windows), dtype)

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls for all windows at once, and for pooling them."""
        calls: list[Call] = [
            partial(np.copyto, p, x) for p, x in self._inner(self.planes, self.given)
        ]
        calls += [partial(np.copyto, seen, plane) for seen, plane in self._seen(self.planes)]
        for seen, z in self._blocks(blas):
            calls.append(partial(np.matmul, self.kernel.T, seen, z))
        out = self.out.transpose(3, 1, 2, 0)
        if self.step == 1:
            return [*calls, partial(np.copyto, out, self.z[:, 0])]
        a, b, c, d = np.moveaxis(self.z, 1, 0)
        return [
            *calls,
            partial(np.maximum, a, b, out=self.tops),
            partial(np.maximum, c, d, out=self.bottoms),
            partial(np.maximum, self.tops, self.bottoms, out=out),
        ]

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls for the gradients; z and what the taps saw are overwritten."""
        errors = dy.transpose(3, 1, 2, 0)
        pooled = self.step == 2
        calls = self._unpooled(errors) if pooled else [partial(np.copyto, self.z[:, 0], errors)]
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

    def _unpooled(self, dy: Array) -> list[Call]:
        """Return the calls that hand dy to the first maximum of each window, in place of z."""
        a, b, c, d = np.moveaxis(self.z, 1, 0)
        top, mask = np.zeros_like(self.tops), np.zeros(self.tops.shape, bool)
        calls: list[Call] = [
            partial(np.greater_equal, self.tops, self.bottoms, mask),
            partial(np.multiply, dy, mask, top),
            partial(np.subtract, dy, top, self.bottoms),
        ]
        for left, right, share in ((a, b, top), (c, d, self.bottoms)):
            calls += [
                partial(np.greater_equal, left, right, mask),
                partial(np.multiply, share, mask, left),
                partial(np.subtract, share, left, right),
            ]
        return calls

    def _inner(self, planes: Array, image: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each plane where the image's rows and columns are in it, and which they are."""
        s = self.step
        for a in range(s):
            for b in range(s):
                # Padded row s r + a is row s r + a - top of the image.
                (r, y), (q, x) = (
                    (-(-(pad - phase) // s), (phase - pad) % s)
                    for pad, phase in ((self.pads[0][0], a), (self.pads[1][0], b))
                )
                part = image[:, y::s, x::s]
                yield planes[a, b, :, r : r + part.shape[1], q : q + part.shape[2]], part

    def _seen(self, planes: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each tap and phase its rows of `seen`, and the part of a plane they see."""
        s, channels = self.step, planes.shape[2]
        rows, columns = self.out.shape[1:3]
        for tap in range(self.taps**2):
            i, j = divmod(tap, self.taps)
            for a in range(s):
                for b in range(s):
                    (r, y), (q, x) = divmod(a + i, s), divmod(b + j, s)
                    plane = planes[y, x, :, r : r + rows, q : q + columns]
                    yield self.seen[tap * channels : (tap + 1) * channels, a * s + b], plane

    def _blocks(self, blas: Blas) -> Iterator[tuple[Array, Array]]:
        """Yield the columns of `seen` and of z, block by block."""
        seen, z = self.seen.reshape(len(self.seen), -1), self.z.reshape(len(self.z), -1)
        width = min(WINDOWS, blas.small // (len(seen) * len(z)) if blas.small else WINDOWS)
        for start in range(0, seen.shape[1], max(width, 64)):
            block = slice(start, start + max(width, 64))
            yield seen[:, block], z[:, block]
