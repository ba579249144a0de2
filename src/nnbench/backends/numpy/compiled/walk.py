"""The steps of a walk, one after the other: forward, backward, update.

Compiled code takes its arguments in tuples:

- Net: the weights as one vector, `layers`, `decimals` (below)
- Source: the data `(samples, fan_in)` as stored, what in them is not zero (or nothing), their scale
- Goal: the target matrix `(samples, k)`, numbers of the loss and of the output activation, the
  loss's constants, class weights
- Rule: the optimizer's three buffers, its switches, its constants
- Work: arrays that are written anew in every step
"""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled import sparse
from nnbench.backends.numpy.compiled.activations import activate, times_slope
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.dense import forward, gather, outer, sum_rows, transpose
from nnbench.backends.numpy.compiled.losses import logit_gradient
from nnbench.backends.numpy.compiled.updates import (
    CLIP_NORM,
    CLIP_OFFSET,
    CLIP_VALUE,
    PLAIN,
    RULE,
    Buffers,
    clip,
    update,
)
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


@compiled
def forward_batch(source: Source, rows: Array, net: Net, work: Work, size: int) -> Array:
    """Return the logits of the samples `rows`; what all layers give is in `work`."""
    data, found, scale = source
    n, last, kept = len(rows), len(net[1]) - 1, work[1]
    skip = len(found[0]) > 1
    given = work[0][:n]
    if not skip:
        gather(data, rows, scale, given)
    for i in range(last + 1):
        w, bias, z = kernel_of(net, i), bias_of(net, i), part_of(kept, net, i, Z, n, size)
        if skip and i == 0:
            sparse.forward(found, rows, scale, w, bias, z)
        else:
            forward(given, w, bias, z)
        if i < last:
            given = part_of(kept, net, i, Y, n, size)
            activate(net[1][i, ACTIVATION], net[2][i, LEAK], z, given)
    return part_of(kept, net, last, Z, n, size)


@compiled
def error_below(d: Array, i: int, net: Net, work: Work, size: int) -> Array:
    """Return the error at the output of layer i - 1, from d at that of layer i."""
    n, wide = len(d), net[1][i, FAN_IN]
    below = view(work[2][i % 2], 0, n, wide)
    np.dot(d, kernel_of(net, i).T, below)
    y, z = part_of(work[1], net, i - 1, Y, n, size), part_of(work[1], net, i - 1, Z, n, size)
    times_slope(net[1][i - 1, ACTIVATION], net[2][i - 1, LEAK], z, y, below)
    return below


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
        g = work[5][at : at + r * units] if whole else work[4][: r * units]
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
            g = work[5][start : start + r * units] if whole else work[4][: r * units]
            g[:] = g.dtype.type(0)
            out = g.reshape((r, units))
            if not sorting:  # the whole kernel is one block
                sparse.add_all(found, rows, scale, d, out)
            for c in range(r if sorting else 0):
                sparse.add_row(ends, samples, factors, first + c, 1.0, d, out[c])
            if not whole:
                update(net[0], g, rule, start, lr, net[2][0, KERNEL_DECAY], count)


@compiled
def update_bias(d: Array, i: int, net: Net, rule: Rule, work: Work, lr: float, count: int) -> None:
    """Sum d over the batch for the bias of layer i, and update it."""
    at, units, whole = net[1][i, BIAS], net[1][i, UNITS], len(work[5]) > 0
    if at >= 0:
        g = work[5][at : at + units] if whole else work[4][:units]
        sum_rows(d, g)
        if not whole:
            update(net[0], g, rule, at, lr, net[2][i, BIAS_DECAY], count)


@compiled
def walk(
    source: Source,
    goal: Goal,
    order: Array,
    rates: Array,
    size: int,
    net: Net,
    rule: Rule,
    taken: int,
    logits: Array,
) -> None:
    """Take one step per rate over consecutive parts of `order`, of `size` samples each.

    Puts the logits of each step into `logits` `(len(order), k)`. `taken`: steps before these.
    """
    targets, numbers, constants, class_weights = goal
    last, work = len(net[1]) - 1, working_space(source, size, net, rule)
    skip = len(source[1][0]) > 1
    for step in range(len(rates)):
        rows = order[step * size : (step + 1) * size]
        n, lr, count = len(rows), rates[step], taken + step + 1
        z = forward_batch(source, rows, net, work, size)
        for s in range(n):
            logits[step * size + s] = z[s]
        p = part_of(work[1], net, last, Y, n, size)
        d = view(work[2][(last + 1) % 2], 0, n, net[1][last, UNITS])
        logit_gradient(numbers, constants, class_weights, targets, rows, z, p, d)
        for i in range(last, -1, -1):
            below = error_below(d, i, net, work, size) if i else d
            if i:
                update_dense(
                    part_of(work[1], net, i - 1, Y, n, size), d, i, net, rule, work, lr, count
                )
            elif skip:
                update_sparse(source, rows, d, net, rule, work, lr, count)
            else:
                update_dense(work[0][:n], d, 0, net, rule, work, lr, count)
            update_bias(d, i, net, rule, work, lr, count)
            d = below
        if len(work[5]):
            update_clipped(net, rule, work[5], lr, count)


@compiled
def working_space(source: Source, size: int, net: Net, rule: Rule) -> Work:
    """Return the arrays that steps of up to `size` samples write to."""
    weights, layers = net[0], net[1]
    kind, last = weights.dtype, len(layers) - 1
    fan_in, widest, most = layers[0, FAN_IN], layers[:, FAN_IN].max(), layers[:, UNITS].max()
    skip = len(source[1][0]) > 1
    # Where the kernel is one block its gradient is added up sample by sample, unsorted.
    entries = size * fan_in if skip and layers[0, ROWS] < fan_in else 0
    return (
        np.empty((0 if skip else size, fan_in), kind),
        np.empty(size * (layers[last, Y] + layers[last, UNITS]), kind),
        np.empty((2, size * max(widest, most)), kind),
        np.empty(size * widest, kind),
        np.empty((layers[:, ROWS] * layers[:, UNITS]).max(), kind),
        np.empty(len(weights) if rule[2][CLIP_NORM] > 0 else 0, kind),
        np.empty(fan_in, np.int32),
        np.empty(entries, np.int32),
        np.empty(entries, kind),
    )


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


@compiled
def evaluate(source: Source, part: int, net: Net, logits: Array) -> None:
    """Put the logits of all samples of source into `logits` `(n, k)`, `part` at a time."""
    layers, last, kind = net[1], len(net[1]) - 1, net[0].dtype
    nothing = np.empty(0, kind)
    places = np.empty(0, np.int32)
    work = (
        np.empty((0 if len(source[1][0]) > 1 else part, layers[0, FAN_IN]), kind),
        np.empty(part * (layers[last, Y] + layers[last, UNITS]), kind),
        np.empty((2, 0), kind),
        *(nothing, nothing, nothing, places, places, nothing),
    )
    for start in range(0, len(logits), part):
        rows = np.arange(start, min(start + part, len(logits)))
        logits[start : start + len(rows)] = forward_batch(source, rows, net, work, part)
