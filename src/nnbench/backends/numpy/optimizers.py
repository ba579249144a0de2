"""Update rules, in place, as the formulas of nnbench.model.optimizers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbench.backends.numpy.flat import Flat
from nnbench.backends.numpy.layers import Array
from nnbench.backends.protocol import Params, State
from nnbench.backends.trainers import supported
from nnbench.model import optimizers as spec
from nnbench.model.formulas import documented

BLOCK = 2**15  # values; with a rule's buffers and what it computes they fit a core's cache
# (rule, w, g with weight decay, lr, step from 1, *buffers): changes w and the buffers in place
Update = Callable[..., None]


class Rule:
    """An update rule for `weights`; its `buffers`, by name, are laid out like them.

    `decays`: the weight decay of each parameter.
    """

    def __init__(self, rule: Any, weights: Flat) -> None:
        self.rule: Any = documented(rule)
        self.weights = weights
        self.update, names = supported(UPDATES, type(rule), "optimizer", "numpy")
        if isinstance(rule, spec.SGD) and not rule.momentum:
            self.update, names = _plain_sgd, ()
        names += ("largest",) * getattr(rule, "amsgrad", False)
        spared = rule.decay_on == "kernels"
        decay = self.rule.weight_decay
        self.decays = {
            key: decay if key.role == "kernel" or not spared else 0.0 for key in weights.views
        }
        self._decay_vector: Any = decay
        if spared and decay:
            flat = weights.like()
            for key, view in flat.views.items():
                view[...] = self.decays[key]
            self._decay_vector = flat.vector
        self.buffers = {name: weights.like() for name in names}
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.steps = 0
        for buffer in self.buffers.values():
            buffer.vector[...] = getattr(self.rule, "initial", 0.0)

    def step(self, grads: Params, lr: float) -> None:
        """Update the parameters from `grads` with learning rate `lr`."""
        self.steps += 1
        bound = self.rule.clip_value
        if bound is not None:
            grads = {key: g.clip(-bound, bound) for key, g in grads.items()}
        if self.rule.clip_norm is not None:
            factor = self._factor(sum((g * g).sum() for g in grads.values()) ** 0.5)
            grads = {key: g * factor for key, g in grads.items()}
        if not isinstance(self.weights.vector, np.ndarray):
            self._step_at_once(grads, lr)
            return
        for key, w in self.weights.views.items():
            buffers = (b.views[key] for b in self.buffers.values())
            self._change(w, grads[key], lr, self.decays[key], *buffers)

    def _factor(self, norm: float) -> float:
        """Return what a gradient of the global norm `norm` is multiplied by."""
        bound: float = self.rule.clip_norm
        return bound / max(bound, norm + self.rule.clip_offset)

    def _step_at_once(self, grads: Params, lr: float) -> None:
        """Do the same on a GPU, where every operation is a launch: all parameters as one."""
        gradient = self.weights.like()
        for key, view in gradient.views.items():
            view[...] = grads[key]
        buffers = (b.vector for b in self.buffers.values())
        self._change(self.weights.vector, gradient.vector, lr, self._decay_vector, *buffers)

    def step_vector(self, gradient: Array, lr: float) -> None:
        """Do the same from one vector of gradients, laid out like the weights.

        The formula runs through blocks that stay in the cache from its first to its last term.
        """
        self.steps += 1
        if self.rule.clip_value is not None:
            np.clip(gradient, -self.rule.clip_value, self.rule.clip_value, out=gradient)
        if self.rule.clip_norm is not None:
            gradient *= self._factor(float(np.dot(gradient, gradient)) ** 0.5)
        vectors = [self.weights.vector, gradient, *(b.vector for b in self.buffers.values())]
        for start in range(0, len(gradient), BLOCK):
            block = slice(start, start + BLOCK)
            w, g, *buffers = (vector[block] for vector in vectors)
            decay = self._decay_vector
            decay = decay if isinstance(decay, int | float) else decay[block]
            self._change(w, g, lr, decay, *buffers)

    def _change(self, w: Array, g: Array, lr: float, decay: Any, *buffers: Array) -> None:
        """Decay w, by itself or through the gradient, then take the rule's step."""
        if not isinstance(decay, int | float) or decay:
            if self.rule.decay == "decoupled":
                w -= lr * decay * w
            else:
                g = g + decay * w
        self.update(self.rule, w, g, lr, self.steps, *buffers)

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


def _plain_sgd(rule: Any, w: Array, g: Array, lr: float, t: int) -> None:
    w -= lr * g


def _sgd(rule: Any, w: Array, g: Array, lr: float, t: int, v: Array) -> None:
    inside = rule.rate == "inside"
    g = lr * g if inside else g
    v *= rule.momentum
    v += g
    step = g + rule.momentum * v if rule.nesterov else v
    w -= step if inside else lr * step


def _adam(
    rule: Any, w: Array, g: Array, lr: float, t: int, m: Array, v: Array, *largest: Array
) -> None:
    m *= rule.beta1
    m += (1.0 - rule.beta1) * g
    v *= rule.beta2
    v += (1.0 - rule.beta2) * g * g
    for v_largest in largest:  # of amsgrad
        np.maximum(v_largest, v, out=v_largest)
        v = v_largest
    correction = 1.0 - rule.beta2**t
    if rule.epsilon_correction == "after":
        root = _root(rule, v / correction)
    else:
        root = _root(rule, v) / correction**0.5
    w -= lr / (1.0 - rule.beta1**t) * m / root


def _root(rule: Any, v: Array) -> Array:
    """Return the root of v with epsilon beside it or under it."""
    return (v + rule.epsilon) ** 0.5 if rule.epsilon_root == "inside" else v**0.5 + rule.epsilon


def _rmsprop(rule: Any, w: Array, g: Array, lr: float, t: int, v: Array, b: Array) -> None:
    inside = rule.rate == "inside"
    v *= rule.rho
    v += (1.0 - rule.rho) * g * g
    b *= rule.momentum
    b += (lr * g if inside else g) / _root(rule, v)
    w -= b if inside else lr * b


def _adagrad(rule: Any, w: Array, g: Array, lr: float, t: int, s: Array) -> None:
    s += g * g
    w -= lr * g / _root(rule, s)


# The formula of each rule, and the names of its buffers.
UPDATES: dict[type, tuple[Update, tuple[str, ...]]] = {
    spec.SGD: (_sgd, ("velocity",)),
    spec.Adam: (_adam, ("mean", "square")),
    spec.AdamW: (_adam, ("mean", "square")),
    spec.RMSprop: (_rmsprop, ("square", "velocity")),
    spec.Adagrad: (_adagrad, ("sum",)),
}
