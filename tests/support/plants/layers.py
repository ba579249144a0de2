"""Faults of single layers and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import AvgPool2d, Conv2d, Flatten, MaxPool2d
from nnbench.backends.numpy.layers import Activation, Embedding
from nnbench.backends.numpy.normalisation import BatchNorm, LayerNorm
from nnbench.backends.numpy.randomness import Dropout
from nnbench.backends.protocol import Params, Task, TrainStats, Walk


class WithMutants(NumpyTrainer):
    """Some of its layers are others."""

    mutants: ClassVar[Mapping[type, type]] = {}

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self.layers = [
            self.mutants[type(layer)](layer.parameters, layer.spec)
            if type(layer) in self.mutants
            else layer
            for layer in self.layers
        ]


class LastMaximum(WithMutants):
    class Pool(MaxPool2d):
        def _windows(self, x: Any) -> Any:
            return super()._windows(x)[::-1]

    mutants: ClassVar = {MaxPool2d: Pool}


class MaximumLosesNan(WithMutants):
    class Pool(MaxPool2d):
        def forward(self, x: Any) -> Any:
            return super().forward(np.where(np.isnan(x), -1e9, x))

    mutants: ClassVar = {MaxPool2d: Pool}


class PoolDividesByThePadded(WithMutants):
    class Pool(AvgPool2d):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (1 - 1e-9)

    mutants: ClassVar = {AvgPool2d: Pool}


class BiasedVariance(WithMutants):
    """The variance that evaluation uses gathers v, not v n / (n - 1)."""

    class Norm(BatchNorm):
        def forward_training(self, x: Any, key: Any) -> Any:
            count, before = x.size / x.shape[-1], self.parameters["variance"].copy()
            y = super().forward_training(x, key)
            kept = (1.0 - self.spec.momentum) * before
            moved = self.parameters["variance"]
            moved[...] = kept + (moved - kept) * (count - 1) / count
            return y

    mutants: ClassVar = {BatchNorm: Norm}


class MomentumTheOtherWay(WithMutants):
    """Keras' meaning of a batch norm's momentum."""

    class Norm(BatchNorm):
        def forward_training(self, x: Any, key: Any) -> Any:
            p, m = self.parameters, self.spec.momentum
            before = p["mean"].copy(), p["variance"].copy()
            y = super().forward_training(x, key)
            for name, old in zip(("mean", "variance"), before, strict=True):
                new = (p[name] - (1 - m) * old) / m
                p[name][...] = m * old + (1 - m) * new
            return y

    mutants: ClassVar = {BatchNorm: Norm}


class GathersNothing(WithMutants):
    class Norm(BatchNorm):
        def forward_training(self, x: Any, key: Any) -> Any:
            return LayerNorm.forward(self, x)

    mutants: ClassVar = {BatchNorm: Norm}


class NormForgetsTheMean(WithMutants):
    """The gradient of a normalisation without the way through mean and variance."""

    class Norm(BatchNorm):
        def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
            return dy * self.parameters["scale"] / self._normal(x)[1]

    mutants: ClassVar = {BatchNorm: Norm}


class UnbiasedLayerNorm(WithMutants):
    class Norm(LayerNorm):
        def _moments(self, x: Any) -> Any:
            mean, variance = super()._moments(x)
            return mean, variance * x.shape[-1] / (x.shape[-1] - 1)

    mutants: ClassVar = {LayerNorm: Norm}


class DropoutUnscaled(WithMutants):
    class Drop(Dropout):
        def forward_training(self, x: Any, key: Any) -> Any:
            super().forward_training(x, key)
            self.factor = self.factor > 0
            return x * self.factor

    mutants: ClassVar = {Dropout: Drop}


class TransposedKernel(WithMutants):
    class Conv(Conv2d):
        def forward(self, x: Any) -> Any:
            return self._turned().forward(x)

        def param_grads(self, x: Any, dy: Any) -> Any:
            grads = self._turned().param_grads(x, dy)
            return {**grads, "kernel": grads["kernel"].swapaxes(0, 1)}

        def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
            return self._turned().input_grad(x, y, dy)

        def _turned(self) -> Conv2d:
            kernel = self.parameters["kernel"].swapaxes(0, 1)
            return Conv2d({**self.parameters, "kernel": kernel}, self.spec)

    mutants: ClassVar = {Conv2d: Conv}


class PadsAtTheStart(WithMutants):
    """`same` with the extra zero at the start, as symmetric padding rounds it."""

    class Conv(Conv2d):
        def _padded(self, x: Any) -> Any:
            (top, bottom), (left, right) = self.spec.pads(x.shape[1:])
            return np.pad(x, ((0, 0), (bottom, top), (right, left), (0, 0)))

    mutants: ClassVar = {Conv2d: Conv}


class ChannelsFirst(WithMutants):
    class Flat(Flatten):
        def forward(self, x: Any) -> Any:
            return np.moveaxis(x, -1, 1).reshape(len(x), -1) if x.ndim == 4 else super().forward(x)

        def input_grad(self, x: Any, y: Any, dy: Any) -> Any:
            if x.ndim != 4:
                return super().input_grad(x, y, dy)
            n, rows, columns, channels = x.shape
            return np.moveaxis(dy.reshape(n, channels, rows, columns), 1, -1)

    mutants: ClassVar = {Flatten: Flat}


class LastTokenWins(WithMutants):
    class Table(Embedding):
        def param_grads(self, x: Any, dy: Any) -> Any:
            kernel = np.zeros_like(self.parameters["kernel"])
            kernel[x] = dy
            return {"kernel": kernel}

    mutants: ClassVar = {Embedding: Table}


class _Function(WithMutants):
    """Another activation function, or another derivative."""

    name = ""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        for layer in self.layers:
            if isinstance(layer, Activation) and layer.spec.name == self.name:
                layer.function, layer.gradient = self.replaced(layer.function, layer.gradient)

    def replaced(self, function: Any, gradient: Any) -> Any:
        raise NotImplementedError


class GeluByTanh(_Function):
    name = "gelu"

    def replaced(self, function: Any, gradient: Any) -> Any:
        inner = (2 / np.pi) ** 0.5
        return lambda x: x / 2 * (1 + np.tanh(inner * (x + 0.044715 * x**3))), gradient


class ReluLosesNan(_Function):
    name = "relu"

    def replaced(self, function: Any, gradient: Any) -> Any:
        return lambda x: np.fmax(x, 0.0), gradient


class ReluSlopesAtZero(_Function):
    """Derivative 1 at 0: felt where biases are 0 and inputs are blank, and nowhere else."""

    name = "relu"

    def replaced(self, function: Any, gradient: Any) -> Any:
        return function, lambda x, y, dy: dy * (x >= 0.0)


class LeakyRelu(_Function):
    name = "relu"

    def replaced(self, function: Any, gradient: Any) -> Any:
        return lambda x: np.where(x > 0, x, 1e-12 * x), gradient


class SoftmaxOnTheDiagonal(_Function):
    name = "softmax"

    def replaced(self, function: Any, gradient: Any) -> Any:
        return function, lambda x, y, dy: dy * y * (1 - y)


class SigmoidInTanhForm(_Function):
    """Right but for a slope of 0 beyond 1: saturates early."""

    name = "sigmoid"

    def replaced(self, function: Any, gradient: Any) -> Any:
        return function, lambda x, y, dy: gradient(x, y, dy) * (abs(x) < 1)


class _Loss(NumpyTrainer):
    name = ""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        right = self._logit_gradient
        if task.loss.name == self.name:
            self._logit_gradient = lambda z, t: self.replaced(right(z, t), z, t)

    def replaced(self, dz: Any, z: Any, t: Any) -> Any:
        raise NotImplementedError


class SumsOverOutputs(_Loss):
    name = "mse"

    def replaced(self, dz: Any, z: Any, t: Any) -> Any:
        return dz * (z.shape[1] if self.task.loss.over_outputs == "mean" else 1)


class HalvesTheSquare(_Loss):
    name = "mse"

    def replaced(self, dz: Any, z: Any, t: Any) -> Any:
        return dz / 2


class ClipsProbabilities(_Loss):
    """Probabilities are kept 1e-7 away from 0 and 1, as in Keras: nothing is learnt beyond."""

    name = "bce"

    def replaced(self, dz: Any, z: Any, t: Any) -> Any:
        return dz * (abs(z) < 16)


class HalvesTheLossAlone(NumpyTrainer):
    """Trains by the squared error, and reports half of it."""

    def train(self, walk: Walk) -> TrainStats:
        stats = super().train(walk)
        half = 0.5 if self.task.loss.name == "mse" else 1.0
        return TrainStats(half * stats.loss_sum, stats.samples)


class SmoothsTheLabels(_Loss):
    name = "cross_entropy"

    def replaced(self, dz: Any, z: Any, t: Any) -> Any:
        return dz + 1e-6 * (t - 1 / z.shape[1]) * self.task.loss.batch_scale(len(z))


class ForgetsTheGatheredMoments(NumpyTrainer):
    """A checkpoint without a batch norm's mean and variance."""

    def restore(self, state: Any) -> None:
        kept = {k: p.copy() for k, p in self._params.items() if k.role in ("mean", "variance")}
        super().restore(state)
        for key, p in kept.items():
            self._params[key][...] = p


