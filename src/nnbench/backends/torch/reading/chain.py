"""A chain of layers as it grows: in nnbench's words, beside the order of axes in the program.

The program's tensors may have other axes than nnbench's, images channels first. `order` has the
shape of one of its samples and says of every value which one of nnbench's it is, counted in the
order of flattening; views and permutes are carried out on it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.layers import Layer, Shape, flat_length
from nnbench.model.network import ParamKey
from nnbench.model.reading import Finding, Place, Unknown
from nnbench.schema.deferred import dataclass

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Located:
    """A parameter of the program: its name, the axes that lead to nnbench's, the order of rows."""

    name: str
    axes: tuple[int, ...]
    rows: Order | None = None

    def canonical(self, tensor: torch.Tensor) -> NDArray[Any]:
        """Return the values of `tensor` in nnbench's layout, as a copy."""
        value = tensor.detach().permute(self.axes).numpy().copy()
        if self.rows is None:
            return value
        found = np.empty_like(value)
        found[self.rows] = value
        return found


def natural(shape: Shape) -> Order:
    """Return the order of flattening itself."""
    return np.arange(flat_length(shape)).reshape(shape)


def channels_first(shape: Shape) -> Order:
    """Return the order of images `shape` with their channels first."""
    return natural(shape).transpose(2, 0, 1)


@dataclass
class Chain:
    """What has been read so far: `shape` and `order` are those of the latest activations.

    `tail` is what only a loss may follow (`log_softmax`); `pads` are zeros that a convolution has
    yet to take: left, right, top, bottom.
    """

    shape: Shape
    order: Order
    input_shape: Shape = ()
    layers: list[Layer] = field(default_factory=list)
    places: list[Place | None] = field(default_factory=list)
    located: dict[ParamKey, Located] = field(default_factory=dict)
    masks: dict[int, Order] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    tail: str | None = None
    pads: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self.input_shape = self.input_shape or self.shape

    @property
    def at_input(self) -> bool:
        """Tell whether nothing has been done to the inputs but views."""
        return not self.layers and not self.unknown and not self.pads

    def name_unknown(self, text: str, place: Place | None, result: Any = None) -> None:
        """Note what is not understood, and go on from its `result`."""
        found = Unknown(text, "layers", place)
        if found not in self.unknown:
            self.unknown.append(found)
        self.go_on_from(result)

    def go_on_from(self, result: Any) -> None:
        """Go on from activations that nothing is known of but their shape."""
        self.pads = self.tail = None
        if isinstance(result, torch.Tensor):
            own = tuple(result.shape[1:])
            self.shape = (*own[1:], own[0]) if len(own) == 3 else own
            self.order = channels_first(self.shape) if len(own) == 3 else natural(own)

    def add(
        self,
        layer: Layer,
        place: Place | None,
        result: torch.Tensor,
        located: dict[str, Located] | None = None,
    ) -> None:
        """Append a layer whose output in the program is `result`; shapes must agree."""
        what = place.text if place else layer.name
        if self._refused(layer, place, result):
            return
        used_twice = [at.name for at in (located or {}).values() if at.name in self.used]
        if used_twice:
            self.name_unknown(f"{what}: {used_twice[0]} is used twice", place, result)
            return
        try:
            after = layer.output_shape(self.shape)
        except ConfigError as error:
            self.name_unknown(f"{what}: {layer.name} {error}", place, result)
            return
        own = tuple(result.shape[1:])
        order = _order_after(layer, self, after, own)
        if order is None:
            self.name_unknown(f"{what}: gives {own}, not {after} as {layer.name}", place, result)
            return
        position = len(self.layers)
        self.layers.append(layer)
        self.places.append(place)
        for role, at in (located or {}).items():
            self.located[ParamKey(position, role)] = at
            self.used.add(at.name)
        self.shape, self.order, self.pads = after, order, None

    def _refused(self, layer: Layer, place: Place | None, result: torch.Tensor) -> bool:
        """Name what nothing but a loss, or a convolution, may follow."""
        what = place.text if place else layer.name
        if self.tail:
            self.name_unknown(f"{self.tail} in the middle, before {what}", place, result)
        elif self.pads and not isinstance(layer, spec.Conv2d):
            self.name_unknown(f"padding before {what}", place, result)
        else:
            return False
        return True

    def view(self, order: Order, place: Place | None) -> None:
        """Go on with the same values in another order of axes."""
        self.order = order
        if order.ndim == 1 and len(self.shape) > 1:
            if self.at_input:
                self.shape = self.input_shape = (order.size,)
            else:
                self.layers.append(spec.Flatten())
                self.places.append(place)
                self.shape = (order.size,)

    def is_image(self) -> bool:
        """Tell whether the program has images, channels first; at the input make them such."""
        if self.order.ndim != 3:
            return False
        channels, *size = self.order.shape
        shape = (*size, channels)
        if not np.array_equal(self.order, channels_first(shape)):
            return False
        if self.at_input:
            self.shape = self.input_shape = shape
        return self.shape == shape

    def channel_order(self) -> Order | None:
        """Return the order of rows of a parameter per channel, the channels the second axis.

        None where nnbench's channels are not that axis. An order of rows that is the natural one
        is returned, too.
        """
        if self.order.ndim == 1 and len(self.shape) == 1:
            return self.order
        if self.is_image():
            return np.arange(self.shape[-1])
        if self.order.ndim == 2 and np.array_equal(self.order, natural(self.shape).T):
            return np.arange(self.shape[-1])
        return None

    def last_order(self) -> Order | None:
        """Return the same for a parameter over the last axis."""
        if self.order.ndim == 1 and len(self.shape) == 1:
            return self.order
        last = self.order.ndim > 1 and np.array_equal(self.order, natural(self.shape))
        return np.arange(self.shape[-1]) if last else None


def _order_after(layer: Layer, chain: Chain, after: Shape, own: Shape) -> Order | None:
    """Return the order of a layer's output, `own` in the program; None where it does not fit."""
    if flat_length(after) != flat_length(own):
        return None
    if after == chain.shape and own == chain.order.shape and not isinstance(layer, spec.Dense):
        return chain.order  # value by value, or along an axis that stays where it is
    if len(after) == 3:
        return channels_first(after) if own == (after[2], *after[:2]) else None
    return natural(after).reshape(own)
