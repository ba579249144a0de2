"""Programs of users' own in PyTorch: read, and stepped with their own objects.

The interface is `nnbench.backends.program.Room`.
"""

from nnbench.backends.torch.reading.own import copied, seed, steps
from nnbench.backends.torch.reading.places import recording
from nnbench.backends.torch.reading.whole import read, weights

__all__ = ["copied", "read", "recording", "seed", "steps", "weights"]
