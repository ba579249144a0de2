"""Native is native: a run equals a plain script that sets nothing but what the run sets.

The scripts below use their framework alone, as its documentation writes them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnbench.backends.parity import relative_difference
from nnbench.backends.protocol import Params, Task, Trainer
from nnbench.config.composition import compose
from nnbench.config.run import Cell
from nnbench.errors import UnsupportedSpec
from nnbench.model.formulas import documented_net
from nnbench.model.layers import (
    Activation,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
)
from nnbench.model.network import ParamKey
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.testing.cases import BATCH, Case, case
from support.backends import factory, natively

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
RATE = 0.05
RELU = Activation("relu")
OPTIMIZERS: dict[str, tuple[Optimizer, str, dict[str, Any], dict[str, Any]]] = {
    # nnbench's rule, the class, what a script sets in torch and in Keras: what the rule sets.
    "sgd": (SGD(), "SGD", {}, {}),
    "sgd momentum": (SGD(momentum=0.9), "SGD", {"momentum": 0.9}, {"momentum": 0.9}),
    "sgd nesterov": (
        SGD(momentum=0.9, nesterov=True),
        "SGD",
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "nesterov": True},
    ),
    "adam": (Adam(), "Adam", {}, {}),
    "adam beta2": (Adam(beta2=0.99), "Adam", {"betas": (0.9, 0.99)}, {"beta_2": 0.99}),
    "adam epsilon": (Adam(epsilon=0.1), "Adam", {"eps": 0.1}, {"epsilon": 0.1}),
    "adam decay": (
        Adam(weight_decay=0.02),
        "Adam",
        {"weight_decay": 0.02},
        {"weight_decay": 0.02},
    ),
    "adam amsgrad": (Adam(amsgrad=True), "Adam", {"amsgrad": True}, {"amsgrad": True}),
    "adamw": (AdamW(), "AdamW", {}, {}),
    "adamw amsgrad": (AdamW(amsgrad=True), "AdamW", {"amsgrad": True}, {"amsgrad": True}),
    "sgd decay": (SGD(weight_decay=0.02), "SGD", {"weight_decay": 0.02}, {"weight_decay": 0.02}),
    "rmsprop": (RMSprop(), "RMSprop", {}, {}),
    "rmsprop momentum": (
        RMSprop(momentum=0.5),
        "RMSprop",
        {"momentum": 0.5},
        {"momentum": 0.5},
    ),
    "rmsprop decay": (
        RMSprop(weight_decay=0.02),
        "RMSprop",
        {"weight_decay": 0.02},
        {"weight_decay": 0.02},
    ),
    "adagrad": (Adagrad(), "Adagrad", {}, {}),
}
NETS: dict[str, Case] = {
    "dense": case(Dense(6), RELU, inputs="flat"),
    "batch_norm": case(Dense(6), BatchNorm(), RELU, inputs="flat"),
    "layer_norm": case(Dense(6), LayerNorm(), RELU, Dropout(0.0), inputs="flat"),
    "images": case(Conv2d(3), BatchNorm(), RELU, MaxPool2d(), Flatten()),
    "activations": case(
        Dense(6),
        LeakyReLU(),
        Dense(5),
        Activation("gelu"),
        Dense(5),
        Activation("silu"),
        inputs="flat",
    ),
    "tokens": case(Embedding(11, 3), Flatten(), Dense(5), Activation("tanh"), inputs="tokens"),
}


# For comparing frameworks with each other; without biases before a batch norm, whose gradients are
# rounding alone, of which adaptive rules make steps.
NETS["two_norms"] = case(
    Dense(6, bias=False), BatchNorm(), RELU, Dense(5, bias=False), LayerNorm(), inputs="flat"
)


def native(given: Case, execution: str, **changes: Any) -> Task:
    """Return the task of a case in native semantics, its constants left open."""
    return natively(given.on(execution), **changes)


def batches(given: Case) -> list[tuple[NDArray[Any], NDArray[Any], float]]:
    """Return inputs, labels and rate of every step of three epochs; a rate for each epoch."""
    data, found = given.splits["train"], []
    for epoch, walk in enumerate(given.walks()):
        assert walk.order is not None
        for start in range(0, len(walk.order), BATCH):
            rows = walk.order[start : start + BATCH]
            found.append((data.inputs[rows], data.targets[rows], RATE * 0.1**epoch))
    return found


def trained(trainer: Trainer, given: Case) -> Params:
    """Train along the walks with the rates of `batches`."""
    for epoch, walk in enumerate(given.walks()):
        trainer.train(dataclasses.replace(walk, lr=np.full_like(walk.lr, RATE * 0.1**epoch)))
    return trainer.params()


def torch_script(name: str, given: Case, kind: str, settings: dict[str, Any]) -> list[Any]:
    """Train a plain PyTorch net from its own initial weights; return its state in order."""
    nn = torch.nn
    with torch.random.fork_rng():
        torch.manual_seed(given.task.seed)
        layers = {
            "dense": lambda: [nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 4)],
            "batch_norm": lambda: [
                nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)
            ],
            "layer_norm": lambda: [
                nn.Linear(12, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4)
            ],
            "activations": lambda: [
                nn.Linear(12, 6), nn.LeakyReLU(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 5),
                nn.SiLU(), nn.Linear(5, 4),
            ],
            "images": lambda: [
                nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                Channels(), nn.Flatten(), nn.Linear(18, 4),
            ],
            "tokens": lambda: [
                nn.Embedding(11, 3), nn.Flatten(), nn.Linear(27, 5), nn.Tanh(), nn.Linear(5, 4)
            ],
        }[name]  # fmt: skip
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            model = nn.Sequential(*layers())
        finally:
            torch.set_default_dtype(default)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=RATE, **settings)
    every = given.task.gradient_accumulation_steps
    for step, (x, t, rate) in enumerate(batches(given)):
        inputs = torch.from_numpy(x) if name == "tokens" else torch.from_numpy(x.astype("float64"))
        if x.ndim == 4:
            inputs = inputs.permute(0, 3, 1, 2) / 255
        for group in optimizer.param_groups:
            group["lr"] = rate
        if step % every == 0:
            optimizer.zero_grad()
        (nn.functional.cross_entropy(model(inputs), torch.from_numpy(t)) / every).backward()
        if step % every == every - 1:
            optimizer.step()
    return [v.detach().numpy() for v in model.state_dict().values() if v.is_floating_point()]


class Channels(torch.nn.Module):  # type: ignore[misc]
    """Flatten in nnbench's order of axes, so that the next layer's weights can be compared."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1)


