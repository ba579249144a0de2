"""Programs in Keras, read: the room of `nnbench.backends.program` for compiled models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from nnbench.backends.keras.reading import compiled
from nnbench.backends.keras.reading.chain import (
    NotKnownError,
    is_functional,
    is_sequential,
    modes,
)
from nnbench.backends.keras.reading.net import Net, frozen, net_of, ready, unused, where
from nnbench.backends.keras.reading.places import COMPILED, defined, place
from nnbench.backends.keras.reading.places import recording as recording
from nnbench.backends.keras.reading.stepping import copied as copied
from nnbench.backends.keras.reading.stepping import steps as steps
from nnbench.backends.program import LARGEST_BYTES, About
from nnbench.backends.protocol import Params
from nnbench.errors import ConfigError
from nnbench.model import layers as spec
from nnbench.model.layers import Shape
from nnbench.model.reading import (
    NOTHING_LEARNS,
    Finding,
    Reading,
    Takes,
    Unknown,
    classic,
    held_still,
)
from nnbench.model.recognition import recognised

OVERRIDES = ("train_step", "compute_loss", "make_train_function")
NEVER_DROPS = "dropout never drops: call() of the model has no argument training"
TAKES: dict[int, Takes] = {1: "flat", 2: "no_channels", 3: "channels_last"}


def read(built: Any, about: About) -> Reading:
    """Return what a compiled model trains. Raises ConfigError for what cannot be trained here."""
    _check(built)
    given = _built(built, about)
    net = net_of(built, given, _input_dtype(built))
    unknown = [*net.unknown, *_overridden(built)]
    heard = {id(link.operation) for _, link in net.layers}
    silent = [x for x in built.layers if isinstance(x, keras.layers.Dropout) and id(x) not in heard]
    mute = bool(silent) and not modes(built)[0]
    parts: dict[str, Any] = {"loss": None, "optimizer": None, "schedule": None}
    activation: Any = "linear"
    stripped = False

    def part(name: str, function: Any) -> None:
        nonlocal activation, stripped
        try:
            found = function()
        except NotKnownError as error:
            unknown.append(Unknown(error.text, name, error.where))  # type: ignore[arg-type]
            return
        if name == "loss":
            found, activation, stripped = found
        parts[name] = found

    part("loss", lambda: compiled.read_loss(built, net.specs))
    part("optimizer", lambda: compiled.read_optimizer(built, *net.penalty()))
    part("schedule", lambda: compiled.read_schedule(built, about.epochs * about.steps))
    layers = net.layers[:-1] if stripped else net.layers
    net = replace(net, layers=layers)
    reading = Reading(
        framework="keras",
        versions={"keras": keras.__version__, keras.backend.backend(): _engine_version()},
        task=about.kind,
        input_shape=net.shape,
        takes="tokens" if about.inputs.dtype == "int64" else TAKES.get(len(given), "flat"),
        layers=tuple(net.specs),
        places=net.places,
        output_activation=activation,
        **parts,
        where={
            "loss": compiled.loss_place(built),
            "optimizer": place(built.optimizer),
            "schedule": place(built.optimizer),
            "compile": place(built, COMPILED),
        },
        unknown=tuple(unknown),
        remarks=(*(NEVER_DROPS,) * mute, *_unheard(net)),
        data_shape=about.inputs.shape,
    )
    if unknown:
        return replace(reading, findings=tuple(classic(reading)))
    _check_fits(reading, about)
    init = recognised(weights(built, reading))
    learnt = reading.architecture().parameter_shapes()
    still = tuple(frozen(net))
    if len(still) == len(learnt):
        reading = replace(reading, unknown=(NOTHING_LEARNS,))
    held, still = held_still(reading.layers, learnt, still)
    own = _findings(built, net)
    found = replace(reading, layers=held, init=init, frozen=tuple(map(str, still)))
    return replace(found, findings=(*classic(found), *own))


def seed(number: int) -> None:
    """Seed what initial weights are drawn with."""
    keras.utils.set_random_seed(number)


def weights(built: Any, reading: Reading) -> Params:
    """Return the present weights in nnbench's layout, which is Keras' own."""
    variables = _net(built, reading).variables()
    return {key: np.array(keras.ops.convert_to_numpy(v)) for key, v in variables.items()}


def _net(built: Any, reading: Reading) -> Net:
    """Return the layers of a model that was read."""
    net = net_of(built, ready(built, reading), _input_dtype(built))
    return replace(net, layers=net.layers[: len(reading.layers)])


def _check(built: Any) -> None:
    """Raise ConfigError for what is no compiled model, or one that nnbench cannot train."""
    if not isinstance(built, keras.Model):
        raise ConfigError(f"Received {type(built).__name__}; build() must return a keras.Model.")
    if not getattr(built, "compiled", False) or getattr(built, "optimizer", None) is None:
        raise ConfigError("Received a model that is not compiled; call model.compile(...) on it.")
    if built.built and built.count_params() * 4 > LARGEST_BYTES:
        size = built.count_params() * 4 / 2**30
        raise ConfigError(
            f"Received a model with {size:.1f} GiB of weights; at most 1 GiB is read."
        )
    half = {
        str(layer.compute_dtype)
        for layer in built._flatten_layers(include_self=False)
        if str(layer.compute_dtype) in ("float16", "bfloat16")
    }
    if half:
        raise ConfigError(
            f"Received a model that computes in {half.pop()}; nnbench reads float32 and float64. "
            "Leave the half-precision policy out."
        )


def _built(model: Any, about: About) -> Shape:
    """Build a model that waits for its inputs; return the shape that it takes.

    Raises ConfigError where it takes no such data.
    """
    data = about.inputs.shape
    if model.built and (given := _known_shape(model)) is not None:
        return given
    image = data if len(data) == 3 else (*data, 1)
    # Flat first: a Dense takes images, too, and would be another net.
    shapes = [(int(np.prod(data)),), image, data] if len(data) > 1 else [data]
    errors = []
    for shape in dict.fromkeys(shapes):
        sample = about.sample[:2].reshape(2, *shape)
        try:
            model(sample)
        except Exception as error:
            errors.append(str(error).strip().splitlines() or [type(error).__name__])
            continue
        return tuple(shape)
    raise ConfigError(
        f"The model does not take the data ({errors[0][0]}); set data= to what it takes."
    )


def _known_shape(model: Any) -> Shape | None:
    """Return the shape of the inputs of a built model, None where it does not say."""
    if not (is_functional(model) or is_sequential(model)):
        return None
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or None in shape[1:]:
        return None
    return shape[1:]


def _input_dtype(model: Any) -> str:
    found = getattr(model, "inputs", None)
    return str(found[0].dtype) if found else "float32"


def _check_fits(reading: Reading, about: About) -> None:
    """Raise ConfigError where the model takes or gives other numbers than the data has."""
    values, taken = int(np.prod(about.inputs.shape)), int(np.prod(reading.input_shape))
    if values != taken:
        raise ConfigError(
            f"Received a model for inputs of {taken} values; the data has {values} "
            f"({list(about.inputs.shape)}). Use data= of that shape."
        )
    outputs = reading.architecture().output_shape()
    if outputs != (about.outputs,):
        raise ConfigError(
            f"Received a model with outputs {list(outputs)}; the data needs [{about.outputs}]."
        )


def _overridden(built: Any) -> list[Unknown]:
    """Name what a class of the user's does otherwise in training."""
    found = []
    for name in OVERRIDES:
        own = getattr(type(built), name)
        module = getattr(own, "__module__", "") or ""
        if module.split(".")[0] != "keras" or name in vars(built):
            method = vars(built).get(name, own)
            found.append(Unknown(f"a {name} of your own", "optimizer", defined(method)))
    return found


def _findings(built: Any, net: Net) -> list[Finding]:
    found = []
    for position in dict.fromkeys(key.layer for key in frozen(net)):
        link = net.layers[position][1]
        found.append(
            Finding("frozen_layers", "the layer does not learn (trainable=False)", link.where,
                    position)
        )  # fmt: skip
    for layer in unused(built, net):
        found.append(Finding("unused_layers", "no output follows from the layer", where(layer)))
    for position, (layer, link) in enumerate(net.layers):
        if isinstance(layer, spec.Dropout) and layer.in_evaluation:
            text = "dropout is called with training=True: it drops in evaluation, too"
            found.append(Finding("dropout_ignores_evaluation", text, link.where, position))
    return found


def _unheard(net: Net) -> list[str]:
    """Say which dropouts were told training=True in vain."""
    return [
        f"{link.where}: training=True has no effect: fit, evaluate and predict of a functional "
        "model go before it, and evaluation does not drop"
        for layer, link in net.layers
        if isinstance(layer, spec.Dropout) and link.said and not link.always
    ]


def _engine_version() -> str:
    import importlib

    name = {"tensorflow": "tensorflow", "torch": "torch", "jax": "jax"}[keras.backend.backend()]
    return str(importlib.import_module(name).__version__)
