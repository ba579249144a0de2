"""Loops of others from the package index, written as their documentation has it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Loops = tuple[Callable[[], object], Callable[[], object]]


def jax_loop(p: Any) -> Loops:
    """JAX: a whole epoch as one compiled function, a scan over the batches."""
    flags = os.environ.get("XLA_FLAGS", "")
    if p.task.threads == 1:  # read when JAX is imported
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import jax
    import jax.numpy as jnp

    sigmoid = p.task.loss.name == "mse"
    momentum = getattr(p.task.optimizer, "momentum", 0.0)
    batch = p.task.batch_size
    whole = len(p.x) - len(p.x) % batch  # a scan takes batches of one size
    x, t = jnp.asarray(p.x), jnp.asarray(p.t)
    order = jnp.arange(whole).reshape(-1, batch)
    test = jnp.asarray(p.test)

    def logits(weights: Any, rows: Any) -> Any:
        for i in range(0, len(weights), 2):
            rows = rows @ weights[i] + weights[i + 1]
            if i < len(weights) - 2:
                rows = jax.nn.sigmoid(rows) if sigmoid else jax.nn.relu(rows)
        return rows

    def loss(weights: Any, rows: Any, wanted: Any) -> Any:
        z = logits(weights, rows)
        if sigmoid:
            return jnp.sum(jnp.mean((jax.nn.sigmoid(z) - wanted) ** 2, axis=1)) / batch
        return -jnp.sum(jax.nn.log_softmax(z) * wanted) / batch

    def step(state: Any, rows: Any) -> Any:
        weights, velocities = state
        value, slopes = jax.value_and_grad(loss)(weights, x[rows], t[rows])
        velocities = [momentum * v + g for v, g in zip(velocities, slopes, strict=True)]
        weights = [w - p.lr * v for w, v in zip(weights, velocities, strict=True)]
        return (weights, velocities), value

    program = jax.jit(lambda state: jax.lax.scan(step, state, order))
    evaluated = jax.jit(logits)
    weights = [jnp.asarray(w) for w in p.weights]
    state = [(weights, [jnp.zeros_like(w) for w in weights])]

    def epoch() -> float:
        state[0], losses = program(state[0])
        return float(losses.sum())

    return epoch, lambda: np.asarray(evaluated(state[0][0], test))


def sklearn_loop(p: Any) -> Loops:
    """scikit-learn's MLPClassifier, an epoch by `partial_fit`.

    Its loss is cross-entropy whatever the task's, its L2 term is set to nothing, its samples come
    in their order.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    hidden = tuple(len(bias) for bias in p.weights[1::2][:-1])
    net = MLPClassifier(
        hidden,
        activation="logistic" if p.task.loss.name == "mse" else "relu",
        solver="sgd",
        alpha=0.0,
        batch_size=p.task.batch_size,
        learning_rate_init=p.lr,
        momentum=getattr(p.task.optimizer, "momentum", 0.0),
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    x, labels = p.x.reshape(len(p.x), -1), p.labels
    test, classes = p.test.reshape(len(p.test), -1), np.arange(p.t.shape[1])
    return (lambda: net.partial_fit(x, labels, classes=classes)), (lambda: net.predict_proba(test))
