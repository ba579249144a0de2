"""nnbench's update rules in keras.ops, and Keras' own for native semantics; one entry each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.model import optimizers as spec
from nnbench.model.formulas import FAMILIES, given

# (rule, w, gradient with weight decay, lr, step from 1, buffers) -> the new w and buffers
Update = Callable[[Any, Any, Any, Any, Any, list[Any]], tuple[Any, list[Any]]]


def _sgd(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    if not rule.momentum:
        return w - lr * g, buffers
    v = rule.momentum * buffers[0] + g
    return w - lr * (g + rule.momentum * v if rule.nesterov else v), [v]


def _adam(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    m = rule.beta1 * buffers[0] + (1.0 - rule.beta1) * g
    v = rule.beta2 * buffers[1] + (1.0 - rule.beta2) * g * g
    # Not ops.cast: TensorFlow takes a Python number through float32 on its way to float64.
    beta1, beta2 = (ops.convert_to_tensor(b, dtype=w.dtype) for b in (rule.beta1, rule.beta2))
    root = ops.sqrt(v / (1.0 - ops.power(beta2, t)))
    corrected = m / (1.0 - ops.power(beta1, t))
    return w - lr * corrected / (root + rule.epsilon), [m, v]


def _rmsprop(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    v = rule.rho * buffers[0] + (1.0 - rule.rho) * g * g
    b = rule.momentum * buffers[1] + g / (ops.sqrt(v) + rule.epsilon)
    return w - lr * b, [v, b]


def _adagrad(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    s = buffers[0] + g * g
    return w - lr * g / (ops.sqrt(s) + rule.epsilon), [s]


UPDATES: dict[type, tuple[Update, int]] = {
    spec.SGD: (_sgd, 1),
    spec.Adam: (_adam, 2),
    spec.AdamW: (_adam, 2),
    spec.RMSprop: (_rmsprop, 2),
    spec.Adagrad: (_adagrad, 1),
}


def _dense(gradient: Any, variable: Any) -> Any:
    """Return the gradient of an embedding as an array; TensorFlow has it as slices."""
    sliced = hasattr(gradient, "dense_shape")
    return ops.zeros_like(variable) + gradient if sliced else gradient


class Matched(keras.optimizers.Optimizer):
    """Runs a rule of the table above; works in `fit` and inside a compiled loop."""

    def __init__(self, rule: spec.Optimizer) -> None:
        super().__init__(learning_rate=0.0, name="matched")
        self.rule = rule
        self.update, self.count = UPDATES[type(rule)]

    def build(self, variables: Any) -> None:
        """Make the rule's buffers for every variable."""
        if self.built:
            return
        super().build(variables)
        start = getattr(self.rule, "initial", 0.0)
        plain = isinstance(self.rule, spec.SGD) and not self.rule.momentum
        self.buffers = [
            [
                self.add_variable_from_reference(v, name=f"buffer{i}")
                for i in range(0 if plain else self.count)
            ]
            for v in variables
        ]
        for buffer in (b for bs in self.buffers for b in bs):
            buffer.assign(ops.full(buffer.shape, start, dtype=buffer.dtype))

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Clip the gradients, if asked to, and update the variables."""
        variables = trainable_variables or self._trainable_variables
        grads = [_dense(g, v) for g, v in zip(grads, variables, strict=True)]
        if self.rule.clip_norm is not None:
            norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
            factor = ops.minimum(self.rule.clip_norm / (norm + 1e-6), ops.ones_like(norm))
            grads = [g * factor for g in grads]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        buffers = self.buffers[self._get_variable_index(variable)]
        lr = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        values = [ops.convert_to_tensor(b) for b in buffers]
        w = ops.convert_to_tensor(variable)
        if isinstance(self.rule, spec.AdamW):
            w = w - lr * self.rule.weight_decay * w
        elif self.rule.weight_decay:
            gradient = gradient + self.rule.weight_decay * w
        new, new_buffers = self.update(self.rule, w, gradient, lr, step, values)
        for buffer, value in zip(buffers, new_buffers, strict=True):
            self.assign(buffer, value)
        self.assign(variable, new)


# Keras' own class of each rule, and its arguments that are called otherwise in the spec.
NATIVE: dict[type, tuple[Any, dict[str, str]]] = {
    spec.SGD: (keras.optimizers.SGD, {}),
    spec.Adam: (keras.optimizers.Adam, {"beta1": "beta_1", "beta2": "beta_2"}),
    spec.AdamW: (keras.optimizers.AdamW, {"beta1": "beta_1", "beta2": "beta_2"}),
    spec.RMSprop: (keras.optimizers.RMSprop, {}),
    spec.Adagrad: (keras.optimizers.Adagrad, {"initial": "initial_accumulator_value"}),
}


def _native(rule: Any) -> keras.optimizers.Optimizer:
    """Return Keras' own optimizer of that name, with the values that are set."""
    kind, names = NATIVE[type(rule)]
    values = dataclasses.asdict(rule)
    del values["name"]
    if not isinstance(rule, spec.AdamW):  # AdamW takes no None, the others no 0
        values["weight_decay"] = values["weight_decay"] or None
    values["global_clipnorm"] = values.pop("clip_norm")
    arguments = {names.get(key, key): v for key, v in values.items() if v is not None}
    return kind(learning_rate=0.0, **arguments)


def build(task: Task) -> keras.optimizers.Optimizer:
    """Return nnbench's rule in matched semantics, Keras' own in native.

    Raises UnsupportedSpec for an unknown optimizer.
    """
    supported(UPDATES, type(task.optimizer), "optimizer", "keras")
    return Matched(task.optimizer) if task.semantics == "matched" else _native(task.optimizer)


def effective(optimizer: keras.optimizers.Optimizer, rule: Any) -> dict[str, Any]:
    """Return what the optimizer computes with, by dotted key, read from the object."""
    if isinstance(optimizer, Matched):
        values = given(optimizer.rule)
    else:
        config, names = optimizer.get_config(), NATIVE[type(rule)][1]
        values = {key: config[names.get(key, key)] for key in FAMILIES["keras"][type(rule)]}
        values["weight_decay"] = values["weight_decay"] or 0.0
    return {f"optimizer.{key}": value for key, value in values.items()}
