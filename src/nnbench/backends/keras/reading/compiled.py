"""What a Keras model was compiled with, in nnbench's words: loss, optimizer, learning rates."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np

from nnbench.backends.keras import process
from nnbench.backends.keras.reading.chain import NotKnownError
from nnbench.backends.keras.reading.places import COMPILED, defined, place
from nnbench.model import layers as spec
from nnbench.model.formulas import documented
from nnbench.model.layers import ActivationName, Layer
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.model.reading import Place
from nnbench.model.schedule import Constant, Listed, Schedule

# Keras' losses by the name of their function; the class of a loss has it too.
LOSSES = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "bce",
    "mean_squared_error": "mse",
    "mean_absolute_error": "l1",
    "huber": "huber",
}
CLASSES = {
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
    "MeanSquaredError": "mean_squared_error",
    "MeanAbsoluteError": "mean_absolute_error",
    "Huber": "huber",
}
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "auto")
SQUASHED = ("sigmoid", "softmax")  # which Keras on TensorFlow takes back, either for the other
OUTPUTS = ("sigmoid", "tanh", "relu", "softmax")  # what nnbench can have after the logits
ROWS = (
    "{} with an Embedding: Keras squares and clips the rows of its gradient before it adds up "
    "those of one token"
)
RULES: dict[str, type] = {
    "SGD": SGD, "Adam": Adam, "AdamW": AdamW, "RMSprop": RMSprop, "Adagrad": Adagrad,
}  # fmt: skip


def loss_place(model: Any) -> Place:
    """Return where the loss was made, or named in `compile`."""
    loss = _user_loss(model)
    if isinstance(loss, keras.losses.Loss):
        return place(loss)
    where = place(model, COMPILED)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", "loss")
    return Place(f"loss={name!r}" if isinstance(loss, str) else str(name), where.line, where.file)


def _user_loss(model: Any) -> Any:
    found = getattr(model, "_compile_loss", None)
    loss = getattr(found, "_user_loss", None)
    while isinstance(loss, list | tuple | dict) and len(loss) == 1:
        loss = next(iter(loss.values())) if isinstance(loss, dict) else loss[0]
    return loss


def read_loss(model: Any, layers: list[Layer]) -> tuple[Loss, ActivationName, bool]:
    """Return the loss, the output activation, and whether the last layer stands for this.

    Raises NotKnownError.
    """
    loss, where = _user_loss(model), loss_place(model)
    name, settings = _named(loss, where)
    weights = getattr(model._compile_loss, "_user_loss_weights", None)
    if weights not in (None, 1, 1.0, [1], [1.0]):
        raise NotKnownError(f"loss_weights={weights}", place(model, COMPILED))
    reduction = settings.pop("reduction", "sum_over_batch_size")
    if reduction not in (*MEANS, "sum"):
        raise NotKnownError(f"a loss with reduction={reduction}", where)
    ours = Loss(
        LOSSES[name],  # type: ignore[arg-type]
        over_batch="sum" if reduction == "sum" else "mean",
        delta=float(settings.pop("delta", 1.0)),
    )
    smoothing = float(settings.pop("label_smoothing", 0.0) or 0.0)
    from_logits = bool(settings.pop("from_logits", False))
    for key in ("name", "dtype", "fn", "axis", "ignore_class"):
        if (value := settings.pop(key, None)) not in (None, -1, "float32") and key not in (
            "name", "dtype", "fn",
        ):  # fmt: skip
            raise NotKnownError(f"a loss with {key}={value}", where)
    if settings:
        raise NotKnownError(f"a loss with {', '.join(settings)}", where)
    last = layers[-1].name if layers and isinstance(layers[-1], spec.Activation) else None
    if ours.name == "cross_entropy":
        return _cross_entropy(ours, name, smoothing, from_logits, last, where)
    if smoothing:
        raise NotKnownError(f"label_smoothing={smoothing:g} of {name}", where)
    if ours.name == "bce":
        if (last == "sigmoid" and not from_logits) or (last in SQUASHED and _recovers()):
            return ours, "sigmoid", True
        if from_logits:
            return ours, "sigmoid", False
        raise NotKnownError(f"{name} of outputs that are neither logits nor of a sigmoid", where)
    if last in OUTPUTS:
        return ours, last, True
    return ours, "linear", False


def _recovers() -> bool:
    """Tell whether Keras takes what a softmax or sigmoid was given for the logits.

    Source: keras.src.backend.tensorflow.nn, `_get_logits`.
    """
    return _on_tensorflow()


def _on_tensorflow() -> bool:
    return str(keras.backend.backend()) == "tensorflow"


def _cross_entropy(
    ours: Loss, name: str, smoothing: float, from_logits: bool, last: str | None, where: Place
) -> tuple[Loss, ActivationName, bool]:
    smooth = Loss(ours.name, ours.over_outputs, ours.over_batch, label_smoothing=smoothing)
    if (last == "softmax" and not from_logits) or (last in SQUASHED and _recovers()):
        return smooth, "softmax", True
    mistake = "softmax_twice" if last == "softmax" else "logits_as_probabilities"
    if last != "softmax" and from_logits:
        return smooth, "softmax", False
    if smoothing or (mistake == "logits_as_probabilities" and name != CLASSES[_SPARSE]):
        raise NotKnownError(f"{name} of outputs that are no probabilities", where)
    mistaken = Loss(ours.name, ours.over_outputs, ours.over_batch, mistake=mistake)  # type: ignore[arg-type]
    twice = mistake == "softmax_twice"
    return mistaken, "softmax" if twice else "linear", twice


_SPARSE = "SparseCategoricalCrossentropy"


def _named(loss: Any, where: Place) -> tuple[str, dict[str, Any]]:
    """Return Keras' name of a loss and its settings. Raises NotKnownError."""
    if loss is None or isinstance(loss, list | tuple | dict):
        raise NotKnownError("no loss, or several", where)
    if isinstance(loss, str):
        if loss in ("crossentropy", "ce"):
            return "sparse_categorical_crossentropy", {}
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            raise NotKnownError(f"loss={loss!r}", where) from None
    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        name = CLASSES.get(kind.__name__, "")
        if kind.__module__.split(".")[0] != "keras" or not name:
            raise NotKnownError(f"the loss {kind.__name__}", where)
        given = dict(getattr(loss, "_fn_kwargs", {}))  # get_config leaves some of them out
        return name, given | {"reduction": loss.reduction}
    name = getattr(loss, "__name__", type(loss).__name__)
    library = (getattr(loss, "__module__", None) or "").split(".")[0]
    if library != "keras" or name not in LOSSES:
        own = defined(loss)
        raise NotKnownError(f"a loss of your own, {name}", own if own.line else where)
    return name, {}


