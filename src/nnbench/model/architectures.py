"""Nets that can be chosen (`arch=`), each built for the data that it gets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from nnbench.errors import ConfigError
from nnbench.model.formulas import documented_net
from nnbench.model.layers import (
    Activation,
    Conv2d,
    Dense,
    Layer,
    LeakyReLU,
    Shape,
    flat_length,
)
from nnbench.model.losses import Loss, TaskKind, output_activation_for
from nnbench.model.network import Architecture
from nnbench.model.optimizers import Family
from nnbench.schema import at_least
from nnbench.schema.deferred import dataclass


@dataclass(frozen=True)
class MLP:
    """Fully connected net: `hidden` layers of the same activation, then one output layer."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, at_least(1)], ...] = (128,)
    activation: Literal[
        "sigmoid", "tanh", "relu", "gelu", "gelu_tanh", "silu", "leaky_relu", "linear"
    ] = "relu"
    output_activation: Literal["auto", "linear", "sigmoid", "tanh", "relu", "softmax"] = "auto"
    bias: bool = True

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the layers for inputs of `input_shape` (flattened) and `outputs` logits."""
        layers: list[Layer] = []
        for units in self.hidden:
            leaky = self.activation == "leaky_relu"
            function = LeakyReLU() if leaky else Activation(self.activation)  # type: ignore[arg-type]
            layers += [Dense(units, self.bias), function]
        layers.append(Dense(outputs, self.bias))
        return _architecture(input_shape, layers, self.output_activation)


@dataclass(frozen=True)
class SoftmaxRegression:
    """One dense layer from the inputs to the logits; with bce logistic regression."""

    name: Literal["softmax_regression"] = "softmax_regression"
    output_activation: Literal["auto", "linear", "sigmoid", "softmax"] = "auto"
    bias: bool = True

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the one layer for inputs of `input_shape` (flattened) and `outputs` logits."""
        return _architecture(input_shape, [Dense(outputs, self.bias)], self.output_activation)


@dataclass(frozen=True)
class LinearRegression:
    """One dense layer, and its outputs as they are."""

    name: Literal["linear_regression"] = "linear_regression"
    output_activation: Literal["linear"] = "linear"
    bias: bool = True

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the one layer for inputs of `input_shape` (flattened) and `outputs` numbers."""
        return _architecture(input_shape, [Dense(outputs, self.bias)], self.output_activation)


@dataclass(frozen=True)
class LayerList:
    """Layers of your own, from the input up to the output layer, which is added.

    `input_shape` None takes the data's, and gives images without channels one; else the data
    is put into that shape. `formulas`: the framework whose constants and forms are meant where a
    layer has none set. `whole`: the list has its output layer, and none is added.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[Annotated[int, at_least(1)], ...] | None = None
    output_activation: Literal["auto", "linear", "sigmoid", "tanh", "relu", "softmax"] = "auto"
    formulas: Family | None = None
    whole: bool = False
    name: Literal["layers"] = "layers"

    def build(self, input_shape: Shape, outputs: int) -> Architecture:
        """Return the layers for inputs of `input_shape`, a dense one of `outputs` last.

        Raises ConfigError where the list is whole and ends with another number of outputs.
        """
        shape = self.input_shape or input_shape
        if flat_length(shape) != flat_length(input_shape):
            raise ConfigError(
                f"Received arch.input_shape={list(shape)}; the data has {list(input_shape)}, "
                f"{flat_length(input_shape)} values."
            )
        shape = (*shape, 1) if len(shape) == 2 else shape
        layers = self.layers if self.whole else (*self.layers, Dense(outputs))
        net = Architecture(shape, layers, self.output_activation)  # type: ignore[arg-type]
        if self.whole and (not layers or net.output_shape() != (outputs,)):
            ends = list(net.output_shape()) if layers else "nothing"
            raise ConfigError(
                f"Received arch.whole=true with layers that end with {ends}; the data needs "
                f"[{outputs}]. Let them end with dense units={outputs}, or leave arch.whole out."
            )
        if not net.parameter_shapes():
            raise ConfigError(
                "Received arch.layers of which none learns; leave out trainable=false of one."
            )
        return documented_net(net, self.formulas) if self.formulas else net


ArchConfig = MLP | SoftmaxRegression | LinearRegression | LayerList


def is_convolutional(arch: ArchConfig) -> bool:
    """Tell whether the net has a convolution."""
    return isinstance(arch, LayerList) and any(isinstance(x, Conv2d) for x in arch.layers)


def resolve_output_activation(arch: ArchConfig, loss: Loss, kind: TaskKind) -> ArchConfig:
    """Return `arch` with `output_activation=auto` replaced by the loss's partner, checked."""
    if arch.output_activation == "auto" and not isinstance(arch, LinearRegression):
        found: Any = output_activation_for(loss, kind)
        arch = dataclasses.replace(arch, output_activation=found)
    loss.check(kind, arch.output_activation)  # type: ignore[arg-type]
    return arch


def _architecture(input_shape: Shape, layers: list[Layer], output_activation: str) -> Architecture:
    if output_activation == "auto":
        raise ConfigError("arch.output_activation=auto must be resolved with the loss first.")
    return Architecture((flat_length(input_shape),), tuple(layers), output_activation)  # type: ignore[arg-type]
