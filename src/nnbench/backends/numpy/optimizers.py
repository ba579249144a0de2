"""Update rules, in place, as the formulas of nnbench.model.optimizers say."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.layers import Array
from nnbench.backends.protocol import Params, State
from nnbench.errors import UnsupportedSpec
from nnbench.model import optimizers as spec

BLOCK = 2**15  # values; with a rule's buffers and what it computes they fit a core's cache


class Rule:
    """A rule for `weights`; `buffers` are what it remembers, by name, laid out like them."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, rule: Any, weights: Flat) -> None:
        self.rule, self.weights = rule, weights
        self.buffers = {name: weights.like() for name in self.names}
        self.steps = 0

    def reset(self) -> None:
        """Forget everything."""
        self.steps = 0
        for buffer in self.buffers.values():
            buffer.vector[...] = 0.0

    def step(self, grads: Params, lr: float) -> None:
        """Update the parameters from `grads` with learning rate `lr`."""
        self.steps += 1
        if self.rule.clip_norm is not None:
            norm = sum((g * g).sum() for g in grads.values()) ** 0.5
            factor = min(1.0, self.rule.clip_norm / (norm + 1e-6))
            grads = {key: g * factor for key, g in grads.items()}
        if not isinstance(self.weights.vector, np.ndarray):
            self._step_at_once(grads, lr)
            return
        for key, w in self.weights.views.items():
            self.update(w, grads[key], lr, *(b.views[key] for b in self.buffers.values()))

    def _step_at_once(self, grads: Params, lr: float) -> None:
        """Do the same on a GPU, where every operation is a launch: all parameters as one."""
        gradient = self.weights.like()
        for key, view in gradient.views.items():
            view[...] = grads[key]
        buffers = (b.vector for b in self.buffers.values())
        self.update(self.weights.vector, gradient.vector, lr, *buffers)

    def step_vector(self, gradient: Array, lr: float) -> None:
        """Do the same from one vector of gradients, laid out like the weights.

        The formula runs through blocks that stay in the cache from its first to its last term.
        """
        self.steps += 1
        if self.rule.clip_norm is not None:
            norm = float(np.dot(gradient, gradient)) ** 0.5
            gradient *= min(1.0, self.rule.clip_norm / (norm + 1e-6))
        vectors = [self.weights.vector, gradient, *(b.vector for b in self.buffers.values())]
        for start in range(0, len(gradient), BLOCK):
            w, g, *buffers = (vector[start : start + BLOCK] for vector in vectors)
            self.update(w, g, lr, *buffers)

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w in place."""
        raise NotImplementedError

    def decayed(self, w: Array, g: Array) -> Array:
        """Return the gradient with L2 weight decay."""
        return g + self.rule.weight_decay * w if self.rule.weight_decay else g

    def state(self) -> State:
        """Return the buffers by name and parameter, and the number of steps."""
        named = {f"{n}.{key}": v for n, b in self.buffers.items() for key, v in b.views.items()}
        return named | {"steps": np.array(self.steps)}

    def restore(self, state: State) -> None:
        """Take back what `state` returned."""
        self.steps = int(state["steps"])
        for name, buffer in self.buffers.items():
            for key, view in buffer.views.items():
                view[...] = state[f"{name}.{key}"]


class PlainSGD(Rule):
    """`w = w - lr g`."""

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w in place."""
        w -= lr * self.decayed(w, g)


class MomentumSGD(Rule):
    """`v = momentum v + g; w = w - lr v`, with Nesterov `w = w - lr (g + momentum v)`."""

    names = ("velocity",)

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w and the velocity in place."""
        (v,) = buffers
        g = self.decayed(w, g)
        v *= self.rule.momentum
        v += g
        w -= lr * (g + self.rule.momentum * v if self.rule.nesterov else v)


class Adam(Rule):
    """`w = w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)`."""

    names = ("mean", "square")

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w and both moments in place."""
        m, v = buffers
        rule, t = self.rule, self.steps
        g = self.decayed(w, g)
        m *= rule.beta1
        m += (1.0 - rule.beta1) * g
        v *= rule.beta2
        v += (1.0 - rule.beta2) * g * g
        root = (v / (1.0 - rule.beta2**t)) ** 0.5
        w -= lr / (1.0 - rule.beta1**t) * m / (root + rule.epsilon)


class AdamW(Adam):
    """`w = w - lr weight_decay w`, then Adam's step."""

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w and both moments in place."""
        w -= lr * self.rule.weight_decay * w
        super().update(w, g, lr, *buffers)

    def decayed(self, w: Array, g: Array) -> Array:
        """Return the gradient as it is: the decay is done."""
        return g


class RMSprop(Rule):
    """`v = rho v + (1 - rho) g^2; b = momentum b + g / (sqrt(v) + epsilon); w = w - lr b`."""

    names = ("square", "velocity")

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w, the mean square and the velocity in place."""
        v, b = buffers
        g = self.decayed(w, g)
        v *= self.rule.rho
        v += (1.0 - self.rule.rho) * g * g
        b *= self.rule.momentum
        b += g / (v**0.5 + self.rule.epsilon)
        w -= lr * b


class Adagrad(Rule):
    """`s = s + g^2; w = w - lr g / (sqrt(s) + epsilon)`."""

    names = ("sum",)

    def __init__(self, rule: spec.Adagrad, weights: Flat) -> None:
        super().__init__(rule, weights)
        self.reset()

    def reset(self) -> None:
        """Begin with the initial sum of squares."""
        self.steps = 0
        self.buffers["sum"].vector[...] = self.rule.initial

    def update(self, w: Array, g: Array, lr: float, *buffers: Array) -> None:
        """Change w and the sum of squares in place."""
        (s,) = buffers
        g = self.decayed(w, g)
        s += g * g
        w -= lr * g / (s**0.5 + self.rule.epsilon)


RULES: dict[type, type[Rule]] = {
    spec.Adam: Adam,
    spec.AdamW: AdamW,
    spec.RMSprop: RMSprop,
    spec.Adagrad: Adagrad,
}


def build_optimizer(rule: spec.Optimizer, weights: Flat) -> Rule:
    """Return the rule for `weights`; raises UnsupportedSpec for an unknown one."""
    if isinstance(rule, spec.SGD):
        return (MomentumSGD if rule.momentum else PlainSGD)(rule, weights)
    if type(rule) not in RULES:
        raise UnsupportedSpec(f"backend=numpy has no optimizer {rule.name}.")
    return RULES[type(rule)](rule, weights)
