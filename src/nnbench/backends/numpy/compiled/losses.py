"""The gradient of the loss with respect to the logits, as nnbench.backends.numpy.losses has it."""

from __future__ import annotations

from nnbench.backends.numpy.compiled.activations import SIGMOID, activate, softmax, times_slope
from nnbench.backends.numpy.compiled.compiling import compiled
from nnbench.backends.numpy.layers import Array

CROSS_ENTROPY, BCE, MSE, L1, HUBER = range(5)
NUMBERS = {"cross_entropy": CROSS_ENTROPY, "bce": BCE, "mse": MSE, "l1": L1, "huber": HUBER}


@compiled
def logit_gradient(
    numbers: Array,
    constants: Array,
    class_weights: Array,
    targets: Array,
    rows: Array,
    z: Array,
    p: Array,
    d: Array,
) -> None:
    """Put the gradient with respect to z into d; z, p and d `(n, k)`, p is working space.

    `targets` `(samples, k)`, of which the batch is `rows`. `numbers`: of the loss, and of the
    activation that turns z into p. `constants`: scale over the outputs, 1 where the batch's mean is
    taken (0: its sum), label smoothing, delta of huber. `class_weights` `(k,)` or empty.
    """
    loss, output = numbers[0], numbers[1]
    n, k = z.shape
    kind = z.dtype.type
    factor = constants[0] / n if constants[1] == 1 else constants[0]
    if loss == MSE:
        factor *= 2.0
    if loss == CROSS_ENTROPY:
        softmax(z, p)
    elif loss == BCE:
        activate(SIGMOID, 0.0, z, p)
    else:
        activate(output, 0.0, z, p)
    scale, kept = kind(factor), kind(1.0 - constants[2])
    spread, delta = kind(constants[2] / k), kind(constants[3])
    for s in range(n):
        t, y, e = targets[rows[s]], p[s], d[s]
        if loss == L1:
            for j in range(k):
                error = y[j] - t[j]
                e[j] = scale if error > 0 else (-scale if error < 0 else error * scale)
        elif loss == HUBER:
            for j in range(k):
                error = y[j] - t[j]
                error = delta if error > delta else error
                e[j] = scale * (-delta if error < -delta else error)
        elif loss == CROSS_ENTROPY:
            weight = scale
            if class_weights.size:
                weight = kind(0)
                for j in range(k):
                    weight += t[j] * class_weights[j]
                weight *= scale
            for j in range(k):
                e[j] = (y[j] - (kept * t[j] + spread)) * weight
        else:
            for j in range(k):
                e[j] = (y[j] - t[j]) * scale
    if loss > BCE:
        times_slope(output, 0.0, z, p, d)
