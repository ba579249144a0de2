"""The `compiled` execution: a whole walk as loops of our own, compiled by Numba.

NumPy's calls are near their end at small batches: a step of `fused` is twenty of them. Here a walk
is one call, and the loops of the formulas are written out. What pays, each in a file of its own:

- elementary.py  an exponential that becomes vector instructions
- sparse.py      images are mostly zeros: in training, the first layer touches only what is not
- walk.py        gradient and update of a block of a kernel while it is in the cache

activations.py, losses.py and updates.py have the formulas; execution.py turns a Task into tables of
numbers, which are all that compiled code knows. Arrays are C-contiguous and of the task's dtype.
Held against `reference` like any other backend; what has no loop here is refused by name.
"""

from nnbench.backends.numpy.compiled.execution import Compiled

__all__ = ["Compiled"]