def keras_script(name: str, given: Case, kind: str, settings: dict[str, Any]) -> list[Any]:
    """Train a plain Keras net with `fit`, from its own seeded initial weights."""
    own, seed = keras.layers, given.task.seed << 8

    def glorot(position: int) -> dict[str, Any]:
        return {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed + position)}

    uniform = keras.initializers.RandomUniform(seed=seed)
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        layers = {
            "dense": lambda: [own.Dense(6, **glorot(0)), own.ReLU(), own.Dense(4, **glorot(2))],
            "batch_norm": lambda: [
                own.Dense(6, **glorot(0)), own.BatchNormalization(), own.ReLU(),
                own.Dense(4, **glorot(3)),
            ],
            "layer_norm": lambda: [
                own.Dense(6, **glorot(0)), own.LayerNormalization(), own.ReLU(), own.Dropout(0.0),
                own.Dense(4, **glorot(4)),
            ],
            "activations": lambda: [
                own.Dense(6, **glorot(0)), own.LeakyReLU(), own.Dense(5, **glorot(2)),
                own.Activation("gelu"), own.Dense(5, **glorot(4)), own.Activation("silu"),
                own.Dense(4, **glorot(6)),
            ],
            "images": lambda: [
                own.Conv2D(3, 3, **glorot(0)), own.BatchNormalization(), own.ReLU(),
                own.MaxPooling2D(), own.Flatten(), own.Dense(4, **glorot(5)),
            ],
            "tokens": lambda: [
                own.Embedding(11, 3, embeddings_initializer=uniform), own.Flatten(),
                own.Dense(5, activation="tanh", **glorot(2)), own.Dense(4, **glorot(4)),
            ],
        }[name]()  # fmt: skip
        shape = given.splits["train"].inputs.shape[1:]
        model = keras.Sequential([keras.Input(shape), *layers])
        every = given.task.gradient_accumulation_steps
        settings = settings | ({"gradient_accumulation_steps": every} if every > 1 else {})
        optimizer = getattr(keras.optimizers, kind)(learning_rate=RATE, **settings)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss)
        for epoch, walk in enumerate(given.walks()):
            optimizer.learning_rate = RATE * 0.1**epoch
            x = given.splits["train"].inputs[walk.order]
            x = x if name == "tokens" else x.astype("float64")
            x = x / 255 if x.ndim == 4 else x
            t = given.splits["train"].targets[walk.order]
            model.fit(x, t, batch_size=BATCH, shuffle=False, epochs=1, verbose=0)
        return [np.asarray(keras.ops.convert_to_numpy(v)) for v in model.weights]
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(policy)


