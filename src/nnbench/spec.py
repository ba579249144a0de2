"""What is trained, in framework-neutral terms: layers, architectures, losses, optimizers.

Every constant that frameworks disagree on is written here, with the formula that all backends
follow in matched semantics. Shapes leave out the batch axis: an input of `(784,)` is one image.
Canonical parameter layout: Dense kernel `(fan_in, fan_out)`, bias `(fan_out,)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from nnbench.errors import ConfigError
from nnbench.layers import (
    Activation,
    ActivationName,
    Augment,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    MaxPool2d,
    Shape,
    flat_length,
)
from nnbench.schema import at_least

WIDTHS = ("filters", "size", "units")  # what tells how wide a layer is
TaskKind = Literal["classification", "regression"]


class ParamKey(NamedTuple):
    """Address of one parameter: the position of its layer and its role there."""

    layer: int
    role: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.role}"

    @classmethod
    def parse(cls, text: str) -> ParamKey:
        """Read back what `str` wrote, as found in a weights file."""
        layer, _, role = text.partition(".")
        if not layer.isdecimal() or not role:
            raise ValueError(f"{text!r} is not LAYER.ROLE, as in 0.kernel")
        return cls(int(layer), role)


@dataclass(frozen=True)
class Architecture:
    """A stack of layers ending in logits, and the activation that turns these into outputs.

    `layers` yields the logits; `output_activation` is kept apart because some losses are computed
    from logits (see `Loss`), and because accuracy needs no activation at all. `augment` is done
    to the inputs in training.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    output_activation: ActivationName
    augment: Augment | None = None

    @property
    def takes_tokens(self) -> bool:
        """Tell whether inputs are integers for an embedding, not numbers."""
        return bool(self.layers) and isinstance(self.layers[0], Embedding)

    def shapes(self) -> Iterator[tuple[int, Layer, Shape, Shape]]:
        """Yield (position, layer, input shape, output shape) from input to logits."""
        shape = self.input_shape
        for position, layer in enumerate(self.layers):
            try:
                if isinstance(layer, Embedding) and position:
                    raise ConfigError("takes integer tokens, so that it must be the first layer")
                after = layer.output_shape(shape)
            except ConfigError as error:
                raise ConfigError(f"Layer {position + 1}, {layer.name}, {error}.") from None
            yield position, layer, shape, after
            shape = after

    def output_shape(self) -> Shape:
        """Return the shape of the logits of one sample."""
        return [after for *_, after in self.shapes()][-1]

    def parameter_shapes(self) -> dict[ParamKey, Shape]:
        """Return the canonical shape of everything that is learnt, in the order of the layers."""
        return {
            ParamKey(position, role): shape
            for position, layer, before, _ in self.shapes()
            for role, shape in layer.parameter_shapes(before).items()
        }

    def weight_shapes(self) -> dict[ParamKey, Shape]:
        """Return the shapes of parameters and buffers: everything that inference needs."""
        return {
            ParamKey(position, role): shape
            for position, layer, before, _ in self.shapes()
            for shapes in (layer.parameter_shapes(before), layer.buffer_shapes(before))
            for role, shape in shapes.items()
        }

    def without_effect(self) -> set[ParamKey]:
        """Return the parameters whose gradient is zero but for rounding.

        A bias that a BatchNorm takes away again: what moves a whole channel does not matter
        there, and pooling, dropout at rate 0 and flattening pass such a move on.
        """
        found = set()
        for position, layer in enumerate(self.layers):
            if isinstance(layer, Dense | Conv2d) and layer.bias:
                passed = (
                    after
                    for after in self.layers[position + 1 :]
                    if not isinstance(after, MaxPool2d | AvgPool2d | Flatten)
                    and after != Activation("linear")
                    and after != Dropout(0.0)
                )
                if isinstance(next(passed, None), BatchNorm):
                    found.add(ParamKey(position, "bias"))
        return found

    def parameter_count(self) -> int:
        """Return the number of trainable scalars."""
        return sum(flat_length(shape) for shape in self.parameter_shapes().values())

    def __str__(self) -> str:
        """Return a short description such as `784-128-10 sigmoid/sigmoid, no bias`."""
        sizes = ["x".join(str(n) for n in self.input_shape)]
        for layer in self.layers:
            if isinstance(layer, Dense):
                sizes.append(str(layer.units))
            elif isinstance(layer, Dropout):
                sizes.append(f"dropout{layer.rate:g}")
            elif not isinstance(layer, Activation | Flatten):
                width = next((getattr(layer, n) for n in WIDTHS if hasattr(layer, n)), "")
                sizes.append(f"{layer.name.removesuffix('2d')}{width}")
        hidden = dict.fromkeys(a.name for a in self.layers if isinstance(a, Activation))
        functions = "/".join((*hidden, self.output_activation))
        biased = any(getattr(layer, "bias", False) for layer in self.layers)
        return f"{'-'.join(sizes)} {functions}" + ("" if biased else ", no bias")


