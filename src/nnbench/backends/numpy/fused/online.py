"""Plain SGD at batch size 1: a block of steps with the first layer's updates held back.

Step i of a block sees the first layer's weights after the updates of the steps before it,
`W_i = W - sum over j < i of x_j d_j^T`, but what it needs is only

    z_i = x_i W_i + b_i = (x_i W + b) - sum over j < i of (x_i . x_j + 1) d_j

where d_j holds the learning rate. So the products `X W` and `X X^T` of the whole block are taken
once before it, and `W -= X^T D` once after it: three matrix products instead of two passes over
the weights per step. The algebra is exact; only rounding differs. The layers above are small and
are updated step by step, kept transposed meanwhile, bias included, so that BLAS runs along rows.
What a sigmoid is taken of is kept negated: a call less, of the twenty that a step comes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call, Step
from nnbench.backends.numpy.fused.material import Material
from nnbench.backends.numpy.fused.pointwise import (
    IN_PLACE,
    gradient_factor,
    logit_calls,
    sigmoid_of_negated,
    takes_negated,
)
from nnbench.backends.numpy.fused.stages import gather_calls
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.stopwatch import Stopwatch
from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName
from nnbench.model.network import Architecture, ParamKey

BLOCK = 32  # steps; more of them cost more in X X^T than they save


def dense_layers(architecture: Architecture) -> list[tuple[int, ActivationName]] | None:
    """Return (position, activation that follows) of each layer of a dense net, else None."""
    found: list[tuple[int, ActivationName]] = []
    for i, layer in enumerate(architecture.layers):
        if isinstance(layer, spec.Dense):
            found.append((i, "linear"))
        elif isinstance(layer, spec.Activation) and layer.name in IN_PLACE:
            if not found or found[-1][1] != "linear":
                return None
            found[-1] = found[-1][0], layer.name
        elif not isinstance(layer, spec.Flatten) and layer != spec.Activation("linear"):
            return None
    if not found or found[-1][1] != "linear" or architecture.augment is not None:
        return None
    return found


@dataclass
class Upper:
    """A layer above the first: `weights` `[W; b]`, `turned` its transpose within a block.

    `name` is its position, counted from 1; `given` `(fan_in + 1,)` is its input, the last value a
    constant 1 for the bias.
    """

    name: str
    weights: Array
    turned: Array
    given: Array
    activation: ActivationName


class Online:
    """Takes `n` consecutive steps of one sample each; `logits` are those of each step."""

    def __init__(self, material: Material, blas: Blas, n: int) -> None:
        task, weights = material.task, material.weights
        layers = dense_layers(task.architecture)
        assert layers is not None
        outputs = task.architecture.output_shape()[0]
        first, self.activation = layers[0]
        self._first = f"{first + 1}"
        kernel = weights.views[ParamKey(first, "kernel")]
        bias = weights.views.get(ParamKey(first, "bias"))
        self.blas, self.task = blas, task
        self.logits = np.zeros((n, outputs), task.dtype)
        self._rows = np.zeros(n, np.int64)
        self._scales = np.zeros(n, task.dtype)
        self._factor = gradient_factor(task.loss, outputs, 1)
        self._targets = np.zeros_like(self.logits)
        x = np.zeros((n, len(kernel)), task.dtype)
        self._gram = np.zeros((n, n), task.dtype)
        self._z = np.zeros((n, kernel.shape[1]), task.dtype) if len(layers) > 1 else self.logits
        self._d = np.zeros_like(self._z)
        self._upper = [
            Upper(
                f"{i + 1}",
                weights.joined(i),
                np.zeros(weights.joined(i).shape[::-1], task.dtype),
                np.ones(len(weights.joined(i)), task.dtype),
                activation,
            )
            for i, activation in layers[1:]
        ]
        take = partial(np.take, material.targets, self._rows, 0, self._targets, "clip")
        gather = gather_calls(material, self._rows, x)
        gather.append(take)
        before: list[Call] = [
            partial(np.matmul, x, kernel, self._z),
            partial(np.matmul, x, x.T, self._gram),
        ]
        after = blas.add_product(-1.0, x, self._d, 1.0, kernel)
        if bias is not None:
            before.append(partial(np.add, self._z, bias, self._z))
            before.append(partial(np.add, self._gram, self._gram.dtype.type(1), self._gram))
            after += blas.add_rows(-1.0, self._d, 1.0, bias)
        self._last = task.architecture.output_activation
        self._signs = [_sign(a) for a in [self.activation, *(u.activation for u in self._upper)]]
        self._signs[-1] = -1.0 if takes_negated(task.loss, self._last) else 1.0
        if self._signs[0] < 0:
            before.append(partial(np.negative, self._z, self._z))
        self.steps: list[Step] = [("batch", call) for call in gather]
        self.steps += [(f"{self._first} forward", call) for call in before]
        self.steps += [
            (f"{u.name} turned", partial(np.copyto, u.turned, u.weights.T)) for u in self._upper
        ]
        for i in range(n):
            self.steps += self._step(i)
        self.steps += [
            (f"{u.name} turned", partial(np.copyto, u.weights, u.turned.T)) for u in self._upper
        ]
        self.steps += [(f"{self._first} backward", call) for call in after]
        if self._signs[-1] < 0:
            self.steps.append(("loss", partial(np.negative, self.logits, self.logits)))
        self._calls = [call for _, call in self.steps]

    def watch(self, stopwatch: Stopwatch) -> None:
        """Put the stopwatch around every call."""
        self._calls = [partial(stopwatch.time, place, call) for place, call in self.steps]

    def take(self, rows: Array, rates: Array) -> None:
        """Take a step over each of the training samples `rows` with its learning rate."""
        self._rows[...] = rows
        np.multiply(rates, self._factor, self._scales)
        for call in self._calls:
            call()

    def _step(self, i: int) -> list[Step]:
        """Return the calls of step i of the block."""
        z, steps = self._z[i], list[Step]()
        name, activation = f"{self._first} forward", self.activation
        if i:
            earlier = self._gram[i, :i], self._d[:i]
            steps.append((name, self.blas.vector_matrix(-self._signs[0], *earlier, 1.0, z)))
        for layer, sign in zip(self._upper, self._signs[1:], strict=True):
            y = layer.given[: z.size]
            steps += [(name, call) for call in _activated(activation, z, y)]
            z = self.logits[i] if layer is self._upper[-1] else np.zeros_like(layer.turned[:, 0])
            name, activation = f"{layer.name} forward", layer.activation
            steps.append((name, self.blas.matrix_vector(sign, layer.turned, layer.given, z)))
        d = np.zeros_like(z) if self._upper else self._d[i]
        scale = self._scales[i : i + 1].reshape(())
        negated = self._signs[-1] < 0
        calls = logit_calls(self.task.loss, self._last, z, self._targets[i], d, scale, negated)
        steps += [("loss", call) for call in calls]
        for below, layer in reversed(list(enumerate(self._upper, start=-1))):
            activation = self._upper[below].activation if below >= 0 else self.activation
            passed = np.zeros_like(layer.given)
            width = self._upper[below].turned.shape[0] if below >= 0 else self._d.shape[1]
            calls = [
                self.blas.vector_matrix(1.0, d, layer.turned, 0.0, passed),
                self.blas.subtract_outer(d, layer.given, layer.turned),
            ]
            d = passed[:width] if below >= 0 else self._d[i]
            calls += _times_slope(activation, passed[:width], layer.given[:width], d)
            steps += [(f"{layer.name} backward", call) for call in calls]
        return steps


def _sign(activation: ActivationName) -> float:
    """Return -1 where the input of the activation is kept negated."""
    return -1.0 if activation == "sigmoid" else 1.0


def _activated(activation: ActivationName, z: Array, out: Array) -> list[Call]:
    if _sign(activation) < 0:
        return sigmoid_of_negated(z, out)
    if activation in IN_PLACE:
        return list(IN_PLACE[activation][0](z, out))
    return [partial(np.copyto, out, z)]


def _times_slope(activation: ActivationName, dy: Array, y: Array, out: Array) -> list[Call]:
    if activation in IN_PLACE:
        return list(IN_PLACE[activation][1](dy, y, out))
    return [] if dy is out else [partial(np.copyto, out, dy)]
