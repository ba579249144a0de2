"""The steps of a walk, one after the other: forward, backward, update."""

from __future__ import annotations

import numpy as np

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
    update,
)
from nnbench.backends.numpy.compiled import sparse
from nnbench.backends.numpy.compiled.sparse import Entries
from nnbench.backends.numpy.layers import Array

# Columns of `layers`, int64, a row for each dense layer. Kernel and bias: where they begin in the
# weights, bias -1 where there is none. Z and Y: where, for one sample, what the activation takes
# and gives begin. ROWS: of the kernel, updated at a time.
FAN_IN, UNITS, KERNEL, BIAS, ACTIVATION, Z, Y, ROWS = range(8)
LEAK, KERNEL_DECAY, BIAS_DECAY = range(3)  # columns of `decimals`, float64


@compiled
def view(vector: Array, at: int, rows: int, columns: int) -> Array:
    """Return the matrix `(rows, columns)` that begins at a place of a vector."""
    return vector[at : at + rows * columns].reshape((rows, columns))


@compiled
def kernel_of(weights: Array, layers: Array, i: int) -> Array:
    """Return the kernel of layer i, `(fan_in, units)`."""
    return view(weights, layers[i, KERNEL], layers[i, FAN_IN], layers[i, UNITS])


@compiled
def bias_of(weights: Array, layers: Array, i: int) -> Array:
    """Return the bias of layer i, `(units,)` or empty."""
    at = layers[i, BIAS]
    return weights[:0] if at < 0 else weights[at : at + layers[i, UNITS]]


@compiled
def through(
    x: Array, first: int, weights: Array, layers: Array, decimals: Array, kept: Array, size: int
) -> None:
    """Go forward from layer `first`, whose input is x; what the layers give is put into `kept`.

    `kept` holds Z and Y of `size` samples; the last layer's Z are the logits.
    """
    n, given, last = len(x), x, len(layers) - 1
    for i in range(first, last + 1):
        z = view(kept, layers[i, Z] * size, n, layers[i, UNITS])
        forward(given, kernel_of(weights, layers, i), bias_of(weights, layers, i), z)
        if i < last:
            given = activated(i, n, layers, decimals, kept, size)


@compiled
def activated(
    i: int, n: int, layers: Array, decimals: Array, kept: Array, size: int
) -> Array:
    """Return the activations of layer i, computed from its Z."""
    z = view(kept, layers[i, Z] * size, n, layers[i, UNITS])
    y = view(kept, layers[i, Y] * size, n, layers[i, UNITS])
    activate(layers[i, ACTIVATION], decimals[i, LEAK], z, y)
    return y


