"""Update rules, in place, as the spec's formulas say."""

from __future__ import annotations

from nnbench import spec
from nnbench.backends.numpy.layers import Array
from nnbench.trainer import State


class SGD:
    """`g = gradient + weight_decay w; v = momentum v + g; w = w - lr v` for every parameter."""

    def __init__(self, rule: spec.SGD, parameters: list[Array]) -> None:
        self.rule = rule
        self.parameters = parameters
        self.velocities = [0.0 * w for w in parameters] if rule.momentum else []

    def step(self, grads: list[Array], lr: float) -> None:
        """Update the parameters from `grads`, in the same order, with learning rate `lr`."""
        for i, (w, g) in enumerate(zip(self.parameters, grads, strict=True)):
            if self.rule.weight_decay:
                g = g + self.rule.weight_decay * w  # noqa: PLW2901
            if self.rule.momentum:
                self.velocities[i] *= self.rule.momentum
                self.velocities[i] += g
                g = self.velocities[i]  # noqa: PLW2901
            w -= lr * g  # noqa: PLW2901

    def state(self) -> State:
        """Return the velocities by position."""
        return {f"velocity.{i}": v for i, v in enumerate(self.velocities)}

    def restore(self, state: State) -> None:
        """Take back what `state` returned."""
        for i, v in enumerate(self.velocities):
            v[...] = state[f"velocity.{i}"]
