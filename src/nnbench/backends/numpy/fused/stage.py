"""What a plan is made of: stages, each the counterpart of one layer or of a few in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas, Call
from nnbench.backends.numpy.layers import Array


@dataclass(frozen=True)
class Sink:
    """Where gradients go: `target = beta target + alpha gradient`, parameter by parameter."""

    target: Flat
    alpha: float
    beta: float

    def adding(self) -> Sink:
        """Return the same target for gradients of further samples of the same step."""
        return replace(self, beta=1.0)


class Stage(Protocol):
    """A layer at work on a fixed number of samples, its arrays allocated.

    Built from the last to the first, each with the array `out` that its output goes to, in
    canonical layout whatever the memory behind it; `input` is where it wants its own.
    """

    layer: int
    input: Array
    out: Array

    def forward(self, blas: Blas) -> list[Call]:
        """Return the calls that compute `out` from `input`."""

    def backward(
        self, blas: Blas, dy: Array, sink: Sink, wanted: bool
    ) -> tuple[list[Call], Array | None]:
        """Return the calls that turn dy, which they may overwrite, into the gradients.

        Those of the parameters go to the sink. The array returned is where, if `wanted`, the
        gradient with respect to the input will be.
        """
