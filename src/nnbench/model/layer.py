"""What every layer is, described: a shape that becomes another, and weights that learn or not.

Weights of a layer with `trainable=False` stay as they are: they get no gradient and no weight
decay, the optimizer keeps no state of them, and the norm that `clip_norm` bounds leaves them out.
So do PyTorch with parameters that have `requires_grad=False` or that its optimizer is not given,
and Keras with `trainable=False`. What a batch norm gathers goes on; Keras' `trainable=False` of its
own batch norm is something else: it then normalises by what was gathered, in training too.
"""

from __future__ import annotations

from nnbench.schema.deferred import dataclass

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


@dataclass(frozen=True)
class BaseLayer:
    """A layer that keeps the shape and has no weights: what the others override."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that `shape` becomes; raises ConfigError where it does not fit."""
        return shape

    @property
    def learns(self) -> bool:
        """Tell whether training updates its weights, if it has any (`trainable`)."""
        return bool(getattr(self, "trainable", True))

    def parameter_shapes(self, shape: Shape) -> Shapes:
        """Return the shapes of what is learnt, by role, for inputs of `shape`."""
        return self._weights(shape) if self.learns else {}

    def buffer_shapes(self, shape: Shape) -> Shapes:
        """Return the shapes of what is kept for inference, but not learnt."""
        return ({} if self.learns else self._weights(shape)) | self._gathered(shape)

    def _weights(self, shape: Shape) -> Shapes:
        """Return the shapes of the weights, which are learnt unless `trainable` is false."""
        return {}

    def _gathered(self, shape: Shape) -> Shapes:
        """Return the shapes of what training gathers, by no gradient."""
        return {}
