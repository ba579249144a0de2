"""One case for every building block, and for the ways in which frameworks differ in it."""

from __future__ import annotations

from functools import partial

from nnbench.model.layers import (
    Activation,
    Augment,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    MaxPool2d,
)
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from nnbench.model.schedule import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Phases,
    Plateau,
    Schedule,
    Step,
    Warmup,
)
from nnbench.testing.cases import EPOCHS, SHAPES, STEPS, VOCABULARY, Case, case

IMAGE = SHAPES["image"]
_flat = partial(case, inputs="flat")
_small = partial(_flat, Dense(6), Activation("tanh"))
_tokens = partial(case, Embedding(VOCABULARY, 3), inputs="tokens")
_image = partial(case, Conv2d(3), Activation("tanh"), Flatten())

LAYERS: dict[str, Case] = {
    "dense": _flat(Dense(6), Activation("tanh")),
    "dense without bias": _flat(Dense(6, bias=False), Activation("tanh")),
    "no hidden layer": _flat(),
    "relu": _flat(Dense(6), Activation("relu"), Dense(5), Activation("relu")),
    "sigmoid": _flat(Dense(6), Activation("sigmoid"), Dense(5), Activation("sigmoid")),
    "tanh": _flat(Dense(6), Activation("tanh"), Dense(5), Activation("tanh")),
    "gelu": _flat(Dense(6), Activation("gelu"), Dense(5), Activation("gelu")),
    "softmax inside": _flat(Dense(6), Activation("softmax")),
    "softmax of images": case(Conv2d(3), Activation("softmax"), Flatten()),
    "linear": _flat(Dense(6), Activation("linear")),
    "conv2d valid": case(Conv2d(3), Activation("tanh"), Flatten()),
    "conv2d same": case(Conv2d(3, padding="same"), Activation("tanh"), Flatten()),
    "conv2d same, stride 2": case(Conv2d(3, 3, 2, "same"), Activation("tanh"), Flatten()),
    "conv2d same, kernel 2": case(Conv2d(3, 2, 1, "same"), Activation("tanh"), Flatten()),
    "conv2d stride 2, no bias": case(Conv2d(3, 2, 2, bias=False), Activation("tanh"), Flatten()),
    "conv2d twice": case(
        Conv2d(3), Activation("relu"), Conv2d(2, 2), Activation("relu"), Flatten()
    ),
    "max_pool2d": case(Conv2d(3), MaxPool2d(), Activation("relu"), Flatten()),
    "max_pool2d first": case(MaxPool2d(), Flatten(), Dense(5), Activation("tanh")),
    "max_pool2d overlapping": case(Conv2d(2), MaxPool2d(3, 1), Flatten()),
    "avg_pool2d": case(Conv2d(3), Activation("sigmoid"), AvgPool2d(), Flatten()),
    "avg_pool2d overlapping": case(Conv2d(2), AvgPool2d(3, 2), Flatten()),
    "flatten": case(Flatten(), Dense(5), Activation("tanh")),
    "batch_norm 1d": _flat(Dense(6, bias=False), BatchNorm(), Activation("relu")),
    "batch_norm 1d after a bias": _flat(Dense(6), BatchNorm(0.3, 1e-3), Activation("tanh")),
    "batch_norm 2d": case(Conv2d(3), BatchNorm(), Activation("relu"), MaxPool2d(), Flatten()),
    "batch_norm first": case(BatchNorm(), Flatten(), Dense(5), Activation("tanh")),
    "batch_norm of a sequence": _tokens(BatchNorm(), Flatten()),
    "layer_norm": _flat(Dense(6), LayerNorm(), Activation("relu")),
    "layer_norm of images": case(Conv2d(3), LayerNorm(), Activation("relu"), Flatten()),
    "dropout": _flat(Dense(12), Activation("tanh"), Dropout(0.4)),
    "dropout of images": case(Conv2d(3), Dropout(0.2), Activation("tanh"), Flatten(), Dropout()),
    "embedding": _tokens(Flatten(), Dense(5), Activation("tanh")),
    "embedding, layer_norm": _tokens(LayerNorm(), Flatten(), Dropout(0.1)),
    "augment shift": _image(augment=Augment(IMAGE, shift=2)),
    "augment flip": _image(augment=Augment(IMAGE, flip=True)),
    "augment shift and flip": _image(augment=Augment(IMAGE, 3, True)),
}
LOSSES: dict[str, Case] = {
    **{
        f"{name} {outputs} over outputs, {batch} over batch": _small(
            loss=Loss(name, outputs, batch)
        )
        for name in ("mse", "l1", "bce")
        for outputs in ("mean", "sum")
        for batch in ("mean", "sum")
    },
    "cross_entropy mean over batch": _small(),
    "cross_entropy sum over batch": _small(loss=Loss("cross_entropy", over_batch="sum")),
    **{
        f"mse of {output} outputs": _small(loss=Loss("mse"), output=output)
        for output in ("linear", "tanh", "relu", "softmax")
    },
    "l1 of softmax outputs": _small(loss=Loss("l1"), output="softmax"),
    "mse, regression": _small(loss=Loss("mse"), kind="regression"),
    "l1, regression": _small(loss=Loss("l1"), kind="regression"),
}
OPTIMIZERS: dict[str, Case] = {
    "sgd": _small(optimizer=SGD()),
    "sgd momentum": _small(optimizer=SGD(momentum=0.9)),
    "sgd nesterov": _small(optimizer=SGD(momentum=0.9, nesterov=True, weight_decay=0.01)),
    "sgd weight_decay": _small(optimizer=SGD(weight_decay=0.1)),
    "sgd clip_norm": _small(optimizer=SGD(momentum=0.9, weight_decay=0.1, clip_norm=0.2), rate=0.2),
    "adam": _small(optimizer=Adam()),
    "adam weight_decay": _small(
        optimizer=Adam(beta1=0.8, beta2=0.99, epsilon=1e-6, weight_decay=0.02)
    ),
    "adam clip_norm": _small(optimizer=Adam(clip_norm=0.2)),
    "adam of an embedding": _tokens(Flatten(), optimizer=Adam(clip_norm=0.5)),
    "adamw": _small(optimizer=AdamW(weight_decay=0.05)),
    "rmsprop": _small(optimizer=RMSprop(), rate=0.003),
    "rmsprop weight_decay": _small(
        optimizer=RMSprop(rho=0.9, epsilon=1e-3, weight_decay=0.02), rate=0.003
    ),
    "rmsprop momentum": _small(optimizer=RMSprop(momentum=0.9), rate=0.003),
    "adagrad": _small(optimizer=Adagrad()),
    "adagrad initial": _small(optimizer=Adagrad(initial=0.1, epsilon=1e-7, weight_decay=0.02)),
}


def _scheduled(schedule: Schedule) -> Case:
    scores = (1.0, 2.0)  # got worse: a plateau's rate falls
    return _small(
        rate=1.0,
        optimizer=SGD(momentum=0.9),
        rates=lambda epoch: schedule.per_step(epoch, STEPS, EPOCHS, scores[:epoch]),
    )


SCHEDULES: dict[str, Case] = {
    f"schedule {schedule.name}": _scheduled(schedule)
    for schedule in (
        Constant(0.03),
        Phases((0, 1), (0.03, 0.01)),
        Step(0.03, every=1, factor=0.5),
        Exponential(0.03, factor=0.7),
        Cosine(0.03),
        Warmup(0.03, warmup_epochs=1, decay="linear"),
        OneCycle(0.03),
        Plateau(0.03, factor=0.5, patience=0),
    )
}
BLOCKS: dict[str, Case] = LAYERS | LOSSES | OPTIMIZERS | SCHEDULES
