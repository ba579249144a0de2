"""Dense layers: bias folded into the product, gradients added where they are wanted."""

from __future__ import annotations

from functools import partial

import numpy as np

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.fused.stage import Sink
from nnbench.backends.numpy.layers import Array
from nnbench.model.network import ParamKey


class Dense:
    """`out = input W + b`; see `nnbench.backends.numpy.layers.Dense`.

    `columns`: the input is kept as so many blocks of columns, each contiguous; `input` is then
    `(n, columns, width)`.
    """

    def __init__(self, layer: int, weights: Flat, out: Array, columns: int = 1) -> None:
        self.layer, self.out = layer, out
        self.kernel = weights.views[ParamKey(layer, "kernel")]
        self.bias = weights.views.get(ParamKey(layer, "bias"))
        stored = np.zeros((columns, len(out), len(self.kernel) // columns), out.dtype)
        self._blocks = list(stored)
        self.input = stored.transpose(1, 0, 2) if columns > 1 else stored[0]

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls for `input W + b`."""
        if len(self._blocks) == 1:
            calls = blas.product(self.input, self.kernel, self.out)
            if self.bias is not None:
                calls.append(partial(np.add, self.out, self.bias, self.out))
            return calls
        bias = 0.0 if self.bias is None else self.bias
        blocks = zip(self._blocks, self._rows_of(self.kernel), strict=True)
        return [
            partial(np.copyto, self.out, bias),
            *(blas.add_to(x, w, self.out) for x, w in blocks),
        ]

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls for `dy W^T`, then for `input^T dy` and the sum of dy."""
        roles = sink.target.of(self.layer)
        calls, dx = list[Call](), None
        if wanted:  # first: the sink may be the weights themselves
            dx = np.zeros((len(dy), len(self.kernel)), dy.dtype)
            calls.append(blas.product_back(dy, self.kernel, dx))
        for x, target in zip(self._blocks, self._rows_of(roles["kernel"]), strict=True):
            calls += blas.add_product(sink.alpha, x, dy, sink.beta, target)
        if self.bias is not None:
            calls += blas.add_rows(sink.alpha, dy, sink.beta, roles["bias"])
        return calls, dx

    def _rows_of(self, kernel: Array) -> list[Array]:
        """Return the rows of `kernel` that belong to each block of columns of the input."""
        return list(kernel.reshape(len(self._blocks), -1, kernel.shape[1]))
