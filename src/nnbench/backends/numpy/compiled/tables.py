"""What compiled code takes, in tuples, and where things lie in them.

- Net: the weights as one vector, `layers`, `decimals` (below)
- Source: the data `(samples, fan_in)` as stored, what in them is not zero (or nothing), their scale
- Goal: the target matrix `(samples, k)`, numbers of the loss and of the output activation, the
  loss's constants, class weights
- Rule: the optimizer's three buffers, its switches, its constants
- Work: arrays that are written anew in every step
"""

from __future__ import annotations

from nnbench.backends.numpy.compiled import sparse
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.updates import Buffers
from nnbench.backends.numpy.layers import Array

# Columns of `layers`, int64, a row for each dense layer. Kernel and bias: where they begin in the
# weights, bias -1 where there is none. Z and Y: where, for one sample, what the activation takes
# and gives begin. ROWS: of the kernel, updated at a time.
FAN_IN, UNITS, KERNEL, BIAS, ACTIVATION, Z, Y, ROWS = range(8)
LEAK, KERNEL_DECAY, BIAS_DECAY = range(3)  # columns of `decimals`, float64

Net = tuple[Array, Array, Array]
Source = tuple[Array, sparse.Entries, float]
Goal = tuple[Array, Array, Array, Array]
Rule = tuple[Buffers, Array, Array]
# The samples, Z and Y of all layers, errors (two in turn), an input transposed, a block of a
# gradient, the whole gradient where it is needed at once; the entries of a batch by column.
Work = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array]


@compiled
def view(vector: Array, at: int, rows: int, columns: int) -> Array:
    """Return the matrix `(rows, columns)` that begins at a place of a vector."""
    return vector[at : at + rows * columns].reshape((rows, columns))


@compiled
def kernel_of(net: Net, i: int) -> Array:
    """Return the kernel of layer i, `(fan_in, units)`."""
    return view(net[0], net[1][i, KERNEL], net[1][i, FAN_IN], net[1][i, UNITS])


@compiled
def bias_of(net: Net, i: int) -> Array:
    """Return the bias of layer i, `(units,)` or empty."""
    at = net[1][i, BIAS]
    return net[0][:0] if at < 0 else net[0][at : at + net[1][i, UNITS]]


@compiled
def part_of(kept: Array, net: Net, i: int, which: int, n: int, size: int) -> Array:
    """Return Z or Y of layer i for n samples, `(n, units)`; `kept` has room for `size`."""
    return view(kept, net[1][i, which] * size, n, net[1][i, UNITS])
