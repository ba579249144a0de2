"""Layers, described: shapes, parameters, and the one formula that every backend follows.

Shapes leave out the batch axis. Images are `(height, width, channels)`. Canonical parameter
layout: Dense kernel `(fan_in, fan_out)`, Conv2d kernel `(height, width, c_in, c_out)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nnbench.errors import ConfigError
from nnbench.schema import above, at_least

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Size = Annotated[int, at_least(1)]
ActivationName = Literal["linear", "sigmoid", "tanh", "relu", "gelu", "softmax"]


@dataclass(frozen=True)
class Dense:
    """`y = x @ kernel + bias`, x `(batch, fan_in)`, y `(batch, units)`."""

    units: Size
    bias: bool = True
    name: Literal["dense"] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(units,)`; the input must be flat."""
        if len(shape) != 1:
            raise ConfigError(f"needs flat input (put flatten before it), received {shape}")
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return the shapes of `kernel` and, with bias, `bias`."""
        kernel: Shapes = {"kernel": (shape[0], self.units)}
        return kernel | {"bias": (self.units,)} if self.bias else kernel


@dataclass(frozen=True)
class Activation:
    """Elementwise, but for softmax (over the last axis).

    sigmoid `1/(1+exp(-z))`; tanh; relu `max(z, 0)` with derivative 0 at 0; gelu
    `z/2 (1 + erf(z/sqrt 2))`, the exact form; softmax `exp(z - max z) / sum exp(z - max z)`;
    linear `z`.
    """

    name: ActivationName

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return nothing: an activation has no parameters."""
        return {}


@dataclass(frozen=True)
class Flatten:
    """All axes of a sample in one, last axis fastest: rows, columns, channels."""

    name: Literal["flatten"] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        """Return the product of the lengths."""
        return (flat_length(shape),)

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return nothing: there is nothing to learn."""
        return {}


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation: `y[h, w] = sum over i, j of x[h s + i, w s + j] @ kernel[i, j] + bias`.

    `padding=same` gives `ceil(n / stride)` rows and columns; where the zeros to be added are odd
    in number, the extra one goes to the end (as in TensorFlow; PyTorch cannot say it).
    """

    filters: Size
    kernel_size: Size = 3
    stride: Size = 1
    padding: Literal["valid", "same"] = "valid"
    bias: bool = True
    name: Literal["conv2d"] = "conv2d"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, filters)`."""
        height, width, _ = _image(shape)
        k, s = self.kernel_size, self.stride
        pads = self.pads(shape)
        rows = (height + sum(pads[0]) - k) // s + 1
        columns = (width + sum(pads[1]) - k) // s + 1
        if rows < 1 or columns < 1:
            raise ConfigError(f"has kernel_size={k}, larger than its input {shape}")
        return (rows, columns, self.filters)

    def pads(self, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the zeros (before, after) of rows and of columns."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        totals = (self._same(shape[0]), self._same(shape[1]))
        return (totals[0] // 2, -(-totals[0] // 2)), (totals[1] // 2, -(-totals[1] // 2))

    def _same(self, length: int) -> int:
        return max((-(-length // self.stride) - 1) * self.stride + self.kernel_size - length, 0)

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return the shapes of `kernel` and, with bias, `bias`."""
        k = self.kernel_size
        kernel: Shapes = {"kernel": (k, k, shape[2], self.filters)}
        return kernel | {"bias": (self.filters,)} if self.bias else kernel


@dataclass(frozen=True)
class _Pool2d:
    """Windows of `size` x `size`, `stride` apart (None: `size`); what does not fit is left out."""

    size: Size = 2
    stride: Size | None = None

    @property
    def step(self) -> int:
        """Return the distance between windows."""
        return self.stride or self.size

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, channels)`."""
        height, width, channels = _image(shape)
        if min(height, width) < self.size:
            raise ConfigError(f"has size={self.size}, larger than its input {shape}")
        rows, columns = ((n - self.size) // self.step + 1 for n in (height, width))
        return (rows, columns, channels)

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return nothing: there is nothing to learn."""
        return {}


@dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """The maximum of each window; the gradient goes to the first of equal maxima, row by row."""

    name: Literal["max_pool2d"] = "max_pool2d"


@dataclass(frozen=True)
class AvgPool2d(_Pool2d):
    """The mean of each window."""

    name: Literal["avg_pool2d"] = "avg_pool2d"


@dataclass(frozen=True)
class LayerNorm:
    """`y = (x - mean) / sqrt(variance + epsilon) * scale + offset` over the last axis.

    The variance divides by n (Ba et al. 2016, arXiv 1607.06450).
    """

    epsilon: Annotated[float, above(0.0)] = 1e-5
    name: Literal["layer_norm"] = "layer_norm"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return the shapes of `scale` (starts at 1) and `offset` (starts at 0)."""
        return {"scale": shape[-1:], "offset": shape[-1:]}


Layer = Dense | Activation | Flatten | Conv2d | MaxPool2d | AvgPool2d | LayerNorm


def flat_length(shape: Shape) -> int:
    """Return the number of values in an array of `shape`."""
    length = 1
    for n in shape:
        length *= n
    return length


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ConfigError(
            f"needs images (height, width, channels), received {shape}; arch.input_shape="
            "[28,28,1] gives flat pixels their shape"
        )
    return shape
