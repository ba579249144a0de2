"""The steps of a walk, one after the other: forward, backward, update."""

from __future__ import annotations

import numpy as np

from nnbench.backends.numpy.compiled import narrow, sparse
from nnbench.backends.numpy.compiled.activations import activate, times_slope
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.compiled.dense import copy, forward, gather
from nnbench.backends.numpy.compiled.gradients import (
    update_bias,
    update_clipped,
    update_dense,
    update_narrow,
    update_sparse,
)
from nnbench.backends.numpy.compiled.losses import logit_gradient
from nnbench.backends.numpy.compiled.tables import (
    ACTIVATION,
    FAN_IN,
    LEAK,
    ROWS,
    UNITS,
    Goal,
    Net,
    Rule,
    Source,
    Work,
    Y,
    Z,
    bias_of,
    kernel_of,
    part_of,
    view,
)
from nnbench.backends.numpy.compiled.updates import CLIP_NORM
from nnbench.backends.numpy.layers import Array


@compiled
def forward_batch(source: Source, rows: Array, net: Net, work: Work, size: int) -> Array:
    """Return the logits of the samples `rows`; what all layers give is in `work`."""
    data, found, scale = source
    n, last, kept = len(rows), len(net[1]) - 1, work[1]
    few, skip = narrow.pays(net[1][0, UNITS], n), len(found[0]) > 1
    given = work[0][:n]
    if not (few or skip):
        gather(data, rows, scale, given)
    for i in range(last + 1):
        w, bias, z = kernel_of(net, i), bias_of(net, i), part_of(kept, net, i, Z, n, size)
        if few and i == 0:
            narrow.forward(data, rows, scale, w, bias, z)
        elif skip and i == 0:
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
def walk(
    source: Source,
    goal: Goal,
    order: Array,
    rates: Array,
    size: int,
    net: Net,
    rule: Rule,
    taken: int,
    work: Work,
    logits: Array,
) -> None:
    """Take one step per rate over consecutive parts of `order`, of `size` samples each.

    Puts the logits of each step into `logits` `(len(order), k)`. `taken`: steps before these.
    `work`: see `working_space`.
    """
    targets, numbers, constants, class_weights = goal
    last = len(net[1]) - 1
    skip = len(source[1][0]) > 1
    for step in range(len(rates)):
        rows = order[step * size : (step + 1) * size]
        n, lr, count = len(rows), rates[step], taken + step + 1
        z = forward_batch(source, rows, net, work, size)
        copy(z, logits[step * size : step * size + n])
        p = part_of(work[1], net, last, Y, n, size)
        d = view(work[2][(last + 1) % 2], 0, n, net[1][last, UNITS])
        logit_gradient(numbers, constants, class_weights, targets, rows, z, p, d)
        for i in range(last, -1, -1):
            below = error_below(d, i, net, work, size) if i else d
            if i:
                update_dense(
                    part_of(work[1], net, i - 1, Y, n, size), d, i, net, rule, work, lr, count
                )
            elif narrow.pays(net[1][0, UNITS], n):
                update_narrow(source, rows, d, net, rule, work, lr, count)
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
        np.empty(entries, np.uint32),
        np.empty(entries, kind),
    )


@compiled
def evaluate(source: Source, part: int, net: Net, logits: Array) -> None:
    """Put the logits of all samples of source into `logits` `(n, k)`, `part` at a time."""
    layers, last, kind = net[1], len(net[1]) - 1, net[0].dtype
    nothing = np.empty(0, kind)
    ends, samples = np.empty(0, np.int32), np.empty(0, np.uint32)
    work = (
        np.empty((0 if len(source[1][0]) > 1 else part, layers[0, FAN_IN]), kind),
        np.empty(part * (layers[last, Y] + layers[last, UNITS]), kind),
        np.empty((2, 0), kind),
        *(nothing, nothing, nothing, ends, samples, nothing),
    )
    for start in range(0, len(logits), part):
        rows = np.arange(start, min(start + part, len(logits)))
        copy(forward_batch(source, rows, net, work, part), logits[start : start + len(rows)])
