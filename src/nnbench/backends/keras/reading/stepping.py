"""Steps of a program in Keras, taken by its own objects: `train_on_batch` of the compiled model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from nnbench.backends.keras import process
from nnbench.backends.keras.randomness import _shifted, _word
from nnbench.backends.keras.reading import compiled
from nnbench.backends.keras.reading.chain import is_functional, is_sequential
from nnbench.backends.keras.reading.exact import exact_numbers
from nnbench.backends.keras.reading.net import Net, net_of, ready
from nnbench.backends.program import Batch, one_hot
from nnbench.backends.protocol import DType, Params
from nnbench.errors import ConfigError, UnsupportedSpec
from nnbench.model import counter
from nnbench.model.layers import Dropout
from nnbench.model.reading import Reading

OWN_STEPS = 5  # of a model beside the same one in float64
MADE_AGAIN = 2e-3  # of the way that a parameter has come, how far apart they may be then
LEAST_MOVED = 1e-2  # of the way of the parameter that has come furthest
ROUNDING = 1e-6  # of float32, of the parameter itself
SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "crossentropy", "ce")


def steps(built: Any, reading: Reading, batches: Iterable[Batch], dtype: DType) -> Iterator[Params]:
    """Take a step per batch in `dtype`; yield the weights after each.

    In float64 it is the same model, made from its configuration; the model itself takes the first
    steps beside it. Raises UnsupportedSpec where it cannot be made, or does something else.
    """
    given = ready(built, reading)
    with ExitStack() as settings:
        if dtype == "float64":
            process.check_precision(dtype)
        model = _cast(built) if dtype == "float64" else built
        followed = [_Followed(each, reading, given) for each in dict.fromkeys((model, built))]
        keys = _Keys([each.net for each in followed])
        settings.enter_context(keys.drawn())
        rates = _rates(built) if dtype == "float64" else None
        start = followed[-1].weights()
        for step, batch in enumerate(batches):
            keys.take(batch.keys)
            if rates is not None:
                model.optimizer.learning_rate = rates(step)
            with process.floatx(dtype), exact_numbers(dtype):
                found = followed[0].step(batch, dtype)
            if len(followed) > 1 and step < OWN_STEPS:
                _check_same(followed[1].step(batch, "float32"), found, start)
            yield found


class _Followed:
    """A compiled model that takes steps, and its weights."""

    def __init__(self, model: Any, reading: Reading, given: tuple[int, ...]) -> None:
        self.model, self.reading, self.given = model, reading, given
        self.net = net_of(model, given, _dtype_of(model, "float32"))
        self._variables = {
            key: variable
            for key, variable in self.net.variables().items()
            if key.layer < len(reading.layers)
        }

    def step(self, batch: Batch, dtype: DType) -> Params:
        """Take one step; return the weights after it."""
        inputs = batch.inputs.reshape(len(batch.inputs), *self.given)
        if inputs.dtype.kind == "f":
            inputs = inputs.astype(dtype)
        self.model.train_on_batch(inputs, _targets(self.model, self.reading, batch, dtype))
        return self.weights()

    def weights(self) -> Params:
        """Return the present weights."""
        return {k: np.array(ops.convert_to_numpy(v)) for k, v in self._variables.items()}


def _check_same(own: Params, again: Params, start: Params) -> None:
    """Raise UnsupportedSpec where a model and the one made again from it take other ways.

    Held against how far each parameter has come, one that hardly moves against all of them.
    """
    moved = {key: float(np.linalg.norm(again[key] - start[key])) for key in again}
    least = LEAST_MOVED * max(moved.values())
    for key, value in own.items():
        apart = float(np.linalg.norm(value - again[key]))
        if not apart <= MADE_AGAIN * max(moved[key], least) + ROUNDING * float(
            np.linalg.norm(value)
        ):
            raise UnsupportedSpec("The model made again in float64 computes something else.")


def _dtype_of(model: Any, dtype: DType) -> str:
    found = getattr(model, "inputs", None)
    return str(found[0].dtype) if found else dtype


def _targets(model: Any, reading: Reading, batch: Batch, dtype: DType) -> Any:
    """Return the targets as the loss takes them: labels, or rows with a one at the label."""
    if batch.targets.ndim > 1:
        return batch.targets
    loss = compiled._user_loss(model)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    if name in SPARSE:
        return batch.targets
    return one_hot(batch.targets, reading.architecture().output_shape()[0], dtype)


def copied(built: Any) -> Any:
    """Return a copy of a compiled model. Raises ConfigError where its class cannot be copied."""
    try:
        return _again(built, lambda config: config)
    except UnsupportedSpec as error:
        raise ConfigError(f"Cannot copy the model: {error} Use FILE:build instead.") from None


def _cast(built: Any) -> Any:
    """Return the same compiled model in float64. Raises UnsupportedSpec."""
    with process.floatx("float64"):
        return _again(built, _in_float64)


def _again(built: Any, changed: Callable[[Any], Any]) -> Any:
    """Return a compiled model made from its configuration, `changed`, with its weights.

    Raises UnsupportedSpec.
    """
    if not (is_functional(built) or is_sequential(built)):
        raise UnsupportedSpec("A model of a class of your own cannot be made again.")
    try:
        model = type(built).from_config(changed(built.get_config()))
        if not model.built:
            model.build(built.input_shape)
        model.set_weights(built.get_weights())
        for again, own in zip(model.weights, built.weights, strict=True):
            again.trainable = own.trainable  # of single variables no configuration tells
        _same_functions(model, built)
        _compile(model, built, changed)
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedSpec(f"The model cannot be made again ({said.rstrip('.')}).") from None
    return model


def _rates(built: Any) -> Callable[[int], float] | None:
    """Return the learning rate by step, None where it is constant.

    A schedule computes in float32 whatever the model does: its own numbers are taken.
    """
    schedule = built.optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    return lambda step: float(ops.convert_to_numpy(schedule(step)))


def _in_float64(config: Any) -> Any:
    """Return a configuration with float64 wherever it has float32."""
    if isinstance(config, Mapping):
        return {key: _in_float64(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float64(value) for value in config)
    return "float64" if config == "float32" else config


def _compile(model: Any, built: Any, changed: Callable[[Any], Any]) -> None:
    """Compile `model` as `built` was, the learning rate as it was written."""
    rule = keras.optimizers.serialize(built.optimizer)
    constant = isinstance(built.optimizer._learning_rate, keras.Variable)
    if constant:
        rate = compiled.shortest(built.optimizer._learning_rate)
        rule["config"]["learning_rate"] = rate
    elif keras.config.floatx() == "float64":
        rule["config"]["learning_rate"] = 0.0  # `steps` sets it
    rule = changed(rule)
    optimizer = keras.optimizers.deserialize(rule)
    double = keras.config.floatx() == "float64"
    if double and optimizer.weight_decay is not None:  # a number would go through float32
        optimizer.weight_decay = ops.convert_to_tensor(optimizer.weight_decay, dtype="float64")
    if hasattr(built.optimizer, "_exclude_from_weight_decay_pattern"):
        optimizer._exclude_from_weight_decay_pattern = (
            built.optimizer._exclude_from_weight_decay_pattern
        )
    if excluded := getattr(built.optimizer, "_exclude_from_weight_decay", None):
        before = {built.optimizer._var_key(v): i for i, v in enumerate(built.variables)}
        listed = [model.variables[before[key]] for key in excluded if key in before]
        optimizer._exclude_from_weight_decay = {optimizer._var_key(v) for v in listed}
    loss = compiled._user_loss(built)
    if isinstance(loss, keras.losses.Loss):
        loss = _same_loss(loss, keras.config.floatx())
    model.compile(optimizer, loss, run_eagerly=built.run_eagerly, jit_compile=built.jit_compile)


def _same_functions(model: Any, built: Any) -> None:
    """Give layers the activations of those they were made from; names may mean others."""
    pairs = zip(model._flatten_layers(), built._flatten_layers(), strict=True)
    for again, own in pairs:
        if callable(getattr(own, "activation", None)):
            again.activation = own.activation


def _same_loss(loss: Any, dtype: str) -> Any:
    """Return a loss with the same attributes in `dtype`; its configuration would lose some."""
    found = object.__new__(type(loss))
    found.__dict__.update(loss.__dict__)
    found._dtype, found._dtype_policy = dtype, keras.dtype_policies.get(dtype)
    return found


class _Keys:
    """The keys of what a net's dropout draws; Keras' own draws are put aside meanwhile."""

    def __init__(self, nets: Sequence[Net]) -> None:
        self._keys: dict[int, keras.Variable] = {}
        self._by_seed: dict[int, int] = {}
        for position, (layer, link) in (pair for net in nets for pair in enumerate(net.layers)):
            if isinstance(layer, Dropout):
                self._by_seed[id(link.operation.seed_generator)] = position
                if position not in self._keys:
                    zeros = np.zeros(2, np.int32)
                    self._keys[position] = keras.Variable(zeros, trainable=False, dtype="int32")

    def take(self, keys: Mapping[int, Any]) -> None:
        """Let the next step draw by `keys`, those of nnbench by the position of the layer."""
        for position, variable in self._keys.items():
            words = [counter.signed(int(word)) for word in keys[position]]
            variable.assign(np.array(words, np.int32))

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Have Keras' dropout layers draw by the keys, at the rate that each asks for."""
        if not self._keys:
            yield
            return
        random = keras.src.backend.random
        before = random.dropout

        def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
            key = self._keys[self._by_seed[id(seed)]]
            values = int(np.prod(inputs.shape[1:]))
            index = ops.arange(ops.shape(inputs)[0] * values, dtype="int32")
            words = counter.bits(index, key.value, _shifted, _word)
            bits = _shifted(words, 32 - counter.FRACTION_BITS)
            kept = ops.greater_equal(bits, _word(counter.threshold(rate)))
            kept = ops.cast(ops.reshape(kept, ops.shape(inputs)), inputs.dtype)
            factor = ops.convert_to_tensor(1.0 / (1.0 - rate), dtype=inputs.dtype)
            return inputs * (kept * factor)

        random.dropout = dropout
        try:
            yield
        finally:
            random.dropout = before
