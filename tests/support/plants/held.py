"""Faults of layers that are told not to learn (`trainable=False`)."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.normalisation import BatchNorm
from nnbench.backends.protocol import Params, Task
from nnbench.model.network import ParamKey
from support.plants.layers import WithMutants


def learning(task: Task) -> Task:
    """Return the task with no layer held still."""
    net = task.architecture
    layers = tuple(
        dataclasses.replace(layer, trainable=True) if hasattr(layer, "trainable") else layer
        for layer in net.layers
    )
    return dataclasses.replace(task, architecture=dataclasses.replace(net, layers=layers))


class LearnsThroughout(NumpyTrainer):
    """Takes no notice of `trainable`."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(learning(task), splits)


class DecaysWhatIsHeld(NumpyTrainer):
    """No gradient reaches what is held, weight decay does."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self.held = [
            self._params[ParamKey(i, role)]
            for i, layer, before, _ in task.architecture.shapes()
            for role in layer.buffer_shapes(before)
            if role in ("kernel", "bias")
        ]
        right = self._optimizer.step

        def step(grads: Params, lr: float) -> None:
            right(grads, lr)
            for p in self.held:
                p[...] -= lr * self._optimizer.rule.weight_decay * p

        self._optimizer.step = step  # type: ignore[method-assign]


class CountsWhatIsHeld(NumpyTrainer):
    """The norm that is clipped has the gradients of what is held in it."""

    def __init__(self, task: Task, splits: Any) -> None:
        super().__init__(task, splits)
        self.whole = NumpyTrainer(learning(task), splits)

    def gradients(self, x: Any, t: Any, keys: Any) -> tuple[Any, Params]:
        logits, grads = super().gradients(x, t, keys)
        self.whole.load(self.params())
        _, every = self.whole.gradients(x, t, keys)
        bound = self._optimizer.rule.clip_norm
        norm = sum((g * g).sum() for g in every.values()) ** 0.5
        factor = bound / max(bound, norm) if bound else 1.0
        return logits, {key: factor * g for key, g in grads.items()}


class NormHoldsItsMoments(WithMutants):
    """Normalises by what was gathered, as Keras' batch norm with `trainable=False`."""

    class Norm(BatchNorm):
        def forward_training(self, x: Any, key: Any) -> Any:
            held = not self.spec.trainable
            return self.forward(x) if held else super().forward_training(x, key)

    mutants: ClassVar = {BatchNorm: Norm}


PLANTS: dict[type[NumpyTrainer], str] = {
    LearnsThroughout: "dense held still",
    DecaysWhatIsHeld: "conv2d held still",
    CountsWhatIsHeld: "dense held still, between",
    NormHoldsItsMoments: "batch_norm held still",
}