def read_optimizer(model: Any, penalty: float, on: str) -> Optimizer:
    """Return the optimizer with every constant and form; `penalty` is an l2 on `on`.

    Raises NotKnownError.
    """
    rule = model.optimizer
    where = place(rule)
    kind = RULES.get(type(rule).__name__)
    if kind is None or type(rule).__module__.split(".")[0] != "keras":
        raise NotKnownError(f"the optimizer {type(rule).__name__}", where)
    for key, plain in (
        ("clipnorm", None), ("use_ema", False), ("loss_scale_factor", None),
        ("gradient_accumulation_steps", None), ("centered", False),
    ):  # fmt: skip
        if (value := getattr(rule, key, plain)) not in (plain, 0):
            said = " (per variable)" if key == "clipnorm" else ""
            raise NotKnownError(f"{type(rule).__name__} with {key}={value}{said}", where)
    if _embeds(model) and (rule.clipvalue or rule.global_clipnorm or kind is not SGD):
        raise NotKnownError(ROWS.format(type(rule).__name__), where)
    found: dict[str, Any] = {
        "weight_decay": float(rule.weight_decay or 0.0),
        "clip_value": rule.clipvalue or None,
        "clip_norm": rule.global_clipnorm or None,
        "decay_on": _decay_on(model, where),
    }
    names = {
        "momentum": "momentum", "nesterov": "nesterov", "beta1": "beta_1", "beta2": "beta_2",
        "epsilon": "epsilon", "amsgrad": "amsgrad", "rho": "rho",
        "initial": "initial_accumulator_value",
    }  # fmt: skip
    for ours, keras_name in names.items():
        if ours in kind.__dataclass_fields__ and hasattr(rule, keras_name):  # type: ignore[attr-defined]
            found[ours] = getattr(rule, keras_name)
    if penalty:
        found |= _penalised(found, penalty, kind, where) | {"decay_on": on}
    return documented(kind(**found), "keras")


def _embeds(model: Any) -> bool:
    """Tell whether a gradient has rows for each token, as TensorFlow's of an Embedding."""
    if not _on_tensorflow():
        return False
    layers = model._flatten_layers(include_self=False)
    return any(isinstance(x, keras.layers.Embedding) and x.trainable for x in layers)


def _penalised(found: dict[str, Any], penalty: float, kind: type, where: Place) -> dict[str, Any]:
    """Return the decay that an l2 penalty `p w^2` is: coupled, of 2 p."""
    if found["weight_decay"] or found["clip_value"] or found["clip_norm"] or kind is AdamW:
        raise NotKnownError("regularizers together with decay or clipping", where)
    return {"weight_decay": 2.0 * penalty, "decay": "coupled"}


def _decay_on(model: Any, where: Place) -> str:
    """Return which parameters weight decay is for. Raises NotKnownError for another choice."""
    rule = model.optimizer
    if not rule.weight_decay:
        return "all"
    by_kind: dict[bool, set[bool]] = {True: set(), False: set()}
    pattern = getattr(rule, "_exclude_from_weight_decay_pattern", None)
    excluded = getattr(rule, "_exclude_from_weight_decay", None) or set()
    for variable in model.trainable_variables:
        named = pattern is not None and re.search(pattern, variable.name) is not None
        # Keras' own key for a variable.
        listed = getattr(rule, "_var_key", lambda v: v.path)(variable) in excluded
        by_kind[variable.name in ("kernel", "embeddings")].add(not (named or listed))
    kernels, others = by_kind[True], by_kind[False]
    if kernels <= {True} and others <= {True}:
        return "all"
    if kernels <= {True} and others <= {False}:
        return "kernels"
    raise NotKnownError("weight decay that spares other parameters than biases and norms", where)


def read_schedule(model: Any, steps: int) -> Schedule:
    """Return the learning rates, sampled over a run of `steps` steps where they change.

    Raises NotKnownError.
    """
    rate = model.optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        with process.floatx("float64"):
            rates = [float(keras.ops.convert_to_numpy(rate(step))) for step in range(steps)]
        if len(set(rates)) == 1:
            return Constant(rates[0])
        return Listed(tuple(rates))
    if isinstance(rate, keras.Variable):
        return Constant(shortest(rate))
    raise NotKnownError("a learning rate that a function of your own gives", defined(rate))


def shortest(rate: Any) -> float:
    """Return the number that was meant by a learning rate that Keras keeps in float32."""
    value = np.asarray(keras.ops.convert_to_numpy(rate))
    return float(str(value[()]))
