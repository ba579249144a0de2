"""Steps of a program in Keras, taken by its own objects: `train_on_batch` of the compiled model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from nnbench.backends.keras.reading.net import Net, net_of
from nnbench.backends.program import Batch, one_hot
from nnbench.backends.protocol import DType, Params
from nnbench.errors import UnsupportedSpec
from nnbench.model import counter
from nnbench.model.layers import Dropout
from nnbench.model.reading import Reading

SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "crossentropy", "ce")


def steps(
    built: Any, reading: Reading, batches: Iterable[Batch], dtype: DType
) -> Iterator[Params]:
    """Take a step per batch in `dtype`; yield the weights after each.

    In float64 it is the same model, made from its configuration. Raises UnsupportedSpec where
    that cannot be done.
    """
    given = tuple(getattr(built, "_nnbench_takes", ())) or _input_shape(built, reading)
    with ExitStack() as settings:
        settings.enter_context(process.floatx(dtype))
        settings.enter_context(exact_numbers(dtype))
        model = built
        if dtype == "float64":
            process.check_precision(dtype)
            model = _cast(built)
        net = net_of(model, given, _dtype_of(model, dtype))
        keys = _Keys(net)
        settings.enter_context(keys.drawn())
        variables = {
            key: variable
            for key, variable in net.variables().items()
            if key.layer < len(reading.layers)
        }
        rates = _rates(built) if dtype == "float64" else None
        for step, batch in enumerate(batches):
            keys.take(batch.keys)
            if rates is not None:
                model.optimizer.learning_rate = rates(step)
            inputs = batch.inputs.reshape(len(batch.inputs), *given)
            model.train_on_batch(inputs, _targets(model, reading, batch, dtype))
            yield {k: np.array(ops.convert_to_numpy(v)) for k, v in variables.items()}


def _input_shape(model: Any, reading: Reading) -> tuple[int, ...]:
    shape = getattr(model, "input_shape", None)
    return tuple(shape[1:]) if isinstance(shape, tuple) else reading.input_shape


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


def _cast(built: Any) -> Any:
    """Return the same compiled model in float64, from its configuration and its weights."""
    if not (is_functional(built) or is_sequential(built)):
        raise UnsupportedSpec("A model of a class of your own cannot be made again in float64.")
    try:
        config = _in_float64(built.get_config())
        model = type(built).from_config(config)
        if not model.built:
            model.build(built.input_shape)
        model.set_weights([np.asarray(w, _wide(w)) for w in built.get_weights()])
        _compile(model, built)
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedSpec(f"The model cannot be made again in float64 ({said}).") from None
    return model


def _rates(built: Any) -> Callable[[int], float] | None:
    """Return the learning rate by step, None where it is constant.

    A schedule computes in float32 whatever the model does: its own numbers are taken.
    """
    schedule = built.optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return None
    return lambda step: float(ops.convert_to_numpy(schedule(step)))


def _wide(array: Any) -> Any:
    kind = np.asarray(array).dtype
    return np.float64 if kind.kind == "f" else kind


def _in_float64(config: Any) -> Any:
    """Return a configuration with float64 wherever it has float32."""
    if isinstance(config, Mapping):
        return {key: _in_float64(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_float64(value) for value in config)
    return "float64" if config == "float32" else config


def _compile(model: Any, built: Any) -> None:
    """Compile `model` as `built` was, the learning rate as it was written."""
    rule = keras.optimizers.serialize(built.optimizer)
    constant = isinstance(built.optimizer._learning_rate, keras.Variable)
    rate = compiled.shortest(built.optimizer._learning_rate) if constant else 0.0
    rule["config"]["learning_rate"] = rate
    rule = _in_float64(rule)
    optimizer = keras.optimizers.deserialize(rule)
    if optimizer.weight_decay is not None:  # TensorFlow would take a number through float32
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
        loss = _same_loss(loss)
    model.compile(optimizer, loss, run_eagerly=built.run_eagerly, jit_compile=built.jit_compile)


def _same_loss(loss: Any) -> Any:
    """Return a loss with the same attributes in float64; its configuration would lose some."""
    found = object.__new__(type(loss))
    found.__dict__.update(loss.__dict__)
    found._dtype, found._dtype_policy = "float64", keras.dtype_policies.get("float64")
    return found


class _Keys:
    """The keys of what a net's dropout draws; Keras' own draws are put aside meanwhile."""

    def __init__(self, net: Net) -> None:
        self._keys: dict[int, keras.Variable] = {}
        self._by_seed: dict[int, int] = {}
        for position, (layer, link) in enumerate(net.layers):
            if isinstance(layer, Dropout):
                self._by_seed[id(link.operation.seed_generator)] = position
                self._keys[position] = keras.Variable(
                    np.zeros(2, np.int32), trainable=False, dtype="int32"
                )

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
