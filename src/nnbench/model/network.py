"""What is trained, in framework-neutral terms: a stack of layers and a loss.

Every constant that frameworks disagree on is written here, with the formula that all backends
follow in matched semantics. Shapes leave out the batch axis: an input of `(784,)` is one image.
Canonical parameter layout: Dense kernel `(fan_in, fan_out)`, bias `(fan_out,)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName, Augment, Layer, Shape, flat_length
from nnbench.model.rows import LayerRow
from nnbench.schema.deferred import dataclass

WIDTHS = ("filters", "size", "units")  # what tells how wide a layer is


class ParamKey(NamedTuple):
    """Address of one parameter: the position of its layer and its role there."""

    layer: int
    role: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.role}"

    @classmethod
    def parse(cls, text: str) -> ParamKey:
        """Read back what `str` wrote, as found in a weights file."""
        layer, _, role = text.partition(".")
        if not layer.isdecimal() or not role:
            raise ValueError(f"{text!r} is not LAYER.ROLE, as in 0.kernel")
        return cls(int(layer), role)


def describe(layer: Layer) -> str:
    """Return a layer with the values that are not its defaults: `conv2d filters=8 stride=2`."""
    values = [
        f"{f.name}={str(value).lower() if isinstance(value, bool) else value}"
        for f in dataclasses.fields(layer)
        if f.name != "name" and (value := getattr(layer, f.name)) != f.default
    ]
    return " ".join([layer.name, *values])


@dataclass(frozen=True)
class Architecture:
    """A stack of layers ending in logits, and the activation that turns these into outputs.

    `layers` yields the logits; `output_activation` is kept apart because some losses are computed
    from logits (see `Loss`), and because accuracy needs no activation at all. `augment` is done
    to the inputs in training.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]
    output_activation: ActivationName
    augment: Augment | None = None

    @property
    def takes_tokens(self) -> bool:
        """Tell whether inputs are integers for an embedding, not numbers."""
        return bool(self.layers) and isinstance(self.layers[0], spec.Embedding)

    def shapes(self) -> Iterator[tuple[int, Layer, Shape, Shape]]:
        """Yield (position, layer, input shape, output shape) from input to logits."""
        shape = self.input_shape
        for position, layer in enumerate(self.layers):
            try:
                if isinstance(layer, spec.Embedding) and position:
                    raise ConfigError("takes integer tokens, so that it must be the first layer")
                after = layer.output_shape(shape)
            except ConfigError as error:
                raise ConfigError(f"Layer {position + 1}, {layer.name}, {error}.") from None
            yield position, layer, shape, after
            shape = after

    def output_shape(self) -> Shape:
        """Return the shape of the logits of one sample."""
        return [after for *_, after in self.shapes()][-1]

    def parameter_shapes(self) -> dict[ParamKey, Shape]:
        """Return the canonical shape of everything that is learnt, in the order of the layers."""
        return {
            ParamKey(position, role): shape
            for position, layer, before, _ in self.shapes()
            for role, shape in layer.parameter_shapes(before).items()
        }

    def weight_shapes(self) -> dict[ParamKey, Shape]:
        """Return the shapes of parameters and buffers: everything that inference needs."""
        return {
            ParamKey(position, role): shape
            for position, layer, before, _ in self.shapes()
            for shapes in (layer.parameter_shapes(before), layer.buffer_shapes(before))
            for role, shape in shapes.items()
        }

    def without_effect(self) -> set[ParamKey]:
        """Return the parameters whose gradient is zero but for rounding, and what follows them.

        A bias that a BatchNorm takes away again (what moves a whole channel does not matter there;
        pooling, dropout at rate 0 and flattening pass such a move on), and the mean that this
        BatchNorm gathers, which wanders with the bias and makes up for it in evaluation.
        """
        found = set()
        for position, layer in enumerate(self.layers):
            if isinstance(layer, spec.Dense | spec.Conv2d) and layer.bias and layer.trainable:
                passed = (
                    (i, after)
                    for i, after in enumerate(self.layers[position + 1 :], start=position + 1)
                    if not isinstance(after, spec.MaxPool2d | spec.AvgPool2d | spec.Flatten)
                    and after != spec.Activation("linear")
                    and not (isinstance(after, spec.Dropout) and not after.rate)
                )
                i, after = next(passed, (position, layer))
                if isinstance(after, spec.BatchNorm):
                    found |= {ParamKey(position, "bias"), ParamKey(i, "mean")}
        return found

    def with_values(self, effective: Mapping[str, Any]) -> Architecture:
        """Return the net with the values that a backend read back, by `layers.POSITION.KEY`."""
        layers = []
        for i, layer in enumerate(self.layers):
            keys = {f.name: f"layers.{i}.{f.name}" for f in dataclasses.fields(layer)}
            known = {name: effective[key] for name, key in keys.items() if key in effective}
            layers.append(dataclasses.replace(layer, **known))
        return dataclasses.replace(self, layers=tuple(layers))

    @property
    def learns_throughout(self) -> bool:
        """Tell whether no layer is held still by `trainable=False`."""
        return all(layer.learns for layer in self.layers)

    def parameter_count(self) -> int:
        """Return the number of trainable scalars."""
        return sum(flat_length(shape) for shape in self.parameter_shapes().values())

    def rows(self) -> list[LayerRow]:
        """Return what a table of the layers shows."""
        return [
            LayerRow(
                layer=describe(layer),
                output="x".join(str(n) for n in after),
                parameters=sum(map(flat_length, layer.parameter_shapes(before).values())),
                buffers=sum(map(flat_length, layer.buffer_shapes(before).values())),
            )
            for _, layer, before, after in self.shapes()
        ]

    def __str__(self) -> str:
        """Return a short description such as `784-128-10 sigmoid/sigmoid, no bias`."""
        sizes = ["x".join(str(n) for n in self.input_shape)]
        for layer in self.layers:
            if isinstance(layer, spec.Dense):
                sizes.append(str(layer.units))
            elif isinstance(layer, spec.Dropout):
                sizes.append(f"dropout{layer.rate:g}")
            elif not isinstance(layer, spec.Activation | spec.Flatten):
                width = next((getattr(layer, n) for n in WIDTHS if hasattr(layer, n)), "")
                sizes.append(f"{layer.name.removesuffix('2d')}{width}")
        hidden = dict.fromkeys(a.name for a in self.layers if isinstance(a, spec.Activation))
        functions = "/".join((*hidden, self.output_activation))
        biased = any(getattr(layer, "bias", False) for layer in self.layers)
        return f"{'-'.join(sizes)} {functions}" + ("" if biased else ", no bias")