def order_of(backend: str, params: Params) -> list[NDArray[Any]]:
    """Return a trainer's weights as `state_dict` and `model.weights` order and lay them out."""
    if backend == "keras":
        return list(params.values())
    axes = {2: (1, 0), 4: (3, 2, 0, 1)}
    embedded = {ParamKey(0, "kernel")} if params[ParamKey(0, "kernel")].shape == (11, 3) else set()
    return [
        p.transpose(axes[p.ndim]) if p.ndim in axes and key not in embedded else p
        for key, p in params.items()
    ]


SPLITS = NETS["dense"].splits
SCRIPTS: dict[str, Callable[..., list[Any]]] = {"torch": torch_script, "keras": keras_script}
EXECUTION = {"torch": "eager", "keras": "fit"}


def apart(backend: str, name: str, optimizer: str) -> float:
    """Return the largest difference of a weight, relative to the largest weight."""
    rule, kind, in_torch, in_keras = OPTIMIZERS[optimizer]
    settings = in_torch if backend == "torch" else in_keras
    task = native(NETS[name], EXECUTION[backend], optimizer=rule)
    trainer = factory(backend)(task, NETS[name].splits)
    found = order_of(backend, trained(trainer, NETS[name]))
    expected = SCRIPTS[backend](name, NETS[name], kind, settings)
    scale = max(float(np.abs(e).max()) for e in expected)
    pairs = list(zip(found, expected, strict=True))
    return max(float(np.abs(a - b).max()) for a, b in pairs) / scale


QUICK = ("adam", "rmsprop")  # of Keras, which compiles for each


@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [
        pytest.param(b, o, marks=[pytest.mark.slow] * (b == "keras" and o not in QUICK))
        for b in SCRIPTS
        for o in OPTIMIZERS
    ],
)
def test_an_optimizer_is_the_frameworks_own(backend: str, optimizer: str) -> None:
    assert apart(backend, "dense", optimizer) <= 1e-12


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        pytest.param(b, n, marks=[pytest.mark.slow] * (b == "keras" and n != "images"))
        for b in SCRIPTS
        for n in NETS
        if n not in ("dense", "two_norms")
    ],
)
def test_layers_are_the_frameworks_own(backend: str, name: str) -> None:
    assert apart(backend, name, "sgd momentum") <= 1e-12


@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [("torch", "adam"), pytest.param("keras", "adam", marks=pytest.mark.slow)],
)
def test_steps_of_several_batches_are_the_frameworks_own(
    monkeypatch: pytest.MonkeyPatch, backend: str, optimizer: str
) -> None:
    """Six full batches, three to an update, as both documentations write it."""
    given = NETS["batch_norm"].dropping_last().accumulating(3)
    monkeypatch.setitem(NETS, "batch_norm", given)
    assert [len(walk.lr) for walk in given.walks()] == [2, 2, 2]
    assert apart(backend, "batch_norm", optimizer) <= 1e-12


def test_the_scripts_initializers_are_keras_defaults() -> None:
    """They are named for their seeds alone."""
    for layer in (keras.layers.Dense(2), keras.layers.Conv2D(2, 3)):
        own, script = layer.kernel_initializer, keras.initializers.GlorotUniform(seed=3)
        assert type(own) is type(script)
        assert {**own.get_config(), "seed": 3} == script.get_config()
        assert isinstance(layer.bias_initializer, keras.initializers.Zeros)
    own = keras.layers.Embedding(3, 2).embeddings_initializer
    script = keras.initializers.RandomUniform(seed=3)
    assert type(own) is type(script)
    assert {**own.get_config(), "seed": 3} == script.get_config()


def test_another_frameworks_constant_is_caught() -> None:
    """What nnbench once did: torch's epsilon where Keras' own was asked for."""
    rule = dataclasses.replace(OPTIMIZERS["adam"][0], epsilon=1e-3)
    expected = torch_script("dense", NETS["dense"], "Adam", {})
    trainer = factory("torch")(native(NETS["dense"], "eager", optimizer=rule), NETS["dense"].splits)
    found = order_of("torch", trained(trainer, NETS["dense"]))
    assert max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True)) > 1e-6


