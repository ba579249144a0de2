"""Classic mistakes of those who write their own backpropagation, and trainers that make them."""

from __future__ import annotations

from nnbench.testing.mistakes.biases import BIASES
from nnbench.testing.mistakes.gradients import GRADIENTS
from nnbench.testing.mistakes.layers import LAYERS
from nnbench.testing.mistakes.mistake import PAGE, Mistake
from nnbench.testing.mistakes.updates import UPDATES
from nnbench.testing.mistakes.walks import WALKS

__all__ = ["MISTAKES", "PAGE", "Mistake"]

MISTAKES: tuple[Mistake, ...] = (*GRADIENTS, *BIASES, *LAYERS, *UPDATES, *WALKS)