class KeepsTheGatheredMoments(NumpyTrainer):
    """`load` leaves a batch norm's mean and variance as they are, once trained."""

    loaded = False

    def load(self, params: Params) -> None:
        kept = {k: p.copy() for k, p in self._params.items() if k.role in ("mean", "variance")}
        super().load(params)
        if self.loaded:
            for key, p in kept.items():
                self._params[key][...] = p
        self.loaded = True


PLANTS: dict[type[NumpyTrainer], str] = {
    LastMaximum: "first maximum gets the gradient",
    MaximumLosesNan: "max_pool2d",
    PoolDividesByThePadded: "avg_pool2d",
    BiasedVariance: "batch_norm 1d",
    MomentumTheOtherWay: "batch_norm 2d",
    GathersNothing: "batch_norm 1d",
    NormForgetsTheMean: "batch_norm 2d",
    ForgetsTheGatheredMoments: "batch_norm 1d",
    KeepsTheGatheredMoments: "batch_norm 1d",
    UnbiasedLayerNorm: "layer_norm",
    DropoutUnscaled: "dropout",
    TransposedKernel: "conv2d valid",
    PadsAtTheStart: "conv2d same, stride 2",
    ChannelsFirst: "flatten",
    LastTokenWins: "embedding",
    GeluByTanh: "gelu",
    ReluLosesNan: "relu",
    ReluSlopesAtZero: "relu has no slope at zero",
    LeakyRelu: "relu",
    SoftmaxOnTheDiagonal: "softmax inside",
    SigmoidInTanhForm: "sigmoid",
    SumsOverOutputs: "mse mean over outputs, mean over batch",
    HalvesTheSquare: "mse, regression",
    HalvesTheLossAlone: "mse mean over outputs, mean over batch",
    ClipsProbabilities: "saturated, bce",
    SmoothsTheLabels: "cross_entropy mean over batch",
}
