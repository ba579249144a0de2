"""The gradients of a step, each with its update, a block of a kernel at a time."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled import narrow, sparse
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.dense import outer, sum_rows, transpose
from nnbench.backends.numpy.compiled.tables import (
    BIAS,
    BIAS_DECAY,
    FAN_IN,
    KERNEL,
    KERNEL_DECAY,
    ROWS,
    UNITS,
    Net,
    Rule,
    Source,
    Work,
    kernel_of,
    view,
)
from nnbench.backends.numpy.compiled.updates import (
    CLIP_NORM,
    CLIP_OFFSET,
    CLIP_VALUE,
    PLAIN,
    RULE,
    clip,
    update,
)
from nnbench.backends.numpy.layers import Array


@compiled
def place_for(work: Work, at: int, n: int) -> Array:
    """Return where the gradient of n weights from `at` on goes: by itself, or into the whole."""
    return work[5][at : at + n] if len(work[5]) > 0 else work[4][:n]


@compiled
def update_dense(
    given: Array, d: Array, i: int, net: Net, rule: Rule, work: Work, lr: float, count: int
) -> None:
    """Compute `given^T d` for the kernel of layer i, block by block, and update each."""
    n, wide, units = len(d), net[1][i, FAN_IN], net[1][i, UNITS]
    turned, whole = view(work[3], 0, wide, n), len(work[5]) > 0
    transpose(given, turned)
    for first in range(0, wide, net[1][i, ROWS]):
        r = min(net[1][i, ROWS], wide - first)
        at = net[1][i, KERNEL] + first * units
        g = place_for(work, at, r * units)
        if n > 1:
            np.dot(turned[first : first + r], d, g.reshape((r, units)))
        else:
            outer(turned[first : first + r, 0], d[0], g.reshape((r, units)))
        if not whole:
            update(net[0], g, rule, at, lr, net[2][i, KERNEL_DECAY], count)


@compiled
def update_sparse(
    source: Source, rows: Array, d: Array, net: Net, rule: Rule, work: Work, lr: float, count: int
) -> None:
    """Do the same for the first layer, from what is not zero in the samples `rows`."""
    _, found, scale = source
    wide, units, at = net[1][0, FAN_IN], net[1][0, UNITS], net[1][0, KERNEL]
    ends, samples, factors = work[6], work[7], work[8]
    whole, sorting = len(work[5]) > 0, len(samples) > 0
    # Rows of the kernel that meet zeros alone stay as they are, unless the rule moves them too.
    still = rule[1][RULE] == PLAIN and net[2][0, KERNEL_DECAY] == 0.0
    still = still and rule[2][CLIP_VALUE] == 0.0 and not whole
    if still and (len(rows) == 1 or not sorting):
        sparse.add_all(found, rows, -lr * scale, d, kernel_of(net, 0))
        return
    if sorting:
        sparse.by_column(found, rows, scale, ends, samples, factors)
    if still:
        sparse.descend(ends, samples, factors, lr, d, kernel_of(net, 0))
    else:
        for first in range(0, wide, net[1][0, ROWS]):
            r = min(net[1][0, ROWS], wide - first)
            start = at + first * units
            g = place_for(work, start, r * units)
            g[:] = g.dtype.type(0)
            out = g.reshape((r, units))
            if not sorting:  # the whole kernel is one block
                sparse.add_all(found, rows, scale, d, out)
            for c in range(r if sorting else 0):
                sparse.add_row(ends, samples, factors, first + c, 1.0, d, out[c])
            if not whole:
                update(net[0], g, rule, start, lr, net[2][0, KERNEL_DECAY], count)


@compiled
def update_narrow(
    source: Source, rows: Array, d: Array, net: Net, rule: Rule, work: Work, lr: float, count: int
) -> None:
    """Do the same for a first layer of few units, whose kernel is one block."""
    data, _, scale = source
    wide, units, at = net[1][0, FAN_IN], net[1][0, UNITS], net[1][0, KERNEL]
    turned, whole = np.empty((units, wide), d.dtype), len(work[5]) > 0
    narrow.gradient(data, rows, scale, d, turned)
    g = place_for(work, at, wide * units)
    transpose(turned, g.reshape((wide, units)))
    if not whole:
        update(net[0], g, rule, at, lr, net[2][0, KERNEL_DECAY], count)


@compiled
def update_bias(d: Array, i: int, net: Net, rule: Rule, work: Work, lr: float, count: int) -> None:
    """Sum d over the batch for the bias of layer i, and update it."""
    at, units, whole = net[1][i, BIAS], net[1][i, UNITS], len(work[5]) > 0
    if at >= 0:
        g = place_for(work, at, units)
        sum_rows(d, g)
        if not whole:
            update(net[0], g, rule, at, lr, net[2][i, BIAS_DECAY], count)


@compiled
def update_clipped(net: Net, rule: Rule, gradient: Array, lr: float, count: int) -> None:
    """Clip the gradient by its norm over all parameters, then update them."""
    layers, bound = net[1], rule[2][CLIP_NORM]
    total = gradient.dtype.type(0)
    for i in range(len(layers)):
        for role in range(2):
            at, n = layers[i, KERNEL + role], layers[i, UNITS] * (1 if role else layers[i, FAN_IN])
            g = gradient[at : at + n] if at >= 0 else gradient[:0]
            clip(g, rule[2][CLIP_VALUE])
            for j in range(len(g)):
                total += g[j] * g[j]
    factor = gradient.dtype.type(bound / max(bound, np.sqrt(total) + rule[2][CLIP_OFFSET]))
    for i in range(len(layers)):
        for role in range(2):
            at, n = layers[i, KERNEL + role], layers[i, UNITS] * (1 if role else layers[i, FAN_IN])
            if at >= 0:
                g = gradient[at : at + n]
                for j in range(n):
                    g[j] *= factor
                update(net[0], g, rule, at, lr, net[2][i, KERNEL_DECAY + role], count)
