"""Random training problems: layers, loss, optimizer and learning rates mixed as users mix them.

`choose` picks one of a sequence: `random_case(lambda options: draw(st.sampled_from(options)))`
lets hypothesis choose and shrink, `seeded(n)` draws the n-th of a fixed series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnbench.data.dataset import Split
from nnbench.model import layers as spec
from nnbench.model import schedule as schedules
from nnbench.model.formulas import documented
from nnbench.model.layers import Layer
from nnbench.model.losses import Loss, TaskKind
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from nnbench.testing.cases import (
    BATCH,
    EPOCHS,
    OUTPUTS,
    SHAPES,
    STEPS,
    VOCABULARY,
    Case,
    InputKind,
    case,
)

Choose = Callable[[Sequence[Any]], Any]
ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "linear", "softmax")


def seeded(number: int) -> Case:
    """Return case `number` of a fixed series."""
    return random_case(_seeded(number))


def seeded_dark(number: int) -> Case:
    """Return dark case `number` of a fixed series."""
    return dark_case(_seeded(number))


def _seeded(number: int) -> Choose:
    rng = np.random.default_rng(number)
    return lambda options: options[int(rng.integers(len(options)))]


def dark_case(choose: Choose) -> Case:
    """Return a case as digits are: ReLU behind convolutions, dark backgrounds, zero biases.

    At least half of every image is 0, so that many a unit sees nothing but its bias.
    """
    augment = None
    if choose((True, False, False)):
        augment = spec.Augment(IMAGE, choose((0, 1, 2)), choose(FLAGS))
    layers = _images(choose, lambda _: spec.Activation("relu"))
    for _ in range(choose((0, 1, 1, 2))):
        layers += _dense(choose)
    found = _trained(choose, layers, "image", "classification", augment)
    rows = np.arange(IMAGE[0])[:, None, None] < choose((1, 2, 3, 4))
    dark = found.where(lambda split: Split(np.where(rows, split.inputs, 0), split.targets))
    return replace(dark, biased=False)


def random_case(choose: Choose) -> Case:
    """Return a case whose every part is chosen by `choose`."""
    inputs: InputKind = choose(("flat", "image", "tokens"))
    kind = choose(("classification", "classification", "regression"))
    makers: dict[InputKind, Callable[[Choose], list[Layer]]] = {
        "flat": lambda _: [],
        "image": _images,
        "tokens": _tokens,
    }
    layers = makers[inputs](choose)
    for _ in range(choose((0, 1, 1, 2))):
        layers += _dense(choose)
    augment = None
    if inputs == "image" and choose((True, False, False)):
        augment = spec.Augment(IMAGE, choose((0, 1, 2)), choose(FLAGS))
    return _trained(choose, layers, inputs, kind, augment)


def _trained(
    choose: Choose,
    layers: list[Layer],
    inputs: InputKind,
    kind: TaskKind,
    augment: spec.Augment | None,
) -> Case:
    """Return the case of `layers` with a loss, an optimizer and a schedule."""
    loss = _loss(choose, kind)
    optimizer, rate = _optimizer(choose)
    if loss.mistake:  # its gradients are no smaller where the net is right
        rate *= 0.1
    schedule = _schedule(choose, rate)
    found = case(
        *layers,
        inputs=inputs,
        loss=loss,
        kind=kind,
        optimizer=optimizer,
        augment=augment,
        rate=1.0,
        outputs=1 if loss.mistake == "broadcast_targets" else OUTPUTS,
    ).at(lambda epoch: schedule.per_step(epoch, STEPS, EPOCHS, ()))
    batches, size = choose(((1, BATCH), (1, BATCH), (2, 16), (3, 11)))  # seven steps an epoch
    found = found.accumulating(batches).in_batches(size)
    found = found.dropping_last() if choose((True, False, False)) else found
    return _with_layers_held_still(choose, found)


def _with_layers_held_still(choose: Choose, found: Case) -> Case:
    """Return the case with layers that do not learn, and dropout that never stops, now and then."""
    net = found.task.architecture
    layers = list(net.layers)
    for i, layer in enumerate(layers[:-1]):
        if isinstance(layer, spec.Dropout):
            layers[i] = replace(layer, in_evaluation=choose((False, False, True)))
        elif hasattr(layer, "trainable"):
            layers[i] = replace(layer, trainable=choose((True, True, True, True, False)))
    net = replace(net, layers=tuple(layers))
    return replace(found, task=replace(found.task, architecture=net))


def _loss(choose: Choose, kind: TaskKind) -> Loss:
    """Return a loss of the task with what it may be told."""
    names = ("mse", "l1", "huber")
    name = choose(names if kind == "regression" else ("cross_entropy", "bce", *names))
    mistake = _mistake(choose, name, kind)
    extras: dict[str, Any] = {"mistake": mistake} if mistake else {}
    if name == "cross_entropy" and not mistake:
        extras["label_smoothing"] = choose((0.0, 0.0, 0.1))
        extras["class_weights"] = choose((None, None, (0.5, 2.0, 0.0, 1.0)))
    delta = choose((0.3, 1.0))
    return Loss(
        name, choose(("mean", "sum")), choose(("mean", "mean", "sum")), delta=delta, **extras
    )


def _mistake(choose: Choose, name: str, kind: TaskKind) -> str | None:
    """Return one of the classic mistakes that the loss can make, seldom."""
    if not choose((True, False, False, False)):
        return None
    if name == "mse" and kind == "regression":
        return "broadcast_targets"
    return choose(("softmax_twice", "logits_as_probabilities")) if name == "cross_entropy" else None


FLAGS = (False, True)
IMAGE = SHAPES["image"]


def _images(choose: Choose, activation: Callable[[Choose], Layer] | None = None) -> list[Layer]:
    """Return blocks of a convolution, its `activation` (None: any) and what goes with them."""
    activation = activation or _activation
    layers: list[Layer] = []
    shape: spec.Shape = SHAPES["image"]
    for _ in range(choose((1, 1, 2))):
        size = min(choose((1, 2, 3)), *shape[:2])
        padding = choose(("valid", "same", 1, 2))
        conv = spec.Conv2d(choose((2, 3, 4)), size, choose((1, 1, 2)), padding, choose(FLAGS))
        block = [conv, *_normalised(choose), activation(choose)]
        shape = conv.output_shape(shape)
        if min(shape[:2]) >= 2 and choose(FLAGS):
            pool = choose((spec.MaxPool2d, spec.AvgPool2d))(2, choose((None, 1)))
            block.insert(choose((1, len(block))), pool)
            shape = pool.output_shape(shape)
        layers += [*block, *_dropout(choose)]
    return [*layers, choose((spec.Flatten(), spec.Flatten(), spec.GlobalAvgPool2d()))]


def _tokens(choose: Choose) -> list[Layer]:
    return [
        spec.Embedding(VOCABULARY, choose((2, 3, 4))),
        *_normalised(choose),
        *_dropout(choose),
        spec.Flatten(),
    ]


def _dense(choose: Choose) -> list[Layer]:
    dense = spec.Dense(choose((3, 5, 8)), choose((True, True, False)))
    return [dense, *_normalised(choose), _activation(choose), *_dropout(choose)]


def _normalised(choose: Choose) -> list[Layer]:
    """Return a normalising layer, or none; with PyTorch's formulas or with Keras'."""
    layer = choose((None, None, spec.BatchNorm(), spec.LayerNorm()))
    return [documented(layer, choose(("torch", "keras")))] if layer else []


def _activation(choose: Choose) -> Layer:
    if choose((True, False, False, False, False)):
        return spec.LeakyReLU(choose((0.01, 0.3)))
    return spec.Activation(choose(ACTIVATIONS))


def _dropout(choose: Choose) -> list[Layer]:
    rate = choose((0.0, 0.0, 0.2, 0.5))
    return [spec.Dropout(rate)] if rate else []


def _optimizer(choose: Choose) -> tuple[Optimizer, float]:
    """Return an optimizer, in any form of its formula, and a learning rate that suits it."""
    rule, rate = choose(RULES)
    values: dict[str, Any] = {
        "weight_decay": choose((0.0, 0.01)),
        "decay_on": choose(("all", "all", "kernels")),
        "clip_norm": choose((None, None, 0.5)),
        "clip_value": choose((None, None, None, 0.05)),
        "formulas": choose((None, "torch", "keras")),
    }
    values |= {name: choose(options) for name, options in FORMS.items() if hasattr(rule, name)}
    if isinstance(rule, AdamW):
        values["decay"] = None
    return replace(rule, **values), rate


RULES = (
    (SGD(), 0.05),
    (SGD(momentum=0.9), 0.03),
    (SGD(momentum=0.9, nesterov=True), 0.03),
    (Adam(), 0.01),
    (AdamW(), 0.01),
    (RMSprop(), 0.003),
    (RMSprop(momentum=0.5), 0.003),
    (Adagrad(), 0.02),
)
# None: the family's own.
FORMS: dict[str, tuple[Any, ...]] = {
    "decay": (None, "coupled", "decoupled"),
    "clip_offset": (None, 0.01),
    "rate": (None, "inside", "outside"),
    "epsilon_root": (None, None, "inside", "outside"),
    "epsilon_correction": (None, "before", "after"),
    "amsgrad": FLAGS,
    "initial": (None, 0.05),
}


def _schedule(choose: Choose, rate: float) -> schedules.Schedule:
    return choose(
        (
            schedules.Constant(rate),
            schedules.Phases((0, 1), (rate, 0.1 * rate)),
            schedules.Step(rate, every=1, factor=0.5),
            schedules.Exponential(rate, factor=0.7),
            schedules.Cosine(rate),
            schedules.Warmup(rate, warmup_epochs=1, decay="cosine"),
            schedules.OneCycle(max_lr=rate),
        )
    )
