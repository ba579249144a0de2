"""Mistakes with a kernel: reshaped, flipped, transposed, there or on the way back."""

from __future__ import annotations

from collections.abc import Callable

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.images import Conv2d
from nnbench.backends.numpy.layers import Array, Dense
from nnbench.testing.mistakes.mistake import Mistake, in_layers


class _Reshaped(Dense):
    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        kernel = self.parameters["kernel"]
        return dy @ kernel.reshape(kernel.shape[::-1])


class _ReadReshaped(Dense):
    """Keeps `(units, inputs)`, and gets there by a reshape."""

    def forward(self, x: Array) -> Array:
        return self._right().forward(x)

    def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
        grads = super().param_grads(x, dy)
        return {**grads, "kernel": grads["kernel"].T.reshape(grads["kernel"].shape)}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        return self._right().input_grad(x, y, dy)

    def _right(self) -> Dense:
        kernel = self.parameters["kernel"]
        read = kernel.reshape(kernel.shape[::-1]).T
        return Dense({**self.parameters, "kernel": read}, self.spec)


Turn = Callable[[Array], Array]


def _flipped(kernel: Array) -> Array:
    return kernel[::-1, ::-1]


def _transposed(kernel: Array) -> Array:
    return kernel.swapaxes(0, 1)


def _turned(turn: Turn) -> type[NumpyTrainer]:
    """Return a trainer that convolves with the kernel turned, its own inverse, there and back."""

    class Turned(Conv2d):
        def forward(self, x: Array) -> Array:
            return self._right().forward(x)

        def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
            grads = self._right().param_grads(x, dy)
            return {**grads, "kernel": turn(grads["kernel"])}

        def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
            return self._right().input_grad(x, y, dy)

        def _right(self) -> Conv2d:
            parameters = {**self.parameters, "kernel": turn(self.parameters["kernel"])}
            return Conv2d(parameters, self.spec)

    return in_layers({Conv2d: Turned})


def _turned_back(turn: Turn) -> type[NumpyTrainer]:
    """Return a trainer that turns the kernel where the gradient is passed down."""

    class TurnedBack(Conv2d):
        def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
            parameters = {"kernel": turn(self.parameters["kernel"])}
            return Conv2d(parameters, self.spec).input_grad(x, y, dy)

    return in_layers({Conv2d: TurnedBack})


def _turned_gradient(turn: Turn) -> type[NumpyTrainer]:
    """Return a trainer that turns the gradient of the kernel."""

    class TurnedGradient(Conv2d):
        def param_grads(self, x: Array, dy: Array) -> dict[str, Array]:
            grads = super().param_grads(x, dy)
            return {**grads, "kernel": turn(grads["kernel"])}

    return in_layers({Conv2d: TurnedGradient})


KERNELS = (
    Mistake(
        "the kernel is reshaped where it should be transposed",
        "W.T swaps rows and columns; W.reshape reads the same numbers in the same order, in rows "
        "of another length.",
        (in_layers({Dense: _Reshaped}), in_layers({Dense: _ReadReshaped})),
    ),
    Mistake(
        "the convolution flips its kernel",
        "Frameworks correlate: y[i, j] is the sum of x[i + a, j + b] times kernel[a, b]. Flipped "
        "in both directions it is the convolution of mathematics, and takes other weights.",
        (_turned(_flipped),),
    ),
    Mistake(
        "the kernel of the convolution is transposed",
        "kernel[a, b]: a counts rows, b columns. x[..., i + b, j + a] swaps them.",
        (_turned(_transposed),),
    ),
    Mistake(
        "the convolution's kernel is turned wrongly on the way back",
        "Output (i, j) has seen x[i + a, j + b] through kernel[a, b], and passes its gradient to "
        "that place through the same value. As a convolution of dy the kernel is turned by 180 "
        "degrees, once.",
        (_turned_back(_flipped), _turned_back(_transposed)),
    ),
    Mistake(
        "the gradient of the convolution's kernel is turned",
        "dW[a, b] is the sum of x[i + a, j + b] times dy[i, j]: it lies as the kernel does.",
        (_turned_gradient(_flipped), _turned_gradient(_transposed)),
    ),
)
