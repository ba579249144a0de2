"""The steps of a walk by plans, one for each size of batch."""

from __future__ import annotations

import dataclasses

import numpy as np

from nnbench.backends.numpy.fused.blas import Blas, worthwhile
from nnbench.backends.numpy.fused.online import BLOCK, Online, dense_layers
from nnbench.backends.numpy.fused.plan import (
    EVALUATED,
    EVALUATED_LARGE,
    LARGE_BYTES,
    Evaluation,
    Plan,
)
from nnbench.backends.numpy.fused.stage import Material
from nnbench.backends.numpy.fused.stages import convolves, largest_product, samples_at_a_time
from nnbench.backends.numpy.fused.team import Team
from nnbench.backends.numpy.fused.updates import Update
from nnbench.backends.numpy.layers import Array
from nnbench.backends.numpy.optimizers import Rule
from nnbench.backends.numpy.pools import Library
from nnbench.backends.numpy.stopwatch import Stopwatch
from nnbench.model.counter import Words


class Fused:
    """Takes the steps of a walk; `multiple` is the Trainer's `slice_multiple`.

    `threads` are those that pay: no more than the task's, one where all products are small. They
    are those of the BLAS that `library` brings.
    """

    def __init__(self, material: Material, rule: Rule) -> None:
        self.material = material
        task, weight_bytes = material.task, material.weights.vector.nbytes
        images, most = convolves(task.architecture), samples_at_a_time(task, weight_bytes)
        self._part = most if most and most < task.batch_size else None
        # Threads are ours, that share the parts of a batch, or those of BLAS where there are none.
        shared = task.threads > 1 and self._part is not None and not images
        self._team = Team(task.threads) if shared else None
        self.threads = 1 if shared else worthwhile(task.threads, largest_product(task))
        # A convolution multiplies blocks of columns, which SciPy's routines would copy.
        self.library: Library = "numpy" if images or shared else "scipy"
        libraries = self.library if shared or self.threads > 1 else "both"
        self.blas = Blas(task.dtype, libraries, self.threads)
        self.update = Update(rule, material.weights, self.blas)
        self._plans: dict[int, Plan] = {}
        self._blocks: dict[int, Online] = {}
        self._evaluations: dict[tuple[str, int], Evaluation] = {}
        self._online = (
            material.task.step_samples == 1
            and self.blas.libraries == "both"
            and self.update.in_gradient
            and dense_layers(material.task.architecture) is not None
        )
        self.multiple = BLOCK if self._online else 1
        self._evaluated = EVALUATED_LARGE if weight_bytes > LARGE_BYTES else EVALUATED
        if images and most:
            self._evaluated = most

    def choices(self) -> dict[str, int | str | None]:
        """Return what was chosen by kernel and net: sizes of blocks, limits of products."""
        shared: dict[str, int | str | None] = {}
        if self.material.task.threads > 1:
            shared = {
                "part_threads": self._team.threads if self._team else 1,
                "blas_threads": self.threads,
                "blas_library": self.blas.libraries,
            }
        return shared | {
            "steps_per_block": BLOCK if self._online else None,
            "samples_per_part": self._part,
            "samples_per_evaluation": self._evaluated,
            "blas_kernel": self.blas.kernel,
            "largest_small_product": self.blas.small,
        }

    def run(self, order: Array, rates: Array, keys: list[dict[int, Words]]) -> Array:
        """Take one step per rate over consecutive parts of `order`; return their logits.

        `keys` are those of each batch.
        """
        if self._online:
            return self._run_online(order, rates)
        task = self.material.task
        size, batches = task.step_samples, task.gradient_accumulation_steps
        logits = np.empty((len(order), self.material.targets.shape[1]), self.material.task.dtype)
        for step, lr in enumerate(rates.tolist()):
            rows = slice(step * size, (step + 1) * size)
            chosen = order[rows]
            plan = self.plan(len(chosen))
            self.material.keys.update(keys[step * batches])
            if batches > 1:
                self.material.batch_keys = keys[step * batches : (step + 1) * batches]
            plan.take(chosen, lr)
            logits[rows] = plan.logits
        return logits

    def _run_online(self, order: Array, rates: Array) -> Array:
        """Take the steps block by block."""
        logits = np.empty((len(order), self.material.targets.shape[1]), self.material.task.dtype)
        for start in range(0, len(order), BLOCK):
            rows = slice(start, start + BLOCK)
            block = self._block(len(order[rows]))
            block.take(order[rows], rates[rows])
            self.update.rule.steps += len(order[rows])
            logits[rows] = block.logits
        return logits

    def _block(self, n: int) -> Online:
        if n not in self._blocks:
            self._blocks[n] = Online(self.material, self.blas, n)
        return self._blocks[n]

    def evaluate(self, split: str, inputs: Array) -> Array:
        """Return the logits `(n, outputs)` of the `inputs` of a split."""
        size = self._evaluated
        logits = np.empty((len(inputs), self.material.targets.shape[1]), self.material.task.dtype)
        for start in range(0, len(inputs), size):
            n = min(size, len(inputs) - start)
            if (split, n) not in self._evaluations:
                material = dataclasses.replace(self.material, inputs=inputs, training=False)
                self._evaluations[split, n] = Evaluation(material, self.blas, n)
            logits[start : start + n] = self._evaluations[split, n].logits(start)
        return logits

    def profile(
        self, watch: Stopwatch, order: Array, rates: Array, keys: list[dict[int, Words]]
    ) -> None:
        """Take the steps of `run` with a stopwatch around every call."""
        size = BLOCK if self._online else self.material.task.step_samples
        for start in range(0, len(order), size):
            n = len(order[start : start + size])
            steps = self._block(n) if self._online else self.plan(n)
            steps.watch(watch)
        try:
            self.run(order, rates, keys)
        finally:
            self._blocks.clear()
            self._plans.clear()

    def plan(self, n: int) -> Plan:
        """Return the plan for steps of n samples."""
        if n not in self._plans:
            what = self.material, self.update, self.blas
            self._plans[n] = Plan(*what, n, self._part, self._team)
        return self._plans[n]
