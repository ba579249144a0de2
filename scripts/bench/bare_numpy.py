"""Hand-written NumPy loops, as bare as they get; see bare.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from nnbench.model import metrics


def numpy_loop(p: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """NumPy with BLAS: updates in place, at batch 1 those of the first layer 32 at a time."""
    return _numpy_online(p) if p.task.batch_size == 1 else _numpy_momentum(p)


def _numpy_online(p: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    from scipy.linalg.blas import sgemm, sgemv, sger

    w1, b1, w2, b2 = p.weights
    block = 32
    w = np.ascontiguousarray(np.vstack([w2, b2]).T)
    d = np.zeros((block, len(b1)), np.float32)
    h = np.ones(len(b1) + 1, np.float32)
    a, back = h[:-1], np.zeros(len(b1) + 1, np.float32)
    q, e = np.zeros(len(b2), np.float32), np.zeros(len(b2), np.float32)
    slope, slope2 = np.zeros(len(b1), np.float32), np.zeros(len(b2), np.float32)
    z = np.zeros((block, len(b1)), np.float32)
    gram = np.zeros((block, block), np.float32)
    one, scale = np.float32(1), np.float32(2.0 * p.lr / len(b2))
    order = np.arange(len(p.x))
    outputs = np.zeros_like(p.t)
    neg, exp, add, inv, mul, sub = (
        np.negative,
        np.exp,
        np.add,
        np.reciprocal,
        np.multiply,
        np.subtract,
    )

    def epoch() -> float:
        x, t = p.x[order], p.t[order]
        ones = np.ones(block, np.float32)
        for start in range(0, len(x), block):
            rows = x[start : start + block]
            n = len(rows)
            np.matmul(rows, w1, z[:n])
            add(z[:n], b1, z[:n])
            g = rows @ rows.T + one
            gram[:n, :n] = g
            for i in range(n):
                zi = z[i]
                if i:
                    sgemv(-1.0, d[:i].T, gram[i, :i], 1.0, zi, 0, 1, 0, 1, 0, 1)
                neg(zi, zi)
                exp(zi, zi)
                add(zi, one, zi)
                inv(zi, a)
                sgemv(1.0, w.T, h, 0.0, q, 0, 1, 0, 1, 1, 1)
                outputs[start + i] = q
                neg(q, q)
                exp(q, q)
                add(q, one, q)
                inv(q, q)
                sub(q, t[start + i], e)
                mul(q, q, slope2)
                sub(q, slope2, slope2)
                mul(e, slope2, e)
                mul(e, scale, e)
                sgemv(1.0, w.T, e, 0.0, back, 0, 1, 0, 1, 0, 1)
                sger(-1.0, h, e, 1, 1, w.T, 0, 0, 1)
                mul(a, a, slope)
                sub(a, slope, slope)
                mul(back[:-1], slope, d[i])
            sgemm(-1.0, d[:n].T, rows.T, 1.0, w1.T, 0, 1, 1)
            sgemv(-1.0, d[:n].T, ones[:n], 1.0, b1, 0, 1, 0, 1, 0, 1)
        loss = metrics.sample_losses(outputs, p.labels, p.task.loss, "sigmoid").sum()
        return float(loss)

    def evaluate() -> Any:
        hidden = 1 / (1 + np.exp(-(p.test @ w1 + b1)))
        return hidden @ w[:, :-1].T + w[:, -1]

    return epoch, evaluate


def _numpy_momentum(p: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    from scipy.linalg.blas import saxpy, sgemm, sgemv

    size = sum(w.size for w in p.weights)
    flat, velocity = np.zeros(size, np.float32), np.zeros(size, np.float32)
    layers, start = [], 0
    for kernel, bias in zip(p.weights[::2], p.weights[1::2], strict=True):
        views = []
        for array in (kernel, bias):
            part = slice(start, start + array.size)
            flat[part] = array.ravel()
            views += [flat[part].reshape(array.shape), velocity[part].reshape(array.shape)]
            start += array.size
        layers.append(views)
    batch, mu = p.task.batch_size, float(p.task.optimizer.momentum)
    widths = [p.x.shape[1], *(w.shape[1] for w in p.weights[::2])]
    a = [np.zeros((batch, k), np.float32) for k in widths]
    g = [np.zeros((batch, k), np.float32) for k in widths]
    masks = [np.zeros((batch, k), bool) for k in widths]
    zeros = [np.zeros((batch, k), np.float32) for k in widths]
    ones = np.ones(batch, np.float32)
    order = np.arange(len(p.x))
    images = (p.x / np.float32(p.task.inputs.scale)).round().astype(np.uint8)
    images_scale = np.float32(p.task.inputs.scale)
    logits = np.zeros_like(p.t)
    pixels, row = np.zeros((batch, widths[0]), np.uint8), np.zeros((batch, 1), np.float32)
    blocks = 4 if widths[0] % 4 == 0 and "OPENBLAS_CORETYPE" not in os.environ else 1
    columns = np.zeros((blocks, batch, widths[0] // blocks), np.float32)

    def epoch() -> float:
        for step in range(0, len(order) - batch + 1, batch):
            rows = order[step : step + batch]
            np.take(images, rows, 0, pixels, "clip")
            wide = pixels.reshape(batch, blocks, -1)
            np.multiply(wide, images_scale, columns.transpose(1, 0, 2), dtype=np.float32)
            for i, (w, _, b, _) in enumerate(layers):
                if i == 0:
                    np.copyto(a[1], b)
                    for x, part in zip(columns, w.reshape(blocks, -1, w.shape[1]), strict=True):
                        sgemm(1.0, part.T, x.T, 1.0, a[1].T, 0, 0, 1)
                else:
                    np.matmul(a[i], w, a[i + 1])
                    np.add(a[i + 1], b, a[i + 1])
                if i < len(layers) - 1:
                    np.maximum(a[i + 1], zeros[i + 1], out=a[i + 1])
            z, d = a[-1], g[-1]
            logits[step : step + batch] = z
            np.maximum.reduce(z, 1, None, row, True)  # type: ignore[call-overload]
            np.subtract(z, row, d)
            np.exp(d, d)
            np.add.reduce(d, 1, None, row, True)  # type: ignore[call-overload]
            np.divide(d, row, d)
            np.subtract(d, p.t[rows], d)
            np.multiply(d, np.float32(1 / batch), d)
            for i in range(len(layers) - 1, -1, -1):
                w, v, _, vb = layers[i]
                d = g[i + 1]
                if i:
                    np.matmul(d, w.T, g[i])
                    np.greater(a[i], np.float32(0), masks[i])
                    np.multiply(g[i], masks[i], g[i])
                    sgemm(1.0, d.T, a[i].T, mu, v.T, 0, 1, 1)
                else:
                    for x, part in zip(columns, v.reshape(blocks, -1, v.shape[1]), strict=True):
                        sgemm(1.0, d.T, x.T, mu, part.T, 0, 1, 1)
                sgemv(1.0, d.T, ones, mu, vb, 0, 1, 0, 1, 0, 1)
            saxpy(velocity, flat, size, -p.lr)
        return float(metrics.sample_losses(logits, p.labels, p.task.loss, "softmax").sum())

    def evaluate() -> Any:
        x = p.test
        for i, (w, _, b, _) in enumerate(layers):
            x = x @ w + b
            x = np.maximum(x, 0) if i < len(layers) - 1 else x
        return x

    return epoch, evaluate
