"""nnbench's update rules in keras.ops, and Keras' own for native semantics; one entry each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from nnbench.backends.protocol import Task
from nnbench.backends.trainers import supported
from nnbench.errors import UnsupportedSpec
from nnbench.model import optimizers as spec
from nnbench.model.formulas import FAMILIES, FORMS, check_own, forms, given

# (rule, w, gradient with weight decay, lr, step from 1, buffers) -> the new w and buffers
Update = Callable[[Any, Any, Any, Any, Any, list[Any]], tuple[Any, list[Any]]]


def _sgd(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    if not rule.momentum:
        return w - lr * g, buffers
    inside = rule.rate == "inside"
    g = lr * g if inside else g
    v = rule.momentum * buffers[0] + g
    step = g + rule.momentum * v if rule.nesterov else v
    return w - (step if inside else lr * step), [v]


def _adam(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    m = rule.beta1 * buffers[0] + (1.0 - rule.beta1) * g
    v = rule.beta2 * buffers[1] + (1.0 - rule.beta2) * g * g
    # Not ops.cast: TensorFlow takes a Python number through float32 on its way to float64.
    beta1, beta2 = (ops.convert_to_tensor(b, dtype=w.dtype) for b in (rule.beta1, rule.beta2))
    correction = 1.0 - ops.power(beta2, t)
    kept = [m, v]
    if rule.amsgrad:
        v = ops.maximum(buffers[2], v)
        kept.append(v)
    if rule.epsilon_correction == "after":
        root = _root(rule, v / correction)
    else:
        root = _root(rule, v) / ops.sqrt(correction)
    corrected = m / (1.0 - ops.power(beta1, t))
    return w - lr * corrected / root, kept


def _root(rule: Any, v: Any) -> Any:
    """Return the root of v with epsilon beside it or under it."""
    inside = rule.epsilon_root == "inside"
    return ops.sqrt(v + rule.epsilon) if inside else ops.sqrt(v) + rule.epsilon


def _rmsprop(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    v = rule.rho * buffers[0] + (1.0 - rule.rho) * g * g
    inside = rule.rate == "inside"
    b = rule.momentum * buffers[1] + (lr * g if inside else g) / _root(rule, v)
    return w - (b if inside else lr * b), [v, b]


def _adagrad(rule: Any, w: Any, g: Any, lr: Any, t: Any, buffers: list[Any]) -> Any:
    s = buffers[0] + g * g
    return w - lr * g / _root(rule, s), [s]


UPDATES: dict[type, tuple[Update, int]] = {
    spec.SGD: (_sgd, 1),
    spec.Adam: (_adam, 2),
    spec.AdamW: (_adam, 2),
    spec.RMSprop: (_rmsprop, 2),
    spec.Adagrad: (_adagrad, 1),
}


def is_kernel(variable: Any) -> bool:
    """Tell whether Keras calls the weights a kernel, or the rows of an embedding."""
    return variable.name in ("kernel", "embeddings")


def _dense(gradient: Any, variable: Any) -> Any:
    """Return the gradient of an embedding as an array; TensorFlow has it as slices."""
    sliced = hasattr(gradient, "dense_shape")
    return ops.zeros_like(variable) + gradient if sliced else gradient


class Matched(keras.optimizers.Optimizer):
    """Runs a rule of the table above; works in `fit` and inside a compiled loop.

    A step of several `batches` gathers their gradients, each times its `share`, until the `last`.
    """

    def __init__(self, rule: Any, batches: int = 1) -> None:
        super().__init__(learning_rate=0.0, name="matched")
        self.rule, self.accumulates = rule, batches > 1
        self.update, self.count = UPDATES[type(rule)]
        self.count += getattr(rule, "amsgrad", False)

    def build(self, variables: Any) -> None:
        """Make the rule's buffers for every variable."""
        if self.built:
            return
        super().build(variables)
        self.kernels = [is_kernel(v) for v in variables]
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
        if self.accumulates:
            self.gathered = [
                self.add_variable_from_reference(v, name="gathered") for v in variables
            ]
            self.share, self.last = (
                self.add_variable((), "zeros", dtype=variables[0].dtype, name=name)
                for name in ("share", "last")
            )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Take a step, or only keep the gradients where the batch is not the step's last."""
        variables = trainable_variables or self._trainable_variables
        grads = [_dense(g, v) for g, v in zip(grads, variables, strict=True)]
        if not self.accumulates:
            self._take(grads, variables)
            return
        sums = [kept + self.share * g for kept, g in zip(self.gathered, grads, strict=True)]

        def keep(values: Any) -> None:
            for variable, value in zip(self.gathered, values, strict=True):
                variable.assign(value)

        def take() -> None:
            self._take(sums, variables)
            keep([ops.zeros_like(g) for g in sums])

        if keras.backend.backend() != "jax":
            ops.cond(self.last > 0, take, lambda: keep(sums))
            return
        # A branch cannot assign there: take the step, and back where the batch is not the last.
        keep(sums)
        changed = [*variables, *self.variables]
        before = [ops.convert_to_tensor(v) for v in changed]
        take()
        for variable, value in zip(changed, before, strict=True):
            taken = ops.convert_to_tensor(variable)
            variable.assign(ops.where(self.last > 0, taken, value))

    def _take(self, grads: Any, variables: Any) -> None:
        """Clip the gradients, if asked to, and update the variables."""
        if (bound := self.rule.clip_value) is not None:
            grads = [ops.clip(g, -bound, bound) for g in grads]
        if self.rule.clip_norm is not None:
            norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
            bound = self.rule.clip_norm * ops.ones_like(norm)
            factor = bound / ops.maximum(norm + self.rule.clip_offset, bound)
            grads = [g * factor for g in grads]
        super().apply(grads, variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        index = self._get_variable_index(variable)
        buffers = self.buffers[index]
        lr = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        values = [ops.convert_to_tensor(b) for b in buffers]
        w = ops.convert_to_tensor(variable)
        spared = self.rule.decay_on == "kernels" and not self.kernels[index]
        if self.rule.weight_decay and not spared:
            if self.rule.decay == "decoupled":
                w = w - lr * self.rule.weight_decay * w
            else:
                gradient = gradient + self.rule.weight_decay * w
        new, new_buffers = self.update(self.rule, w, gradient, lr, step, values)
        for buffer, value in zip(buffers, new_buffers, strict=True):
            self.assign(buffer, value)
        self.assign(variable, new)


NOT_KERAS = ("name", "formulas", "decay_on")  # of the description
# Keras' own class of each rule, and its arguments that are called otherwise in the spec.
NATIVE: dict[type, tuple[Any, dict[str, str]]] = {
    spec.SGD: (keras.optimizers.SGD, {}),
    spec.Adam: (keras.optimizers.Adam, {"beta1": "beta_1", "beta2": "beta_2"}),
    spec.AdamW: (keras.optimizers.AdamW, {"beta1": "beta_1", "beta2": "beta_2"}),
    spec.RMSprop: (keras.optimizers.RMSprop, {}),
    spec.Adagrad: (keras.optimizers.Adagrad, {"initial": "initial_accumulator_value"}),
}


def accumulation(optimizer: Any) -> tuple[Any, ...]:
    """Return the variables of an optimizer that gathers gradients: a batch's share, if it is last.

    None of Keras' own, which counts the batches by itself.
    """
    gathers = getattr(optimizer, "accumulates", False)
    return (optimizer.share, optimizer.last) if gathers else ()


def _native(task: Task, variables: list[Any]) -> keras.optimizers.Optimizer:
    """Return Keras' own optimizer of that name, with the values that are set.

    Raises UnsupportedSpec for a form of the formula that its class does not have.
    """
    rule: Any = task.optimizer
    kind, names = NATIVE[type(rule)]
    check_own(rule, "keras", f"keras.optimizers.{kind.__name__}")
    if rule.clip_norm is not None and rule.clip_value is not None:
        raise UnsupportedSpec(
            f"Received optimizer.clip_norm={rule.clip_norm} and clip_value={rule.clip_value} with "
            "semantics=native; Keras takes one of them. Leave one out, or use semantics=matched."
        )
    values = {k: v for k, v in dataclasses.asdict(rule).items() if k not in (*FORMS, *NOT_KERAS)}
    if not isinstance(rule, spec.AdamW):  # AdamW takes no None, the others no 0
        values["weight_decay"] = values["weight_decay"] or None
    values |= {"global_clipnorm": values.pop("clip_norm"), "clipvalue": values.pop("clip_value")}
    arguments = {names.get(key, key): v for key, v in values.items() if v is not None}
    if task.gradient_accumulation_steps > 1:
        arguments["gradient_accumulation_steps"] = task.gradient_accumulation_steps
    optimizer = kind(learning_rate=0.0, **arguments)
    if rule.decay_on == "kernels" and values.get("weight_decay") != 0:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_kernel(v)])
    return optimizer


