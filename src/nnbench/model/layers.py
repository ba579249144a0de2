"""Layers, described: shapes, parameters, and the one formula that every backend follows.

Shapes leave out the batch axis. Images are `(height, width, channels)`. Canonical parameter
layout: Dense kernel `(fan_in, fan_out)`, Conv2d kernel `(height, width, c_in, c_out)`. A constant
that is None is the documented one in matched semantics (`nnbench.model.formulas`), the framework's
own in native semantics.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from nnbench.errors import ConfigError
from nnbench.model.augment import Augment as Augment  # noqa: PLC0414 - found here too
from nnbench.model.layer import BaseLayer, Shapes
from nnbench.model.layer import Shape as Shape  # noqa: PLC0414 - found here too
from nnbench.schema import above, at_least, within
from nnbench.schema.deferred import dataclass

Size = Annotated[int, at_least(1)]
ActivationName = Literal[
    "linear", "sigmoid", "tanh", "relu", "gelu", "gelu_tanh", "silu", "softmax"
]


@dataclass(frozen=True)
class Dense(BaseLayer):
    """`y = x @ kernel + bias`, x `(batch, fan_in)`, y `(batch, units)`."""

    units: Size
    bias: bool = True
    trainable: bool = True
    name: Literal["dense"] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(units,)`; the input must be flat."""
        if len(shape) != 1:
            raise ConfigError(f"needs flat input (put flatten before it), received {shape}")
        return (self.units,)

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shapes of `kernel` and, with bias, `bias`."""
        kernel: Shapes = {"kernel": (shape[0], self.units)}
        return kernel | {"bias": (self.units,)} if self.bias else kernel


@dataclass(frozen=True)
class Activation(BaseLayer):
    """Elementwise, but for softmax (over the last axis).

    sigmoid `1/(1+exp(-z))`; tanh; relu `max(z, 0)` with derivative 0 at 0; gelu
    `z/2 (1 + erf(z/sqrt 2))`, the exact form; gelu_tanh its approximation
    `z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3)))`; silu (swish) `z sigmoid(z)`; softmax
    `exp(z - max z) / sum exp(z - max z)`; linear `z`.
    """

    name: ActivationName


@dataclass(frozen=True)
class LeakyReLU(BaseLayer):
    """`z` where z > 0, `slope * z` elsewhere, derivative `slope` at 0.

    Source: torch.nn.LeakyReLU (slope 0.01); keras.layers.LeakyReLU has 0.3.
    """

    slope: Annotated[float, within(0.0, 1.0)] | None = None
    name: Literal["leaky_relu"] = "leaky_relu"


@dataclass(frozen=True)
class Flatten(BaseLayer):
    """All axes of a sample in one, last axis fastest: rows, columns, channels."""

    name: Literal["flatten"] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        """Return the product of the lengths."""
        return (flat_length(shape),)


@dataclass(frozen=True)
class Conv2d(BaseLayer):
    """Cross-correlation: `y[h, w] = sum over i, j of x[h s + i, w s + j] @ kernel[i, j] + bias`.

    `padding=same` gives `ceil(n / stride)` rows and columns; where the zeros to be added are odd
    in number, the extra one goes to the end (as in TensorFlow; PyTorch has it for stride 1 alone).
    A number p adds p zeros on every side (as in PyTorch; Keras has a layer of its own for it).
    """

    filters: Size
    kernel_size: Size = 3
    stride: Size = 1
    padding: Literal["valid", "same"] | Annotated[int, at_least(0)] = "valid"
    bias: bool = True
    trainable: bool = True
    name: Literal["conv2d"] = "conv2d"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, filters)`."""
        k, lengths = self.kernel_size, zip(_image(shape), self.pads(shape), strict=False)
        rows, columns = ((n + sum(pad) - k) // self.stride + 1 for n, pad in lengths)
        if rows < 1 or columns < 1:
            padded = f" with padding={self.padding}" if self.padding != "valid" else ""
            raise ConfigError(
                f"has kernel_size={k}, larger than its input {shape}{padded}; set padding=same, "
                "leave out layers before it, or take larger images"
            )
        return (rows, columns, self.filters)

    def pads(self, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the zeros (before, after) of rows and of columns."""
        if self.padding != "same":
            p = 0 if self.padding == "valid" else self.padding
            return (p, p), (p, p)
        k, s = self.kernel_size, self.stride
        rows, columns = (max((-(-n // s) - 1) * s + k - n, 0) for n in shape[:2])
        return (rows // 2, -(-rows // 2)), (columns // 2, -(-columns // 2))

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shapes of `kernel` and, with bias, `bias`."""
        k = self.kernel_size
        kernel: Shapes = {"kernel": (k, k, shape[2], self.filters)}
        return kernel | {"bias": (self.filters,)} if self.bias else kernel


@dataclass(frozen=True)
class _Pool2d(BaseLayer):
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
            raise ConfigError(
                f"has size={self.size}, larger than its input {shape}; leave it out, or layers "
                "before it, or take larger images"
            )
        rows, columns = ((n - self.size) // self.step + 1 for n in (height, width))
        return (rows, columns, channels)


@dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """The maximum of each window; the gradient goes to the first of equal maxima, row by row."""

    name: Literal["max_pool2d"] = "max_pool2d"


@dataclass(frozen=True)
class AvgPool2d(_Pool2d):
    """The mean of each window."""

    name: Literal["avg_pool2d"] = "avg_pool2d"


@dataclass(frozen=True)
class GlobalAvgPool2d(BaseLayer):
    """The mean of each channel over all rows and columns."""

    name: Literal["global_avg_pool2d"] = "global_avg_pool2d"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(channels,)`."""
        return _image(shape)[2:]


@dataclass(frozen=True)
class LayerNorm(BaseLayer):
    """`y = (x - mean) / sqrt(variance + epsilon) * scale + offset` over the last axis.

    The variance divides by n (Ba et al. 2016, arXiv 1607.06450).
    """

    epsilon: Annotated[float, above(0.0)] | None = None
    trainable: bool = True
    name: Literal["layer_norm"] = "layer_norm"

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shapes of `scale` (starts at 1) and `offset` (starts at 0)."""
        return {"scale": shape[-1:], "offset": shape[-1:]}


@dataclass(frozen=True)
class BatchNorm(BaseLayer):
    """`y = scale (x - m) / sqrt(v + epsilon) + offset`, per channel (the last axis).

    In training m and v are mean and (biased) variance over the batch and, for images, rows and
    columns. In evaluation they are `mean` and `variance`, which every training step moves:
    `mean = (1 - momentum) mean + momentum m`, `variance = (1 - momentum) variance + momentum v
    n/(n - 1)` for n values per channel, unbiased (for n = 1 plain v); `variance=biased` has v.
    Source: Ioffe & Szegedy 2015 with the constants of torch.nn.BatchNorm; Keras has epsilon 1e-3,
    weighs the old by 0.99 and keeps the biased variance.
    """

    momentum: Annotated[float, within(0.0, 1.0)] | None = None
    epsilon: Annotated[float, above(0.0)] | None = None
    variance: Literal["unbiased", "biased"] | None = None
    trainable: bool = True
    name: Literal["batch_norm"] = "batch_norm"

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shapes of `scale` (starts at 1) and `offset` (starts at 0)."""
        return {"scale": shape[-1:], "offset": shape[-1:]}

    def _gathered(self, shape: Shape) -> Shapes:
        """Return the shapes of `mean` (starts at 0) and `variance` (starts at 1)."""
        return {"mean": shape[-1:], "variance": shape[-1:]}


@dataclass(frozen=True)
class Dropout(BaseLayer):
    """In training `y = x / (1 - rate)` where a value is kept, 0 where not; else `y = x`.

    Each value is dropped with probability `rate`, by the counter-based generator
    (`nnbench.model.counter`): all backends drop the same ones. `in_evaluation`: evaluation drops,
    too, as `torch.nn.functional.dropout` does unless told otherwise; the same values of a split's
    n-th sample each time (`counter.evaluation_key`).
    """

    rate: Annotated[float, within(0.0, 1.0, high_open=True)] = 0.5
    in_evaluation: bool = False
    name: Literal["dropout"] = "dropout"


@dataclass(frozen=True)
class Embedding(BaseLayer):
    """`y = kernel[x]`: one row of `units` numbers for each token; the first layer.

    Inputs are integers from 0 to `vocabulary - 1`.
    """

    vocabulary: Size
    units: Size = 16
    trainable: bool = True
    name: Literal["embedding"] = "embedding"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(*shape, units)`; the input must be one sequence of tokens."""
        if len(shape) != 1:
            raise ConfigError(f"needs a sequence of tokens, received {shape}")
        return (*shape, self.units)

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shape of `kernel`."""
        return {"kernel": (self.vocabulary, self.units)}


Layer = (
    Dense
    | Activation
    | LeakyReLU
    | Flatten
    | GlobalAvgPool2d
    | Conv2d
    | MaxPool2d
    | AvgPool2d
    | BatchNorm
    | LayerNorm
    | Dropout
    | Embedding
)


def flat_length(shape: Shape) -> int:
    """Return the number of values in an array of `shape`."""
    return math.prod(shape)


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ConfigError(
            f"needs images (height, width, channels), received {shape}; arch.input_shape="
            "[28,28,1] gives flat pixels their shape"
        )
    return shape
