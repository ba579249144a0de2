"""The `xla` execution on JAX: a walk as one jitted program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax
from numpy.typing import NDArray

from nnbench.backends.keras import optimizers
from nnbench.backends.keras.whole import Program, WholeWalk
from nnbench.backends.protocol import Walk

Values = list[Any]  # of variables, in their order


class Xla(WholeWalk):
    """The values of all variables go round the loop; each has its last one when the walk ends.

    On a GPU a loop whose length is known need not ask the host before every step whether to go
    on: whole epochs have a program of their own there.
    """

    place = staticmethod(jnp.asarray)

    def _own_order(self, walk: Walk) -> NDArray[np.int64]:
        key = jax.random.fold_in(jax.random.key(self.task.seed % 2**31), walk.epoch)
        order = jax.random.permutation(key, walk.samples)
        return np.asarray(order, dtype=np.int64)[: self.task.visited(walk.samples)]

    def _program(self, capacity: int, size: int) -> Program:
        model, optimizer = self.model, self.optimizer
        kept = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
        most = capacity // size

        def walk(count: Any, values: Any, inputs: Any, targets: Any, *given: Any) -> Any:
            def body(batch: Any, carried: Any) -> Any:
                return self._step(kept, batch, size, carried, (inputs, targets), given)

            losses = jnp.zeros(most, jnp.float64)
            return lax.fori_loop(0, count, body, (losses, values))

        some = jax.jit(walk)
        on_gpu = self.inputs.device.platform == "gpu"
        whole: list[Any] = []

        def program(*arguments: Any) -> float:
            *given, count = arguments
            values = tuple([v.value for v in variables] for variables in kept)
            data = (values, self.inputs, self.targets, *given)
            if on_gpu and not whole:
                whole.append(jax.jit(walk, static_argnums=0).lower(most, *data).compile())
            losses, ends = whole[0](*data) if whole and count == most else some(count, *data)
            for variables, found in zip(kept, ends, strict=True):
                for variable, value in zip(variables, found, strict=True):
                    variable.assign(value)
            return float(np.asarray(losses)[:count].sum())

        return program

    def _step(
        self, kept: Any, batch: Any, size: int, carried: Any, data: Any, given: Sequence[Any]
    ) -> Any:
        """Take one step; return the losses so far and the values of all variables after it."""
        (learned, others, own), (inputs, targets) = kept, data
        order, rates, keys, shares, last = given
        losses, (weights, rest, state) = carried
        rows = lax.dynamic_slice(order, (batch * size,), (size,))
        x, t = (jnp.take(array, rows, axis=0, mode="clip") for array in (inputs, targets))
        drawn = [layer.key for layer in self.net.drawing.values()]
        rest = _with(others, rest, drawn, [keys[batch, i] for i in range(len(drawn))])
        told = [self.optimizer.learning_rate, *optimizers.accumulation(self.optimizer)]
        new = [values[batch] for values in (rates, shares, last)][: len(told)]
        state = _with(own, state, told, new)

        def loss(weights: Values) -> Any:
            mapping = [*zip(learned, weights, strict=True), *zip(others, rest, strict=True)]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                found = jnp.sum(self._losses(t, self.model(x, training=True)))
            after = [scope.get_current_value(variable) for variable in others]
            return found * self.task.loss.batch_scale(size), (found, after)

        (_, (found, rest)), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        weights, state = self.optimizer.stateless_apply(state, gradients, weights)
        return losses.at[batch].set(found.astype(losses.dtype)), (weights, rest, state)


def _with(variables: Sequence[Any], values: Values, some: Sequence[Any], new: Values) -> Values:
    """Return the values of `variables`, those of `some` of them replaced by `new` ones."""
    replaced = {id(variable): value for variable, value in zip(some, new, strict=True)}
    return [
        replaced[id(variable)].astype(value.dtype) if id(variable) in replaced else value
        for variable, value in zip(variables, values, strict=True)
    ]