def build(task: Task, variables: list[Any]) -> keras.optimizers.Optimizer:
    """Return nnbench's rule in matched semantics, Keras' own in native.

    Raises UnsupportedSpec for an unknown optimizer.
    """
    supported(UPDATES, type(task.optimizer), "optimizer", "keras")
    if task.semantics == "native":
        return _native(task, variables)
    return Matched(task.optimizer, task.gradient_accumulation_steps)


def check_accumulation(task: Task, samples: int) -> None:
    """Raise UnsupportedSpec where Keras' own optimizer would go on in the next epoch."""
    batches, count = task.gradient_accumulation_steps, len(task.batches(0, task.visited(samples)))
    if task.semantics == "native" and count % batches:
        raise UnsupportedSpec(
            f"Received gradient_accumulation_steps={batches} with semantics=native; an epoch has "
            f"{count} batches, and Keras takes those left over into the next one: use a number "
            "that divides them, or semantics=matched."
        )


def effective(optimizer: keras.optimizers.Optimizer, rule: Any) -> dict[str, Any]:
    """Return what the optimizer computes with, by dotted key, read from the object."""
    if isinstance(optimizer, Matched):
        values = given(optimizer.rule)
    else:
        config, names = optimizer.get_config(), NATIVE[type(rule)][1]
        keys = [key for key in FAMILIES["keras"][type(rule)] if key not in FORMS]
        values = {key: config[names.get(key, key)] for key in keys}
        values |= {"weight_decay": config["weight_decay"] or 0.0} | forms(rule, "keras")
    return {f"optimizer.{key}": value for key, value in values.items()}