@dataclass(frozen=True)
class Loss:
    """A loss, reduced over the outputs of a sample and then over the batch.

    With outputs p `(batch, k)`, logits z and targets t (one-hot in classification), per output:

    - mse: `(p - t)**2`
    - l1: `|p - t|`, with derivative 0 at p = t
    - bce: `softplus(z) - t z`, the binary cross-entropy of `p = sigmoid(z)`; summed over outputs
      its gradient is `p - t`, the delta rule of hand-written NumPy code
    - cross_entropy: `logsumexp(z) - z[label]` with `p = softmax(z)`, one term per sample, so that
      `over_outputs` does not apply

    `over_outputs` and `over_batch` scale loss and gradient. Reported losses are always means over
    samples, so `over_batch=sum` changes the gradient, not the figure.
    """

    name: Literal["mse", "l1", "bce", "cross_entropy"]
    over_outputs: Literal["sum", "mean"] = "mean"
    over_batch: Literal["sum", "mean"] = "mean"

    def output_scale(self, outputs: int) -> float:
        """Return the factor on the sum over a sample's `outputs`."""
        if self.name == "cross_entropy" or self.over_outputs == "sum":
            return 1.0
        return 1.0 / outputs

    def batch_scale(self, batch: int) -> float:
        """Return the factor on the sum over the samples of a batch of `batch`."""
        return 1.0 if self.over_batch == "sum" else 1.0 / batch

    def check(self, kind: TaskKind, output_activation: ActivationName) -> None:
        """Raise ConfigError where loss, task and output activation do not belong together."""
        if kind == "regression" and self.name not in ("mse", "l1"):
            raise ConfigError(f"Received loss={self.name}; task=regression needs loss=mse or l1.")
        needed = {"bce": ("sigmoid",), "cross_entropy": ("softmax", "linear")}.get(self.name)
        if needed and output_activation not in needed:
            raise ConfigError(
                f"Received arch.output_activation={output_activation}; loss={self.name} needs "
                f"{' or '.join(needed)} (arch.output_activation=auto picks it)."
            )


def output_activation_for(loss: Loss, kind: TaskKind) -> ActivationName:
    """Return what `output_activation=auto` means: the partner of the loss.

    sigmoid for bce, softmax for cross_entropy; for mse and l1 sigmoid on one-hot targets, linear in
    regression.
    """
    if loss.name == "cross_entropy":
        return "softmax"
    return "linear" if kind == "regression" else "sigmoid"


@dataclass(frozen=True)
class MLP:
    """Fully connected net: `hidden` layers of the same activation, then one output layer."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, at_least(1)], ...] = (128,)
    activation: Literal["sigmoid", "tanh", "relu", "gelu", "linear"] = "relu"
    output_activation: Literal["auto", "linear", "sigmoid", "tanh", "relu", "softmax"] = "auto"
    bias: bool = True

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the layers for inputs of `input_shape` (flattened) and `outputs` logits."""
        layers: list[Layer] = []
        for units in self.hidden:
            layers += [Dense(units, self.bias), Activation(self.activation)]
        layers.append(Dense(outputs, self.bias))
        return _architecture(input_shape, layers, self.output_activation)


@dataclass(frozen=True)
class SoftmaxRegression:
    """One dense layer from the inputs to the logits; logistic or linear regression by its loss."""

    name: Literal["softmax_regression"] = "softmax_regression"
    output_activation: Literal["auto", "linear", "sigmoid", "softmax"] = "auto"
    bias: bool = True

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the one layer for inputs of `input_shape` (flattened) and `outputs` logits."""
        return _architecture(input_shape, [Dense(outputs, self.bias)], self.output_activation)


@dataclass(frozen=True)
class LayerList:
    """Layers of your own, from the input up to the output layer, which is added.

    `input_shape` None takes the data's, and gives images without channels one; else the data
    is put into that shape.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[Annotated[int, at_least(1)], ...] | None = None
    output_activation: Literal["auto", "linear", "sigmoid", "tanh", "relu", "softmax"] = "auto"
    name: Literal["layers"] = "layers"

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the layers for inputs of `input_shape`, a dense one of `outputs` last."""
        shape = self.input_shape or input_shape
        if flat_length(shape) != flat_length(input_shape):
            raise ConfigError(
                f"Received arch.input_shape={list(shape)}; the data has {list(input_shape)}, "
                f"{flat_length(input_shape)} values."
            )
        shape = (*shape, 1) if len(shape) == 2 else shape
        return Architecture(
            shape,
            (*self.layers, Dense(outputs)),
            self.output_activation,  # type: ignore[arg-type]
        )


ArchConfig = MLP | SoftmaxRegression | LayerList


def resolve_output_activation(arch: ArchConfig, loss: Loss, kind: TaskKind) -> ArchConfig:
    """Return `arch` with `output_activation=auto` replaced by the loss's partner, checked."""
    if arch.output_activation == "auto":
        found: Any = output_activation_for(loss, kind)
        arch = dataclasses.replace(arch, output_activation=found)
    loss.check(kind, arch.output_activation)  # type: ignore[arg-type]
    return arch


def _architecture(input_shape: Shape, layers: list[Layer], output_activation: str) -> Architecture:
    if output_activation == "auto":
        raise ConfigError("arch.output_activation=auto must be resolved with the loss first.")
    return Architecture((flat_length(input_shape),), tuple(layers), output_activation)  # type: ignore[arg-type]