@compiled
def walk(
    data: Array,
    found: Entries,
    scale: float,
    targets: Array,
    order: Array,
    rates: Array,
    size: int,
    weights: Array,
    buffers: Buffers,
    layers: Array,
    decimals: Array,
    loss: Array,
    loss_constants: Array,
    class_weights: Array,
    switches: Array,
    constants: Array,
    steps: int,
    logits: Array,
) -> None:
    """Take one step per rate over consecutive parts of `order`, of `size` samples each.

    data `(samples, fan_in)` as stored, `found` in it what is not zero, or nothing; targets
    `(samples, k)`, logits `(len(order), k)`. `loss`: its number and the output activation's.
    `steps` that were taken before.
    """
    last, whole = len(layers) - 1, constants[CLIP_NORM] > 0
    fan_in, widest, most = layers[0, FAN_IN], layers[:, FAN_IN].max(), layers[:, UNITS].max()
    skip = len(found[0]) > 1
    x = np.empty((0 if skip else size, fan_in), weights.dtype)
    kept = np.empty(size * (layers[last, Y] + layers[last, UNITS]), weights.dtype)
    errors = np.empty((2, size * max(widest, most)), weights.dtype)
    turned = np.empty(size * widest, weights.dtype)
    block = np.empty((layers[:, ROWS] * layers[:, UNITS]).max(), weights.dtype)
    # The norm is of all gradients: they are needed at once.
    gradient = np.empty(len(weights) if whole else 0, weights.dtype)
    ends = np.empty(fan_in, np.int32)
    sorting = skip and size > 1 and layers[0, ROWS] < fan_in
    samples = np.empty(size * fan_in if sorting else 0, np.int32)
    factors = np.empty(len(samples), weights.dtype)
    # A rule that does nothing where the gradient is zero.
    lazy = switches[RULE] == PLAIN and decimals[0, KERNEL_DECAY] == 0.0
    lazy = lazy and constants[CLIP_VALUE] == 0.0 and not whole
    for step in range(len(rates)):
        rows = order[step * size : (step + 1) * size]
        n, lr, count = len(rows), rates[step], steps + step + 1
        if skip:
            z = view(kept, layers[0, Z] * size, n, layers[0, UNITS])
            kernel, bias = kernel_of(weights, layers, 0), bias_of(weights, layers, 0)
            sparse.forward(found, rows, scale, kernel, bias, z)
            if last:
                y = activated(0, n, layers, decimals, kept, size)
                through(y, 1, weights, layers, decimals, kept, size)
        else:
            gather(data, rows, scale, x[:n])
            through(x[:n], 0, weights, layers, decimals, kept, size)
        z = view(kept, layers[last, Z] * size, n, layers[last, UNITS])
        for s in range(n):
            logits[step * size + s] = z[s]
        p = view(kept, layers[last, Y] * size, n, layers[last, UNITS])
        d = view(errors[0], 0, n, layers[last, UNITS])
        logit_gradient(loss[0], loss[1], loss_constants, class_weights, targets, rows, z, p, d)
        for i in range(last, -1, -1):
            units, at, height = layers[i, UNITS], layers[i, KERNEL], layers[i, ROWS]
            skipping, wide = skip and i == 0, layers[i, FAN_IN]
            below, columns = d, view(turned, 0, 0 if skipping else wide, n)
            if skipping and sorting:
                sparse.by_column(found, rows, scale, ends, samples, factors)
            elif i:
                given = view(kept, layers[i - 1, Y] * size, n, wide)
                below = view(errors[(last - i + 1) % 2], 0, n, wide)
                np.dot(d, kernel_of(weights, layers, i).T, below)
                net = view(kept, layers[i - 1, Z] * size, n, wide)
                times_slope(layers[i - 1, ACTIVATION], decimals[i - 1, LEAK], net, given, below)
                transpose(given, columns)
            elif not skipping:
                transpose(x[:n], columns)
            if skipping and lazy:
                kernel = kernel_of(weights, layers, 0)
                if sorting:
                    sparse.descend(ends, samples, factors, lr, d, kernel)
                else:
                    sparse.add_all(found, rows, -lr * scale, d, kernel)
                wide = 0  # done
            for first in range(0, wide, height):
                r = min(height, wide - first)
                start = at + first * units
                g = gradient[start : start + r * units] if whole else block[: r * units]
                out = g.reshape((r, units))
                if skipping:
                    g[:] = weights.dtype.type(0)
                    if not sorting:
                        sparse.add_all(found, rows, scale, d, out)
                    for c in range(r if sorting else 0):
                        sparse.add_row(ends, samples, factors, first + c, 1.0, d, out[c])
                elif n > 1:
                    np.dot(columns[first : first + r], d, out)
                else:
                    outer(columns[first : first + r, 0], d[0], out)
                if not whole:
                    clip(g, constants[CLIP_VALUE])
                    part, decay = weights[start : start + r * units], decimals[i, KERNEL_DECAY]
                    update(part, g, buffers, start, lr, decay, switches, constants, count)
            if layers[i, BIAS] >= 0:
                at = layers[i, BIAS]
                g = gradient[at : at + units] if whole else block[:units]
                sum_rows(d, g)
                if not whole:
                    clip(g, constants[CLIP_VALUE])
                    part, decay = weights[at : at + units], decimals[i, BIAS_DECAY]
                    update(part, g, buffers, at, lr, decay, switches, constants, count)
            d = below
        if whole:
            all_at_once(weights, gradient, buffers, layers, decimals, lr, switches, constants, count)


@compiled
def clip(g: Array, bound: float) -> None:
    """Keep g within the bound, 0 for none."""
    if bound > 0:
        most = g.dtype.type(bound)
        for i in range(len(g)):
            v = most if g[i] > most else g[i]
            g[i] = -most if v < -most else v


@compiled
def all_at_once(
    weights: Array,
    gradient: Array,
    buffers: Buffers,
    layers: Array,
    decimals: Array,
    lr: float,
    switches: Array,
    constants: Array,
    count: int,
) -> None:
    """Clip the gradient by its norm over all parameters, then update them."""
    total = weights.dtype.type(0)
    for i in range(len(layers)):
        units = layers[i, UNITS]
        for role in range(2):
            at, n = layers[i, KERNEL + role], units * (layers[i, FAN_IN] if role == 0 else 1)
            if at >= 0:
                g = gradient[at : at + n]
                clip(g, constants[CLIP_VALUE])
                for j in range(n):
                    total += g[j] * g[j]
    norm = np.sqrt(total) + constants[CLIP_OFFSET]
    factor = weights.dtype.type(constants[CLIP_NORM] / max(constants[CLIP_NORM], norm))
    for i in range(len(layers)):
        units = layers[i, UNITS]
        for role in range(2):
            at, n = layers[i, KERNEL + role], units * (layers[i, FAN_IN] if role == 0 else 1)
            if at >= 0:
                g, part = gradient[at : at + n], weights[at : at + n]
                for j in range(n):
                    g[j] *= factor
                decay = decimals[i, KERNEL_DECAY + role]
                update(part, g, buffers, at, lr, decay, switches, constants, count)


@compiled
def evaluate(
    data: Array,
    scale: float,
    part: int,
    weights: Array,
    layers: Array,
    decimals: Array,
    logits: Array,
) -> None:
    """Put the logits of all of data into `logits` `(n, k)`, `part` samples at a time."""
    last = len(layers) - 1
    x = np.empty((part, layers[0, FAN_IN]), weights.dtype)
    kept = np.empty(part * (layers[last, Y] + layers[last, UNITS]), weights.dtype)
    for start in range(0, len(data), part):
        n = min(part, len(data) - start)
        gather(data, np.arange(start, start + n), scale, x[:n])
        through(x[:n], 0, weights, layers, decimals, kept, part)
        logits[start : start + n] = view(kept, layers[last, Z] * part, n, layers[last, UNITS])
