"""Layers on images `(batch, height, width, channels)`: convolution, pooling, flattening.

Convolution and pooling look at one tap of the window at a time: the values that tap (i, j) sees
in every window are one strided view of the padded input, so that each formula is a sum over taps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from nnbench.backends.numpy.layers import Array, Arrays, Layer

Tap = tuple[int, int, Array]


def taps(x: Array, size: int, step: int, rows: int, columns: int) -> Iterator[Tap]:
    """Yield (i, j, view `(batch, rows, columns, channels)` of what tap (i, j) sees)."""
    for i in range(size):
        for j in range(size):
            yield i, j, x[:, i : i + step * rows : step, j : j + step * columns : step]


class Conv2d(Layer):
    """`y = sum over taps of x_tap @ kernel[i, j] + bias`."""

    def forward(self, x: Array) -> Array:
        """Return y `(batch, rows, columns, filters)`."""
        kernel = self.parameters["kernel"]
        rows, columns, filters = self.spec.output_shape(x.shape[1:])
        y = np.zeros_like(x, shape=(len(x) * rows * columns, filters))
        for i, j, seen in self._taps(self._padded(x), rows, columns):
            y += seen.reshape(len(y), -1) @ kernel[i, j]
        y = y.reshape(len(x), rows, columns, filters)
        return y + self.parameters["bias"] if "bias" in self.parameters else y

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return for each tap `x_tap^T dy`, summed over batch, rows and columns."""
        kernel = np.zeros_like(self.parameters["kernel"])
        flat = dy.reshape(-1, dy.shape[-1])
        for i, j, seen in self._taps(self._padded(x), *dy.shape[1:3]):
            kernel[i, j] = seen.reshape(len(flat), -1).T @ flat
        grads = {"kernel": kernel}
        return grads | {"bias": flat.sum(axis=0)} if "bias" in self.parameters else grads

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Add `dy @ kernel[i, j]^T` to what tap (i, j) saw; leave the padding out."""
        padded = np.zeros_like(self._padded(x))
        for i, j, seen in self._taps(padded, *dy.shape[1:3]):
            seen[...] += dy @ self.parameters["kernel"][i, j].T
        (top, _), (left, _) = self.spec.pads(x.shape[1:])
        return padded[:, top : top + x.shape[1], left : left + x.shape[2]]

    def _padded(self, x: Array) -> Array:
        rows, columns = self.spec.pads(x.shape[1:])
        return np.pad(x, ((0, 0), rows, columns, (0, 0))) if sum(rows + columns) else x

    def _taps(self, x: Array, rows: int, columns: int) -> Iterator[Tap]:
        return taps(x, self.spec.kernel_size, self.spec.stride, rows, columns)


class _Pool2d(Layer):
    def _windows(self, x: Array) -> list[Array]:
        """Return for each tap what it sees of x, `(batch, rows, columns, channels)`."""
        rows, columns, _ = self.spec.output_shape(x.shape[1:])
        return [seen for *_, seen in taps(x, self.spec.size, self.spec.step, rows, columns)]


class MaxPool2d(_Pool2d):
    """`y = max over taps of x_tap`; the gradient goes to the first tap that has the maximum."""

    def forward(self, x: Array) -> Array:
        """Return y `(batch, rows, columns, channels)`."""
        return functools.reduce(np.maximum, self._windows(x))

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Hand dy to the first maximum of each window, taps in order row by row."""
        dx = np.zeros_like(x)
        open_windows = np.ones_like(y, dtype=bool)
        for seen, grad in zip(self._windows(x), self._windows(dx), strict=True):
            chosen = open_windows & (seen == y)
            grad[...] += dy * chosen
            open_windows &= ~chosen
        return dx


class AvgPool2d(_Pool2d):
    """`y = mean over taps of x_tap`."""

    def forward(self, x: Array) -> Array:
        """Return y `(batch, rows, columns, channels)`."""
        windows = self._windows(x)
        y = np.zeros_like(windows[0], order="C")
        for seen in windows:
            y += seen
        return y / self.spec.size**2

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Spread dy evenly over the taps of each window."""
        dx = np.zeros_like(x)
        even = dy / self.spec.size**2
        for seen in self._windows(dx):
            seen[...] += even
        return dx


class GlobalAvgPool2d(Layer):
    """`y = mean over rows and columns`."""

    def forward(self, x: Array) -> Array:
        """Return y `(batch, channels)`."""
        return x.mean(axis=(1, 2))

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Spread dy evenly over rows and columns."""
        dx = np.zeros_like(x)
        dx += (dy / (x.shape[1] * x.shape[2]))[:, None, None, :]
        return dx


class Flatten(Layer):
    """All axes of a sample in one, last axis fastest."""

    def forward(self, x: Array) -> Array:
        """Return x as `(batch, values)`."""
        return x.reshape(len(x), -1)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return dy in the shape of x."""
        return dy.reshape(x.shape)
