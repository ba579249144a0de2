"""Convolution, with the max-pooling after it, as long contiguous copies and one matrix product.

Memory is `(channels, rows, columns, samples)`, so that the samples side by side make every inner
loop long. A convolution of stride 1 then needs no gathering: what tap (i, j) sees of all windows at
once is the padded image from row i and column j on, copied in runs of a row of windows each.

Where max-pooling 2 x 2 follows, the windows are kept in four planes, by row and column modulo 2:
the four values of a pooling window then lie in four planes at the same place, and pooling and its
gradient are operations on whole planes. The padded image is kept in two, by its column modulo 2, so
that a row of windows lies in one run there as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
        self._planes_shape = (self.step, channels, padded[0], -(-padded[1] // self.step), n)
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
        pairs = *self._inner(self.planes, self.given), *self._seen(self.planes)
        calls: list[Call] = [partial(np.copyto, to, given) for to, given in pairs]
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
        for seen, windows in self._seen(planes):  # row by row of taps, whose windows do not overlap
            calls += [partial(np.add, w, s, w) for s, w in zip(seen, windows, strict=True)]
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
        """Yield for each plane where the image's columns are in it, and which they are."""
        (top, _), (left, _) = self.pads
        for b in range(self.step):
            # Padded column s q + b is column s q + b - left of the image.
            q, x = -(-(left - b) // self.step), (b - left) % self.step
            part = image[:, :, x :: self.step]
            yield planes[b, :, top : top + part.shape[1], q : q + part.shape[2]], part

    def _seen(self, planes: Array) -> Iterator[tuple[Array, Array]]:
        """Yield for each column of taps and of phases its part of `seen`, and what it sees.

        Both `(taps, channels, step, rows, columns, n)`: rows of taps first, of phases third.
        """
        channels, n = planes.shape[1], planes.shape[4]
        taps, s, (rows, columns) = self.taps, self.step, self.out.shape[1:3]
        seen = self.seen[: taps * taps * channels].reshape(
            taps, taps, channels, s, s, rows, columns, n
        )
        for j in range(taps):
            for b in range(s):
                q, x = divmod(b + j, s)
                plane = planes[x, :, :, q : q + columns]
                windows = sliding_window_view(plane, taps, 1, writeable=True)[:, : s * rows]
                windows = windows.reshape(channels, rows, s, columns, n, taps)
                yield seen[:, j, :, :, b], windows.transpose(5, 0, 2, 1, 3, 4)

    def _blocks(self, blas: Blas) -> Iterator[tuple[Array, Array]]:
        """Yield the columns of `seen` and of z, block by block."""
        seen, z = self.seen.reshape(len(self.seen), -1), self.z.reshape(len(self.z), -1)
        width = min(WINDOWS, blas.small // (len(seen) * len(z)) if blas.small else WINDOWS)
        for start in range(0, seen.shape[1], max(width, 64)):
            block = slice(start, start + max(width, 64))
            yield seen[:, block], z[:, block]
