"""A single layer in NumPy, checked: in the place of the reference's own, net by net.

The layer is a class that meets `OwnLayer`; docs/mistakes.md has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np

from nnbench.backends.numpy import NumpyTrainer
from nnbench.backends.numpy.layers import Array, Arrays, Layer
from nnbench.backends.parity import Agreement
from nnbench.backends.protocol import DType, Task
from nnbench.errors import ConfigError
from nnbench.testing.cases import Case
from nnbench.testing.equality import equals_the_reference
from nnbench.testing.requirements import require

CLOSE = 1e4  # times the spacing of the dtype: sums over a few hundred terms


class OwnLayer(Protocol):
    """What is checked: `parameters` by role (kernel, bias), updated in place; `spec` describes it.

    `forward(x)` returns y; `param_grads(x, dy)` the gradient of each parameter by role, summed over
    the batch, where there are parameters; `input_grad(x, y, dy)` the gradient with respect to x.
    A layer may have `forward_training(x, key)` for what it does in training alone.
    """

    def __init__(self, parameters: Arrays, spec: Any) -> None: ...

    def forward(self, x: Array) -> Array:
        """Return y."""

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return the gradient with respect to x."""


class Adapted(Layer):
    """The reference's layer around one's own: says in a sentence what has the wrong shape."""

    def __init__(self, own: Any, parameters: Arrays, spec: Any) -> None:
        super().__init__(parameters, spec)
        self.own = own(parameters, spec)

    def forward(self, x: Array) -> Array:
        """Return y, of the shape that the description has."""
        return self._shaped("forward", self.own.forward(x), self._output(x))

    def forward_training(self, x: Array, key: Any) -> Array:
        """Return y as training has it."""
        if not hasattr(self.own, "forward_training"):
            return self.forward(x)
        return self._shaped("forward_training", self.own.forward_training(x, key), self._output(x))

    def param_grads(self, x: Array, dy: Array) -> Arrays:
        """Return the gradient of each parameter."""
        learnt = [role for role in self.parameters if role not in ("mean", "variance")]
        if not learnt:
            return {}
        require(hasattr(self.own, "param_grads"), f"it has {learnt[0]}, and no param_grads(x, dy)")
        found = self.own.param_grads(x, dy)
        for role in learnt:
            require(role in found, f"param_grads returns no gradient of {role}")
            self._shaped(f"param_grads, {role}:", found[role], self.parameters[role].shape)
        return {role: np.asarray(found[role]) for role in learnt}

    def input_grad(self, x: Array, y: Array, dy: Array) -> Array:
        """Return the gradient with respect to x."""
        return self._shaped("input_grad", self.own.input_grad(x, y, dy), x.shape)

    def _output(self, x: Array) -> tuple[int, ...]:
        return (len(x), *self.spec.output_shape(x.shape[1:]))

    @staticmethod
    def _shaped(what: str, found: Any, shape: tuple[int, ...]) -> Array:
        array = np.asarray(found)
        require(
            array.shape == shape,
            f"{what} returned an array of shape {array.shape}; must be {shape}",
        )
        return array


def trainer_of(own: Any, kind: str) -> type[NumpyTrainer]:
    """Return the reference with `own` layers wherever a net has a layer called `kind`."""

    class OwnTrainer(NumpyTrainer):
        def __init__(self, task: Task, splits: Any) -> None:
            super().__init__(task, splits)
            self.layers = [
                Adapted(own, layer.parameters, layer.spec) if layer.spec.name == kind else layer
                for layer in self.layers
            ]

    return OwnTrainer


def cases_of(kind: str, cases: dict[str, Case]) -> dict[str, Case]:
    """Return those of `cases` whose net has a layer called `kind`; ConfigError without any.

    Not those with dropout in evaluation: a layer of one's own is not told which samples it has.
    """
    found = {
        name: case
        for name, case in cases.items()
        if any(layer.name == kind for layer in case.task.architecture.layers)
        and not any(getattr(x, "in_evaluation", False) for x in case.task.architecture.layers)
    }
    if not found:
        names = {layer.name for c in cases.values() for layer in c.task.architecture.layers}
        raise ConfigError(f"Received the layer {kind}; must be one of {', '.join(sorted(names))}.")
    return found


def layer_checks(
    own: Any, kind: str, dtype: DType, cases: dict[str, Case]
) -> dict[str, Callable[[], Agreement | None]]:
    """Return the checks of a layer by name: its three functions, then every net that has it."""
    mine = cases_of(kind, cases)
    plain = {n: c for n, c in mine.items() if c.task.dtype == dtype}
    functions: dict[str, Callable[[], Agreement | None]] = {
        name: partial(_function, name, own, kind, plain)
        for name in ("forward", "param_grads", "input_grad")
    }
    make = trainer_of(own, kind)
    return functions | {
        name: partial(equals_the_reference, make, "reference", case) for name, case in mine.items()
    }


def _function(name: str, own: Any, kind: str, cases: dict[str, Case]) -> None:
    """Compare one function of the layer with the reference's, in every net, on its first batch."""
    for title, case in cases.items():
        for right, x, y, dy, key in _met(kind, case):
            mine = Adapted(own, right.parameters, right.spec)
            for layer in (right, mine):
                layer.forward_training(x, key)  # for what it remembers
            found, expected = (_results(name, layer, x, y, dy, key) for layer in (mine, right))
            for role, value in expected.items():
                off = float(np.abs(found[role] - value).max())
                largest = float(np.abs(value).max())
                allowed = CLOSE * float(np.finfo(value.dtype).eps) * max(largest, 1e-3)
                require(
                    off <= allowed,
                    f"{role} differs by {off:.1e}, of {largest:.1e} at most (net: {title})",
                )


def _results(name: str, layer: Layer, x: Array, y: Array, dy: Array, key: Any) -> dict[str, Any]:
    if name == "forward":
        return {"y": layer.forward_training(x, key)}
    if name == "input_grad":
        return {"dx": layer.input_grad(x, y, dy)}
    return {f"the gradient of {role}": g for role, g in layer.param_grads(x, dy).items()}


def _met(kind: str, case: Case) -> Iterator[tuple[Layer, Array, Array, Array, Any]]:
    """Yield each layer of the kind with x, y, dy and its key in the first step of a case."""
    trainer = NumpyTrainer(case.task, case.splits)
    trainer.load(case.params)
    walk = case.steps()[0]
    assert walk.order is not None
    rows = walk.order[: case.task.batch_size]
    keys = trainer.keys(0, 1)[0]
    seen = trainer.activations(trainer._gather("train", rows), keys)
    _, passed = trainer.backward(seen, trainer._target_matrix[rows])
    gradients = dict(zip(range(len(trainer.layers) - 1, -1, -1), passed, strict=False))
    for i, layer in enumerate(trainer.layers):
        if layer.spec.name == kind and i in gradients and seen[i].dtype.kind == "f":
            yield layer, seen[i], seen[i + 1], gradients[i], keys.get(i)
