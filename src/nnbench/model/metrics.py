"""Loss and accuracy from logits, in float64, by the same code for every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnbench.model.layers import ActivationName
from nnbench.model.losses import CLIP, Loss

Float = NDArray[np.float64]
NEAR_TIE = 1e-3  # of the largest logit


def sigmoid(z: Float) -> Float:
    """Return `1 / (1 + exp(-z))` without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def softmax(z: Float) -> Float:
    """Return the softmax over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


OUTPUT_ACTIVATIONS: dict[str, Callable[[Float], Float]] = {
    "linear": lambda z: z,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
}


def outputs(logits: NDArray[Any], activation: ActivationName) -> Float:
    """Apply the output activation to logits `(n, k)`."""
    z = logits.astype(np.float64)
    return OUTPUT_ACTIVATIONS[activation](z)


def target_matrix(targets: NDArray[Any], k: int) -> Float:
    """Return targets `(n, k)`: labels become one-hot rows."""
    if targets.ndim == 2:
        return targets.astype(np.float64)
    one_hot = np.zeros((len(targets), k))
    one_hot[np.arange(len(targets)), targets] = 1.0
    return one_hot


def sample_losses(
    logits: NDArray[Any], targets: NDArray[Any], loss: Loss, activation: ActivationName
) -> Float:
    """Return each sample's loss `(n,)`, reduced over its outputs as `loss` says."""
    # One row per output: sums over a few outputs are then a few additions of long vectors.
    z = logits.T.astype(np.float64, order="C")
    k, n = z.shape
    if loss.name == "cross_entropy" and not loss.is_plain:
        return _cross_entropy(z.T, targets, loss)
    if loss.name == "cross_entropy":
        top = z.max(axis=0)
        label = z[targets, np.arange(n)]
        z -= top
        return np.asarray(np.log(np.exp(z, out=z).sum(axis=0)) + top - label)
    t = target_matrix(targets, k).T
    if loss.name == "bce":
        per_output = np.maximum(z, 0.0) - z * t + np.log(1.0 + np.exp(-np.abs(z)))
    else:
        error = OUTPUT_ACTIVATIONS[activation](z.T).T - t
        per_output = np.abs(error) if loss.name == "l1" else error**2
        if loss.name == "huber":
            far = loss.delta * (np.abs(error) - 0.5 * loss.delta)
            per_output = np.where(np.abs(error) <= loss.delta, 0.5 * per_output, far)
    return np.asarray(per_output.sum(axis=0) * loss.output_scale(k))


def _cross_entropy(z: Float, targets: NDArray[Any], loss: Loss) -> Float:
    """Return each sample's cross-entropy with what `loss` sets beyond reductions."""
    n = len(z)
    if loss.mistake == "logits_as_probabilities":
        p = z.clip(CLIP, 1.0 - CLIP)
        return np.asarray(np.log(p.sum(axis=1)) - np.log(p[np.arange(n), targets]))
    z = softmax(z) if loss.mistake == "softmax_twice" else z
    top = z.max(axis=1)
    total = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
    s = loss.label_smoothing
    found = total - (1.0 - s) * z[np.arange(n), targets] - s * z.mean(axis=1)
    if loss.class_weights is not None:
        found = found * np.asarray(loss.class_weights)[targets]
    return np.asarray(found)


def mean_loss(
    logits: NDArray[Any], targets: NDArray[Any], loss: Loss, activation: ActivationName
) -> float:
    """Return the mean over samples of their losses."""
    return float(sample_losses(logits, targets, loss, activation).mean())


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the fraction (0 to 1) of samples whose largest logit is their label; see `predicted`.

    Taken before the output activation, which would only add ties (a saturated sigmoid).
    """
    return float((predicted(logits) == labels).mean())


def count_correct(logits: NDArray[Any], targets: NDArray[Any]) -> int | None:
    """Return how many of `logits` `(n, k)` are right, see `accuracy`; None without labels."""
    return None if targets.dtype.kind != "i" else int((predicted(logits) == targets).sum())


def predicted(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of the largest of each row of logits, the first of equals.

    -1, which no label equals, where a logit is not finite: such a net says nothing.
    """
    found, finite = logits.argmax(axis=1), np.isfinite(logits)
    if not finite.all():  # asked row by row it takes longer than everything else here
        found[~finite.all(axis=1)] = -1
    return found


def near_ties(logits: NDArray[Any]) -> int:
    """Return how many samples have their two best logits within NEAR_TIE of the largest logit.

    Rounding may decide which class they are given.
    """
    first, *others = np.ascontiguousarray(logits.T)  # long vectors, a class each
    best, second = first.copy(), np.full_like(first, -np.inf)
    for logit in others:
        np.maximum(second, np.minimum(best, logit), out=second)
        np.maximum(best, logit, out=best)
    return int((best - second <= NEAR_TIE * np.abs(logits).max()).sum())
