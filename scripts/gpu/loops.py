"""Bare loops beside those of scripts/bench/bare.py: NumPy or CuPy, JAX; MLPs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bare import Problem, torch_loop

from gpu.workloads import RATE, Workload
from nnbench.model import metrics

Loop = Callable[[], object]


def problem(workload: Workload, device: str) -> Problem:
    """Return what a bare loop needs."""
    task, splits = workload.task(device, "bare"), workload.splits()
    train = splits["train"]
    shape = (-1, *workload.architecture.input_shape)
    x = train.inputs.astype(np.float32).reshape(shape) * np.float32(1 / 255)
    t = metrics.target_matrix(train.targets, 10).astype(np.float32)
    params = workload.params()
    weights = [params[key] for key in sorted(params, key=lambda k: (k.layer, k.role != "kernel"))]
    return Problem(task, splits, x, t, train.targets, x[:1000], weights, RATE)


def bare_torch(workload: Workload, device: str) -> Loop:
    """Return an epoch of PyTorch without nnbench."""
    return torch_loop(problem(workload, device))[0]


def bare_arrays(workload: Workload, device: str) -> Loop | None:
    """Return an epoch of plain NumPy, on CUDA of CuPy; None for nets with convolutions."""
    if len(workload.architecture.input_shape) > 1:
        return None
    if device == "cuda":
        import cupy as xp
    else:
        xp = np
    p = problem(workload, device)
    x, t = xp.asarray(p.x), xp.asarray(p.t)
    weights = [xp.array(w) for w in p.weights]
    velocities = [xp.zeros_like(w) for w in weights]
    batch, momentum = workload.batch, workload.optimizer.momentum  # type: ignore[union-attr]
    order = xp.arange(len(x))

    def step(rows: Any, wanted: Any) -> Any:
        inputs = [rows]
        for i in range(0, len(weights), 2):
            z = inputs[-1] @ weights[i] + weights[i + 1]
            inputs.append(_hidden(xp, z, workload.sigmoid) if i < len(weights) - 2 else z)
        d = _output_gradient(xp, inputs[-1], wanted, workload.sigmoid)
        for i in range(len(weights) - 2, -1, -2):
            rows = inputs[i // 2]
            gradients = rows.T @ d, d.sum(axis=0)
            if i:
                d = d @ weights[i].T
                d *= rows * (1 - rows) if workload.sigmoid else rows > 0
            for j, g in enumerate(gradients):
                if momentum:
                    velocities[i + j] *= momentum
                    velocities[i + j] += g
                weights[i + j] -= RATE * (velocities[i + j] if momentum else g)
        return inputs[-1]

    def epoch() -> float:
        gathered, wanted = x[order], t[order]
        logits = xp.empty_like(wanted)
        for start in range(0, len(x), batch):
            rows = slice(start, start + batch)
            logits[rows] = step(gathered[rows], wanted[rows])
        host = logits if xp is np else logits.get()
        output = workload.architecture.output_activation
        return float(metrics.sample_losses(host, p.labels, p.task.loss, output).sum())

    return epoch


def _hidden(xp: Any, z: Any, sigmoid: bool) -> Any:
    return 1 / (1 + xp.exp(-z)) if sigmoid else xp.maximum(z, 0)


def _output_gradient(xp: Any, z: Any, wanted: Any, sigmoid: bool) -> Any:
    if sigmoid:
        y = 1 / (1 + xp.exp(-z))
        return (2 / z.size) * (y - wanted) * y * (1 - y)
    e = xp.exp(z - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True) - wanted) * (1 / len(z))


def bare_jax(workload: Workload) -> Loop:
    """Return an epoch of JAX, one program compiled by XLA."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    p = problem(workload, "cuda")
    x, labels, t = jnp.asarray(p.x), jnp.asarray(p.labels), jnp.asarray(p.t)
    kept = {"weights": [jnp.asarray(w) for w in p.weights]}
    kept["velocities"] = [jnp.zeros_like(w) for w in kept["weights"]]
    momentum = workload.optimizer.momentum  # type: ignore[union-attr]

    def losses(weights: Any, rows: Any) -> Any:
        z = x[rows]
        for i in range(0, len(weights), 2):
            z = z @ weights[i] + weights[i + 1]
            if i < len(weights) - 2:
                z = jax.nn.sigmoid(z) if workload.sigmoid else jax.nn.relu(z)
        if workload.sigmoid:
            return ((jax.nn.sigmoid(z) - t[rows]) ** 2).mean(axis=1).mean()
        logs = jax.nn.log_softmax(z)
        return -jnp.take_along_axis(logs, labels[rows][:, None], 1).mean()

    def step(carried: Any, rows: Any) -> Any:
        weights, velocities = carried
        loss, gradients = jax.value_and_grad(losses)(weights, rows)
        velocities = [momentum * v + g for v, g in zip(velocities, gradients, strict=True)]
        weights = [w - RATE * v for w, v in zip(weights, velocities, strict=True)]
        return (weights, velocities), loss

    @jax.jit  # type: ignore[untyped-decorator]
    def program(weights: Any, velocities: Any, order: Any) -> Any:
        return lax.scan(step, (weights, velocities), order)

    order = jnp.arange(workload.batch * workload.steps).reshape(workload.steps, workload.batch)

    def epoch() -> float:
        ends, found = program(kept["weights"], kept["velocities"], order)
        kept["weights"], kept["velocities"] = ends
        return float(found.sum())

    return epoch
