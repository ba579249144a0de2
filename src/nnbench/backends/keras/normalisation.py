"""The spec's batch norm in keras.ops; Keras' own has another epsilon, momentum and variance."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from nnbench.model.layers import BatchNorm


class MatchedBatchNorm(keras.layers.Layer):
    """Normalises per channel; weights are called as Keras' own layer calls them."""

    def __init__(self, layer: BatchNorm, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.layer: Any = layer  # with all its constants

    def build(self, shape: Any) -> None:
        """Make the weights."""
        channels = (shape[-1],)
        self.gamma = self.add_weight(shape=channels, initializer="ones")
        self.beta = self.add_weight(shape=channels, initializer="zeros")
        self.moving_mean = self.add_weight(shape=channels, initializer="zeros", trainable=False)
        self.moving_variance = self.add_weight(shape=channels, initializer="ones", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        """Normalise by the batch in training, and by what has been gathered in evaluation."""
        if training:
            axes = tuple(range(len(x.shape) - 1))
            mean = ops.mean(x, axis=axes)
            variance = ops.mean(ops.square(x - mean), axis=axes)
            self._gather(mean, variance, ops.cast(ops.shape(x)[0], "int32"), x)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        epsilon = ops.convert_to_tensor(self.layer.epsilon, dtype=x.dtype)
        return (x - mean) / ops.sqrt(variance + epsilon) * self.gamma + self.beta

    def _gather(self, mean: Any, variance: Any, batch: Any, x: Any) -> None:
        """Move the gathered mean and variance towards the batch's, the variance unbiased or not."""
        count = ops.cast(batch * math.prod(x.shape[1:-1]), x.dtype)
        one = ops.ones_like(count)
        if self.layer.variance == "unbiased":
            variance = variance * (count / ops.maximum(count - one, one))
        momentum = self.layer.momentum
        for gathered, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            gathered.assign((1.0 - momentum) * gathered + momentum * ops.stop_gradient(new))