# nnbench's key of each constant, and the argument of the class in torch and in Keras.
NAMES = {
    "epsilon": ("eps", "epsilon"),
    "rho": ("alpha", "rho"),
    "initial": ("initial_accumulator_value", "initial_accumulator_value"),
    "beta2": ("betas", "beta_2"),
}


@pytest.mark.parametrize("backend", SCRIPTS)
@pytest.mark.parametrize("rule", [Adam(), AdamW(), RMSprop(), Adagrad()], ids=lambda r: r.name)
def test_effective_values_are_the_defaults_of_the_class(backend: str, rule: Any) -> None:
    """What is recorded is what `inspect.signature` has, whatever the framework's version."""
    module = torch.optim if backend == "torch" else keras.optimizers
    arguments = inspect.signature(getattr(module, type(rule).__name__)).parameters
    task = native(NETS["batch_norm"], EXECUTION[backend], optimizer=rule)
    effective = factory(backend)(task, NETS["batch_norm"].splits).effective
    found = 0
    for key, names in NAMES.items():
        if not hasattr(rule, key):
            continue
        default = arguments[names[backend == "keras"]].default
        default = default[1] if key == "beta2" and backend == "torch" else default
        assert effective[f"optimizer.{key}"] == default
        found += 1
    assert found
    kind = torch.nn.BatchNorm1d if backend == "torch" else keras.layers.BatchNormalization
    arguments = inspect.signature(kind).parameters
    epsilon = arguments["eps" if backend == "torch" else "epsilon"].default
    momentum = arguments["momentum"].default
    weight = momentum if backend == "torch" else pytest.approx(1 - momentum, rel=1e-12)
    assert effective["layers.1.epsilon"] == epsilon
    assert effective["layers.1.momentum"] == weight


def test_matched_tasks_have_every_constant_and_native_ones_what_is_set() -> None:
    given = case(Dense(6), BatchNorm(), LayerNorm(), inputs="flat", optimizer=Adam(beta2=0.99)).task
    rule: Any = given.optimizer
    assert (rule.beta1, rule.beta2, rule.epsilon) == (0.9, 0.99, 1e-8)
    assert (rule.epsilon_root, rule.epsilon_correction, rule.decay) == (
        "outside",
        "after",
        "coupled",
    )
    assert given.architecture.layers[1:3] == (BatchNorm(0.1, 1e-5, "unbiased"), LayerNorm(1e-5))
    left = dataclasses.replace(given, semantics="native", optimizer=Adam(beta2=0.99))
    assert left.optimizer == Adam(beta2=0.99)
    assert left.documented().optimizer == given.optimizer
    effective = factory("numpy")(dataclasses.replace(left, execution="reference"), SPLITS).effective
    assert effective["optimizer.epsilon"] == 1e-8
    assert effective["layers.1.momentum"] == 0.1


def test_a_configuration_has_numbers_when_matched_and_leaves_native_open() -> None:
    cell = compose(["optimizer=adam"])
    assert cell.values["optimizer"]["epsilon"] == 1e-8
    assert cell.values["optimizer"]["clip_norm"] is None
    assert Cell.read(cell.values).values == cell.values
    left = compose(["optimizer=adam", "semantics=native", "optimizer.beta1=0.8"])
    assert left.values["optimizer"]["epsilon"] is None
    assert left.config.optimizer == Adam(beta1=0.8)


# From equal weights and order, one framework in the other's formulas equals the other natively.
FAMILY_RULES: dict[str, Any] = {
    # Numbers that float32 has exactly: Keras takes its own through float32 on TensorFlow.
    "sgd": SGD(momentum=0.875, weight_decay=0.03125),
    "sgd nesterov": SGD(momentum=0.875, nesterov=True),
    "sgd clipped": SGD(momentum=0.5, clip_norm=0.25),
    "adam": Adam(beta1=0.875, beta2=1 - 2**-7, weight_decay=0.03125),
    "adamw": AdamW(beta1=0.875, beta2=1 - 2**-7, weight_decay=2**-8, amsgrad=True),
    "rmsprop": RMSprop(momentum=0.5),
    "adagrad": Adagrad(initial=0.125),
}


