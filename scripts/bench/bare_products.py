"""The matrix products of a step of `numpy` and nothing else: what is left to a loop that uses BLAS.

No activation, loss, gathering or unfolding of images: what a step of `numpy` takes beside this is
what better code can save; what it takes for this, only a better BLAS, or products left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.fused.blas import Call, Step
from nnbench.backends.numpy.fused.plan import Evaluation
from nnbench.backends.numpy.stopwatch import operation

PRODUCTS = {"matmul", "sgemm", "sgemv"}


def products_loop(p: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """The calls of a plan of `fused` that multiply matrices, on what a first step left in place."""
    trainer = NumpyTrainer(replace(p.task, execution="fused"), p.splits)
    fused: Any = trainer._fused
    batch = p.task.batch_size
    plan = fused.plan(batch)
    plan.take(np.arange(batch), 1e-6)  # the gradients stay small however often they are added
    calls = [call for share in plan._shares for call in _products(share.steps)]
    material = replace(fused.material, training=False)
    part = Evaluation(material, fused.blas, fused.choices()["samples_per_evaluation"])._part
    evaluating = _products(part.forward()) * -(-len(p.test) // len(part.rows))
    steps = p.task.steps(len(p.x))

    def epoch() -> None:
        for _ in range(steps):
            for call in calls:
                call()

    def evaluate() -> None:
        for call in evaluating:
            call()

    return epoch, evaluate


def _products(steps: Iterable[Step]) -> list[Call]:
    return [call for _, call in steps if operation(call) in PRODUCTS]
