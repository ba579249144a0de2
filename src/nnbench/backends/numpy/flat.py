"""Parameters as views of one vector, so that an update of all of them is one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nnbench.backends.numpy.layers import Array
from nnbench.model.network import ParamKey

ALIGNMENT = 16  # values between the first parameters of layers: 64 bytes in float32


class Flat:
    """`views[key]` of `vector` from `starts[key]` on, layer by layer, in each the kernel first.

    Kernel and bias of a layer lie one behind the other: `joined(layer)` is `[W; b]`, of a dense
    layer `(fan_in + 1, units)`. The gaps that align the layers stay zero.
    """

    def __init__(self, shapes: Mapping[ParamKey, tuple[int, ...]], xp: Any, dtype: str) -> None:
        self._arguments = shapes, xp, dtype
        starts, end, layer = {}, 0, -1
        for key in sorted(shapes, key=lambda key: (key.layer, key.role != "kernel", key.role)):
            if key.layer != layer:
                end, layer = -(-end // ALIGNMENT) * ALIGNMENT, key.layer
            starts[key] = end
            end += math.prod(shapes[key])
        self.vector = xp.zeros(end, dtype=dtype)
        self.views: dict[ParamKey, Array] = {
            key: self.vector[starts[key] : starts[key] + math.prod(shape)].reshape(shape)
            for key, shape in shapes.items()
        }
        self.starts = starts

    def like(self) -> Flat:
        """Return zeros laid out in the same way."""
        return Flat(*self._arguments)

    def of(self, layer: int) -> dict[str, Array]:
        """Return the parameters of one layer by role."""
        return {key.role: view for key, view in self.views.items() if key.layer == layer}

    def joined(self, layer: int) -> Array:
        """Return kernel and bias of a layer as one matrix `[W; b]`, or the kernel alone."""
        kernel = self.views[ParamKey(layer, "kernel")]
        start, units = self.starts[ParamKey(layer, "kernel")], kernel.shape[-1]
        biased = ParamKey(layer, "bias") in self.views
        return self.vector[start : start + kernel.size + units * biased].reshape(-1, units)
