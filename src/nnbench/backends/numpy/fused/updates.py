"""What a step does to the weights, once for all parameters."""

from __future__ import annotations

from collections.abc import Callable

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.fused.blas import Blas
from nnbench.backends.numpy.fused.stage import Sink
from nnbench.backends.numpy.optimizers import Rule
from nnbench.model import optimizers as spec


class Update:
    """Where a step's gradients go, and what is left to do when they are there.

    Plain SGD needs no gradient to be stored: it goes straight onto the weights, `in_gradient`
    says that the learning rate has to be in it already. Momentum gathers its gradient in the
    velocity. Every other rule takes a vector of gradients.
    """

    def __init__(self, rule: Rule, weights: Flat, blas: Blas) -> None:
        unclipped = rule.rule.clip_norm is None and rule.rule.clip_value is None
        plain = unclipped and not rule.rule.weight_decay
        sgd = plain and isinstance(rule.rule, spec.SGD) and not rule.rule.nesterov
        if rule.rule.name == "sgd" and rule.rule.momentum and rule.rule.rate == "inside":
            sgd = False
        self.rule, self.weights, self.blas = rule, weights, blas
        self.in_gradient = sgd and not rule.rule.momentum
        self._gathering: Update | None = None
        if self.in_gradient:
            self.sink = Sink(weights, -1.0, 1.0)
            self.apply: Callable[[float], None] = self._count
        elif sgd:
            self.sink = Sink(rule.buffers["velocity"], 1.0, rule.rule.momentum)
            self.apply = self._subtract
        else:
            self.sink = Sink(weights.like(), 1.0, 0.0)
            self.apply = self._by_rule

    def gathering(self) -> Update:
        """Return an update whose gradients may come in parts, before any weight changes."""
        if not self.in_gradient:
            return self
        if self._gathering is None:
            update = Update(self.rule, self.weights, self.blas)
            update.in_gradient = False
            update.sink = Sink(self.weights.like(), 1.0, 0.0)
            update.apply = update._subtract
            self._gathering = update
        return self._gathering

    def _count(self, lr: float) -> None:
        self.rule.steps += 1

    def _subtract(self, lr: float) -> None:
        self.rule.steps += 1
        self.blas.axpy(-lr, self.sink.target.vector, self.weights.vector)

    def _by_rule(self, lr: float) -> None:
        self.rule.step_vector(self.sink.target.vector, lr)
