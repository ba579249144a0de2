"""Layers without a form of their own here, or that do not learn: computed as by `reference`."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.stage import Material, Sink
from nnbench.backends.numpy.layers import Array


class Plain:
    """A layer of `reference` between arrays of the plan."""

    def __init__(self, layer: int, material: Material, given: Array, out: Array) -> None:
        self.layer, self.material, self.reference = layer, material, material.layers[layer]
        self.input, self.out = given, out

    def forward(self, blas: Blas) -> list[Call]:
        """Return the call of the layer's forward pass."""

        def train() -> None:
            key = self.material.keys.get(self.layer)
            self._y = self.reference.forward_training(self.input, key)
            self.out[...] = self._y

        def evaluate() -> None:
            key = self.material.evaluation_keys.get(self.layer)
            row = self.material.first_row
            self.out[...] = self.reference.forward_evaluation(self.input, key, row)

        return [train if self.material.training else evaluate]

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the call of the layer's `input_grad` and `param_grads`."""
        targets = sink.target.of(self.layer)
        dx = np.zeros(self.input.shape, dy.dtype) if wanted else None

        def call() -> None:
            if dx is not None:
                dx[...] = self.reference.input_grad(self.input, self._y, dy)
            if not targets:
                return
            for role, gradient in self.reference.param_grads(self.input, dy).items():
                # Not 0 times what is there, which may be NaN.
                kept = sink.beta * targets[role] if sink.beta else 0.0
                targets[role][...] = kept + sink.alpha * gradient

        return [call], dx