def between(family: str, rule: Any, layers: str = "batch_norm", told: Any = None) -> float:
    """Return how far the other framework, told to use the family's formulas, is from the family.

    `told`: the rule that it is told of, where that is another one.
    """
    other = {"torch": "keras", "keras": "torch"}[family]
    given = NETS[layers]
    own = native(given, EXECUTION[family], optimizer=rule)
    expected = trained(loaded(family, own, given), given)
    net = documented_net(own.architecture, family)
    told = dataclasses.replace(told or rule, formulas=family)
    task = dataclasses.replace(
        given.on(EXECUTION[other]), architecture=net, optimizer=told, semantics="matched"
    )
    return relative_difference(expected, trained(loaded(other, task, given), given))


def loaded(backend: str, task: Task, given: Case) -> Trainer:
    trainer = factory(backend)(task, given.splits)
    trainer.load(given.params)
    return trainer


@pytest.mark.parametrize(
    ("family", "rule"),
    [
        pytest.param(f, r, marks=[pytest.mark.slow] * (r not in ("adam", "sgd")))
        for f in SCRIPTS
        for r in FAMILY_RULES
    ],
)
def test_a_frameworks_formulas_in_the_other_are_its_own(family: str, rule: str) -> None:
    assert between(family, FAMILY_RULES[rule], "two_norms") <= 1e-11


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "adagrad"])
def test_default_constants_leave_what_keras_loses_of_them(name: str) -> None:
    """In float64 TensorFlow takes 0.9 and the like through float32; docs/native.md has how far."""
    rules: dict[str, Any] = {
        "sgd": SGD(momentum=0.9), "adam": Adam(), "rmsprop": RMSprop(), "adagrad": Adagrad()
    }  # fmt: skip
    assert between("keras", rules[name], "two_norms") <= 1e-5
    if name == "sgd":
        rounded = SGD(momentum=float(np.float32(0.9)))
        assert between("keras", rules[name], "two_norms", told=rounded) <= 1e-11


def test_without_the_others_formulas_they_are_apart() -> None:
    given = NETS["batch_norm"]
    rule = FAMILY_RULES["sgd"]
    one, other = (
        trained(loaded(b, native(given, EXECUTION[b], optimizer=rule), given), given)
        for b in SCRIPTS
    )
    assert relative_difference(one, other) > 1e-2


@pytest.mark.parametrize(
    ("backend", "changes", "message"),
    [
        (
            "torch",
            {"optimizer": SGD(rate="inside")},
            r"optimizer\.rate=inside with semantics=native; torch\.optim\.SGD has outside: use",
        ),
        ("torch", {"optimizer": Adam(formulas="keras")}, r"Received optimizer\.formulas=keras"),
        (
            "keras",
            {"optimizer": RMSprop(epsilon_root="outside")},
            r"epsilon_root=outside .* keras\.optimizers\.RMSprop has inside",
        ),
        (
            "keras",
            {"optimizer": Adam(weight_decay=0.1, decay="coupled")},
            r"decay=coupled .* keras\.optimizers\.Adam has decoupled",
        ),
        ("keras", {"optimizer": SGD(clip_norm=1.0, clip_value=1.0)}, "Keras takes one of them"),
        (
            "torch",
            {"layers": (Conv2d(3, stride=2, padding="same"), Flatten(), Dense(4))},
            r"padding=same with stride=2 .* torch\.nn\.Conv2d has it for stride=1 alone",
        ),
        (
            "keras",
            {"layers": (Conv2d(3, padding=1), Flatten(), Dense(4))},
            r"padding=1 with semantics=native; keras\.layers\.Conv2D has padding valid and same",
        ),
        (
            "torch",
            {"layers": (BatchNorm(variance="biased"), Flatten(), Dense(4))},
            r"arch\.layers\[0\]\.variance=biased .* torch\.nn\.BatchNorm has unbiased",
        ),
        (
            "torch",
            {"layers": (Flatten(), Dropout(0.5, in_evaluation=True), Dense(4))},
            r"arch\.layers\[1\]\.in_evaluation=true with semantics=native; what torch\.nn\.Dropout",
        ),
    ],
)
def test_what_a_frameworks_own_class_cannot_take_is_said_in_a_line(
    backend: str, changes: dict[str, Any], message: str
) -> None:
    given = NETS["images"]
    layers = changes.pop("layers", None)
    if layers:
        changes["architecture"] = dataclasses.replace(given.task.architecture, layers=layers)
    with pytest.raises(UnsupportedSpec, match=message) as caught:
        factory(backend)(native(given, EXECUTION[backend], **changes), given.splits)
    assert "\n" not in str(caught.value)
