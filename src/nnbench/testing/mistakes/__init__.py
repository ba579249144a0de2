"""Classic mistakes of those who write their own backpropagation, and trainers that make them."""

from __future__ import annotations

from nnbench.testing.mistakes.biases import BIASES
from nnbench.testing.mistakes.gradients import GRADIENTS
from nnbench.testing.mistakes.layers import LAYERS
from nnbench.testing.mistakes.mistake import PAGE, Mistake
from nnbench.testing.mistakes.updates import UPDATES
from nnbench.testing.mistakes.walks import WALKS

__all__ = ["MISTAKES", "PAGE", "SAME_START", "Mistake"]

SAME_START = Mistake(
    "the weights start all the same",
    "Units that start equal get equal gradients and stay equal: the layer is one unit, many times "
    "over. Draw the weights; biases may start at 0.",
    (),  # it is seen, not reproduced
)
MISTAKES: tuple[Mistake, ...] = (SAME_START, *GRADIENTS, *BIASES, *LAYERS, *UPDATES, *WALKS)
