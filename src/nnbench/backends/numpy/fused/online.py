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

from functools import partial

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.pointwise import (
    IN_PLACE,
    gradient_factor,
    logit_calls,
    sigmoid_of_negated,
    takes_negated,
)
from nnbench.backends.numpy.fused.stage import Material, Program
from nnbench.backends.numpy.fused.stages import gather_calls
from nnbench.backends.numpy.layers import Array
from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName
from nnbench.model.network import Architecture, ParamKey

BLOCK = 32  # steps; more of them cost more in X X^T than they save


def dense_layers(architecture: Architecture) -> list[tuple[int, ActivationName]] | None:
    """Return (position, activation that follows) of each layer of a dense net, else None."""
    found: list[tuple[int, ActivationName]] = []
    for i, layer in enumerate(architecture.layers):
        if isinstance(layer, spec.Dense) and layer.trainable:
            found.append((i, "linear"))
        elif isinstance(layer, spec.Flatten) or layer == spec.Activation("linear"):
            continue
        elif isinstance(layer, spec.Activation) and layer.name in IN_PLACE:
            if not found or found[-1][1] != "linear":
                return None
            found[-1] = found[-1][0], layer.name
        else:
            return None
    if not found or found[-1][1] != "linear" or architecture.augment is not None:
        return None
    return found


class Upper:
    """A layer above the first: `weights` `[W; b]`, `turned` its transpose within a block.

    `name` is its position, counted from 1; `given` `(fan_in + 1,)` is its input, the last value a
    constant 1 for the bias.
    """

    def __init__(self, layer: int, weights: Array, activation: ActivationName) -> None:
        self.name, self.weights, self.activation = f"{layer + 1}", weights, activation
        self.turned = np.zeros(weights.shape[::-1], weights.dtype)
        self.given = np.ones(len(weights), weights.dtype)


class Online(Program):
    """Takes `n` consecutive steps of one sample each; `logits` are those of each step.

    The block is gathered and multiplied by the first layer's weights, then the steps are taken one
    by one, then their updates are applied to the first layer.
    """

    def __init__(self, material: Material, blas: Blas, n: int) -> None:
        super().__init__()
        task, weights = material.task, material.weights
        layers = dense_layers(task.architecture)
        assert layers is not None
        (first, self.activation), *above = layers
        self.blas, self.task = blas, task
        self._first = f"{first + 1}"
        self._kernel = weights.views[ParamKey(first, "kernel")]
        self._bias = weights.views.get(ParamKey(first, "bias"))
        self._upper = [Upper(i, weights.joined(i), activation) for i, activation in above]
        self._rows, self._scales = np.zeros(n, np.int64), np.zeros(n, task.dtype)
        self._x = np.zeros((n, len(self._kernel)), task.dtype)
        self._gram = np.zeros((n, n), task.dtype)
        self.logits = np.zeros((n, task.architecture.output_shape()[0]), task.dtype)
        self._targets = np.zeros_like(self.logits)
        self._z = np.zeros((n, self._kernel.shape[1]), task.dtype) if above else self.logits
        self._d = np.zeros_like(self._z)
        self._factor = gradient_factor(task.loss, self.logits.shape[1], 1)
        self._last = task.architecture.output_activation
        # -1 where z is kept negated: what the logits are is up to the loss.
        hidden = [activation for _, activation in layers[:-1]]
        self._signs = [-1.0 if activation == "sigmoid" else 1.0 for activation in hidden]
        self._signs.append(-1.0 if takes_negated(task.loss, self._last) else 1.0)
        self._gather(material)
        for i in range(n):
            self._step(i)
        self._apply()

    def take(self, rows: Array, rates: Array) -> None:
        """Take a step over each of the training samples `rows` with its learning rate."""
        self._rows[...] = rows
        np.multiply(rates, self._factor, self._scales)
        for call in self.calls:
            call()

    def _gather(self, material: Material) -> None:
        """Add the calls before the steps: the samples, `X W + b`, `X X^T + 1`, weights turned."""
        take = partial(np.take, material.targets, self._rows, 0, self._targets, "clip")
        self.add("batch", [*gather_calls(material, self._rows, self._x), take])
        calls: list[Call] = [
            partial(np.matmul, self._x, self._kernel, self._z),
            partial(np.matmul, self._x, self._x.T, self._gram),
        ]
        if self._bias is not None:
            calls.append(partial(np.add, self._z, self._bias, self._z))
            calls.append(partial(np.add, self._gram, self._gram.dtype.type(1), self._gram))
        if self._signs[0] < 0:
            calls.append(partial(np.negative, self._z, self._z))
        self.add(f"{self._first} forward", calls)
        for layer in self._upper:
            self.add(f"{layer.name} turned", [partial(np.copyto, layer.turned, layer.weights.T)])

    def _apply(self) -> None:
        """Add the calls after the steps: weights turned back, `W -= X^T D`, logits as they are."""
        for layer in self._upper:
            self.add(f"{layer.name} turned", [partial(np.copyto, layer.weights, layer.turned.T)])
        calls = self.blas.add_product(-1.0, self._x, self._d, 1.0, self._kernel)
        if self._bias is not None:
            calls += self.blas.add_rows(-1.0, self._d, 1.0, self._bias)
        self.add(f"{self._first} backward", calls)
        if self._signs[-1] < 0:
            self.add("loss", [partial(np.negative, self.logits, self.logits)])

    def _step(self, i: int) -> None:
        """Add the calls of step i of the block."""
        z = self._z[i]
        name, activation = f"{self._first} forward", self.activation
        if i:
            earlier = self._gram[i, :i], self._d[:i]
            self.add(name, [self.blas.vector_matrix(-self._signs[0], *earlier, 1.0, z)])
        for layer, sign in zip(self._upper, self._signs[1:], strict=True):
            y = layer.given[: z.size]
            negated = activation == "sigmoid"
            self.add(name, (sigmoid_of_negated if negated else IN_PLACE[activation][0])(z, y))
            z = self.logits[i] if layer is self._upper[-1] else np.zeros_like(layer.turned[:, 0])
            name, activation = f"{layer.name} forward", layer.activation
            self.add(name, [self.blas.matrix_vector(sign, layer.turned, layer.given, z)])
        d = np.zeros_like(z) if self._upper else self._d[i]
        scale = self._scales[i : i + 1].reshape(())
        negated = self._signs[-1] < 0
        loss = self.task.loss
        self.add("loss", logit_calls(loss, self._last, z, self._targets[i], d, scale, negated))
        activations = [self.activation, *(layer.activation for layer in self._upper)]
        widths = [self._d.shape[1], *(len(layer.turned) for layer in self._upper)]
        for below, layer in reversed(list(enumerate(self._upper))):
            whole, y = np.zeros_like(layer.given), layer.given[: widths[below]]
            dx = whole[: y.size] if below else self._d[i]
            calls = [
                self.blas.vector_matrix(1.0, d, layer.turned, 0.0, whole),
                self.blas.subtract_outer(d, layer.given, layer.turned),
                *IN_PLACE[activations[below]][1](whole[: y.size], y, dx),
            ]
            self.add(f"{layer.name} backward", calls)
            d = dx
