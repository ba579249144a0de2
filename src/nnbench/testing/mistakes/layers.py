"""Mistakes within a layer: its derivative, its windows, its moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import AvgPool2d, Flatten, MaxPool2d
from nnbench.backends.numpy.layers import ACTIVATIONS, Activation, Array, Embedding, Layer
from nnbench.backends.numpy.normalisation import BatchNorm, LayerNorm
from nnbench.backends.protocol import Task
from nnbench.testing.mistakes.kernels import KERNELS
from nnbench.testing.mistakes.masks import MASKS
from nnbench.testing.mistakes.mistake import Mistake, OtherLayers, OtherTask, in_layers

Derivative = Callable[[str, Array, Array, Array], Array]  # (name, x, y, dy) -> dx
CURVED = ("sigmoid", "tanh", "relu", "gelu", "gelu_tanh", "silu", "softmax")


def _derivatives(wrong: Derivative, names: tuple[str, ...]) -> tuple[type[NumpyTrainer], ...]:
    """Return trainers that have a wrong derivative in all of these activations, or in one."""

    class Wrong(Activation):
        def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
            return wrong(self.spec.name, x, y, dy)

    def of(concerned: tuple[str, ...]) -> type[NumpyTrainer]:
        class InSome(OtherLayers):
            others = {Activation: Wrong}  # noqa: RUF012

            def concerns(self, layer: Layer) -> bool:
                return layer.spec.name in concerned

        return InSome

    return (of(names), *(of((name,)) for name in names))


def _at_the_output(name: str, x: Array, y: Array, dy: Array) -> Array:
    function, gradient = ACTIVATIONS[name]
    return gradient(y, function(y), dy)


def _input_for_output(name: str, x: Array, y: Array, dy: Array) -> Array:
    return ACTIVATIONS[name][1](x, x, dy)


def _forgotten(name: str, x: Array, y: Array, dy: Array) -> Array:
    return dy


def _diagonal(name: str, x: Array, y: Array, dy: Array) -> Array:
    return dy * y * (1.0 - y)


class _AllMaxima(MaxPool2d):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        dx = np.zeros_like(x)
        for seen, grad in zip(self._windows(x), self._windows(dx), strict=True):
            grad[...] += dy * (seen == y)
        return dx


class _WholeToEach(AvgPool2d):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return super().input_grad(x, y, dy * self.spec.size**2)


def _without_the_moments(self: Any, x: Array, y: Array, dy: Array) -> Array:
    return dy * self.parameters["scale"] / self._normal(x)[1]


def _constant_moments(kind: type[Layer]) -> type[Layer]:
    return type("ConstantMoments", (kind,), {"input_grad": _without_the_moments})


class _ByTheBatch(BatchNorm):
    def forward(self, x: Array) -> Array:
        return LayerNorm.forward(self, x)


def _norm(changes: Callable[[Any], dict[str, Any]]) -> type[NumpyTrainer]:
    """Return a trainer whose batch norms have other constants."""

    class OtherNorm(OtherTask):
        def other_task(self, task: Task) -> Task:
            task = super().other_task(task)
            net = task.architecture
            layers = tuple(
                replace(each, **changes(each)) if each.name == "batch_norm" else each
                for each in net.layers
            )
            return replace(task, architecture=replace(net, layers=layers))

    return OtherNorm


def _other_variance(spec: Any) -> dict[str, Any]:
    return {"variance": "biased" if spec.variance == "unbiased" else "unbiased"}


class _LastTokenWins(Embedding):
    def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
        kernel = np.zeros_like(self.parameters["kernel"])
        kernel[x] = dy
        return {"kernel": kernel}


class _ChannelsFirst(Flatten):
    def forward(self, x: Array) -> Array:
        return np.moveaxis(x, -1, 1).reshape(len(x), -1) if x.ndim == 4 else super().forward(x)

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        if x.ndim != 4:
            return super().input_grad(x, y, dy)
        n, rows, columns, channels = x.shape
        return np.moveaxis(dy.reshape(n, channels, rows, columns), 1, -1)


LAYERS = (
    Mistake(
        "the derivative of the activation is taken at its output",
        "dx = dy * f'(x), x being what went in. At y = f(x) it is the slope of another place.",
        _derivatives(_at_the_output, ("sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "softmax")),
    ),
    Mistake(
        "a derivative written with the output is given the input",
        "y (1 - y) and 1 - y^2 are the slopes of sigmoid and tanh with y what came out; x (1 - x) "
        "and 1 - x^2 are nobody's.",
        _derivatives(_input_for_output, ("sigmoid", "tanh")),
    ),
    Mistake(
        "the derivative of the activation is forgotten",
        "The gradient goes through the activation as through every layer: dx = dy * f'(x).",
        _derivatives(_forgotten, CURVED),
    ),
    Mistake(
        "softmax has the derivative of a sigmoid",
        "Every output of a softmax depends on every input: dx = y (dy - sum of dy y). y (1 - y) "
        "is its diagonal alone.",
        _derivatives(_diagonal, ("softmax",)),
    ),
    Mistake(
        "max pooling gives the gradient to every maximum of a window",
        "Where several values are the largest, the first one takes the gradient: handed to all, "
        "it counts several times.",
        (in_layers({MaxPool2d: _AllMaxima}),),
    ),
    Mistake(
        "average pooling gives the whole gradient to each value",
        "y is the sum over size * size values, divided by their number; so is what each gets back.",
        (in_layers({AvgPool2d: _WholeToEach}),),
    ),
    Mistake(
        "normalisation takes mean and variance for constants",
        "Every value of the batch moves the mean and the variance that the others are normalised "
        "by: two more terms of the gradient.",
        (
            in_layers({k: _constant_moments(k) for k in (BatchNorm, LayerNorm)}),
            in_layers({BatchNorm: _constant_moments(BatchNorm)}),
            in_layers({LayerNorm: _constant_moments(LayerNorm)}),
        ),
    ),
    Mistake(
        "batch normalisation evaluates with the moments of the batch",
        "In evaluation it uses what it has gathered in training: a sample's result must not "
        "depend on the samples beside it.",
        (in_layers({BatchNorm: _ByTheBatch}),),
    ),
    Mistake(
        "the momentum of batch normalisation counts the other way",
        "PyTorch's momentum is the share of the new moments, Keras' the share of the old: 0.1 "
        "there is 0.9 here.",
        (_norm(lambda spec: {"momentum": 1.0 - spec.momentum}),),
    ),
    Mistake(
        "batch normalisation gathers the other variance",
        "The variance that is gathered is divided by n - 1 in PyTorch, by n in Keras; arch's "
        "variance says which is meant.",
        (_norm(_other_variance),),
    ),
    Mistake(
        "of a token that occurs several times one gradient counts",
        "kernel[x] += dy writes each row once. np.add.at(kernel, x, dy) adds as often as the token "
        "occurs.",
        (in_layers({Embedding: _LastTokenWins}),),
    ),
    Mistake(
        "images are flattened channels first",
        "Weights are laid out for (rows, columns, channels), the channel fastest.",
        (in_layers({Flatten: _ChannelsFirst}),),
    ),
    *KERNELS,
    *MASKS,
)
