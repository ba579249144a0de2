"""Update rules value by value, as the formulas of nnbench.model.optimizers say."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.layers import Array

Buffers = tuple[Array, Array, Array]
Rule = tuple[Buffers, Array, Array]  # buffers, switches, constants
PLAIN, MOMENTUM, ADAM, RMSPROP, ADAGRAD = range(5)
# Places in `switches`: which rule, and which of its formulas.
RULE, NESTEROV, INSIDE, DECOUPLED, ROOT_INSIDE, AFTER, AMSGRAD, CLIPPED = range(8)
# Places in `constants`, float64.
MOMENTUM_OR_BETA1, BETA2, EPSILON, CLIP_VALUE, CLIP_NORM, CLIP_OFFSET = range(6)


@compiled
def clip(g: Array, bound: float) -> None:
    """Keep g within the bound, 0 for none."""
    if bound > 0:
        most = g.dtype.type(bound)
        for i in range(len(g)):
            v = most if g[i] > most else g[i]
            g[i] = -most if v < -most else v


@compiled
def update(
    weights: Array, g: Array, rule: Rule, at: int, lr: float, decay: float, step: int
) -> None:
    """Move the weights that begin `at` by their gradient g `(n,)`, which is overwritten.

    `decay`: their weight decay. `step` counts from 1.
    """
    buffers, switches, constants = rule
    kind, n, rate = weights.dtype.type, len(g), weights.dtype.type(lr)
    w = weights[at : at + n]
    if constants[CLIP_NORM] == 0.0:  # else that was done
        clip(g, constants[CLIP_VALUE])
    if decay != 0.0:
        factor = kind(lr * decay) if switches[DECOUPLED] else kind(decay)
        for i in range(n):
            if switches[DECOUPLED]:
                w[i] -= factor * w[i]
            else:
                g[i] += factor * w[i]
    if switches[RULE] == PLAIN:
        for i in range(n):
            w[i] -= rate * g[i]
        return
    one, two = buffers[0][at : at + n], buffers[1][at : at + n]
    if switches[RULE] == MOMENTUM:
        momentum(w, g, one, rate, switches, kind(constants[MOMENTUM_OR_BETA1]))
    elif switches[RULE] == ADAM:
        adam(w, g, (one, two, buffers[2][at : at + n]), lr, switches, constants, step)
    elif switches[RULE] == RMSPROP:
        rmsprop(w, g, one, two, rate, switches, constants)
    else:
        epsilon = kind(constants[EPSILON])
        for i in range(n):
            one[i] += g[i] * g[i]
            w[i] -= rate * g[i] / root(one[i], epsilon, switches[ROOT_INSIDE])


@compiled
def root(v: Any, epsilon: Any, inside: int) -> Any:
    """Return the root of v with epsilon under it or beside it."""
    return np.sqrt(v + epsilon) if inside else np.sqrt(v) + epsilon


@compiled
def momentum(w: Array, g: Array, v: Array, rate: Any, switches: Array, keep: Any) -> None:
    """Take a step of SGD with momentum; the rate is inside the velocity, or outside."""
    inside, nesterov = switches[INSIDE], switches[NESTEROV]
    if inside:
        for i in range(len(w)):
            v[i] = keep * v[i] + rate * g[i]
            w[i] -= rate * g[i] + keep * v[i] if nesterov else v[i]
    else:
        for i in range(len(w)):
            v[i] = keep * v[i] + g[i]
            w[i] -= rate * (g[i] + keep * v[i] if nesterov else v[i])


@compiled
def adam(
    w: Array, g: Array, own: Buffers, lr: float, switches: Array, constants: Array, step: int
) -> None:
    """Take a step of Adam; the last buffer has no values but with amsgrad."""
    mean, square, largest = own
    kind = w.dtype.type
    beta1, beta2 = constants[MOMENTUM_OR_BETA1], constants[BETA2]
    keep1, new1, keep2, new2 = kind(beta1), kind(1.0 - beta1), kind(beta2), kind(1.0 - beta2)
    correction = 1.0 - beta2**step
    rate, epsilon = kind(lr / (1.0 - beta1**step)), kind(constants[EPSILON])
    before, after = kind(correction), kind(np.sqrt(correction))
    for i in range(len(w)):
        mean[i] = keep1 * mean[i] + new1 * g[i]
        square[i] = keep2 * square[i] + new2 * g[i] * g[i]
        v = square[i]
        if largest.size:
            v = max(largest[i], v)
            largest[i] = v
        if switches[AFTER]:
            w[i] -= rate * mean[i] / root(v / before, epsilon, switches[ROOT_INSIDE])
        else:
            w[i] -= rate * mean[i] / (root(v, epsilon, switches[ROOT_INSIDE]) / after)


@compiled
def rmsprop(
    w: Array, g: Array, square: Array, velocity: Array, rate: Any, switches: Array, constants: Array
) -> None:
    """Take a step of RMSprop."""
    kind = w.dtype.type
    keep, rho = kind(constants[MOMENTUM_OR_BETA1]), constants[BETA2]
    keep2, new, epsilon = kind(rho), kind(1.0 - rho), kind(constants[EPSILON])
    inside = switches[INSIDE]
    for i in range(len(w)):
        square[i] = keep2 * square[i] + new * g[i] * g[i]
        part = g[i] / root(square[i], epsilon, switches[ROOT_INSIDE])
        velocity[i] = keep * velocity[i] + (rate * part if inside else part)
        w[i] -= velocity[i] if inside else rate * velocity[i]
