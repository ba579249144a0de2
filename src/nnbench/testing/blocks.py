"""One case for every building block, and for the ways in which frameworks differ in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from nnbench.data.dataset import Split
from nnbench.model import layers as spec
from nnbench.model import schedule as schedules
from nnbench.model.losses import Loss
from nnbench.model.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from nnbench.testing.cases import EPOCHS, OUTPUTS, SAMPLES, SHAPES, STEPS, VOCABULARY, Case, case

IMAGE = SHAPES["image"]
RELU, SIGMOID, TANH, GELU = map(spec.Activation, ("relu", "sigmoid", "tanh", "gelu"))  # type: ignore[arg-type]
_flat = partial(case, inputs="flat")
_small = partial(_flat, spec.Dense(6), TANH)
_tokens = partial(case, spec.Embedding(VOCABULARY, 3), inputs="tokens")
_image = partial(case, spec.Conv2d(3), TANH, spec.Flatten())

LAYERS: dict[str, Case] = {
    "dense": _flat(spec.Dense(6), TANH),
    "dense without bias": _flat(spec.Dense(6, bias=False), TANH),
    "no hidden layer": _flat(),
    "relu": _flat(spec.Dense(6), RELU, spec.Dense(5), RELU),
    "sigmoid": _flat(spec.Dense(6), SIGMOID, spec.Dense(5), SIGMOID),
    "tanh": _flat(spec.Dense(6), TANH, spec.Dense(5), TANH),
    "gelu": _flat(spec.Dense(6), GELU, spec.Dense(5), GELU),
    "softmax inside": _flat(spec.Dense(6), spec.Activation("softmax")),
    "softmax of images": case(spec.Conv2d(3), spec.Activation("softmax"), spec.Flatten()),
    "linear": _flat(spec.Dense(6), spec.Activation("linear")),
    "conv2d valid": case(spec.Conv2d(3), TANH, spec.Flatten()),
    "conv2d same": case(spec.Conv2d(3, padding="same"), TANH, spec.Flatten()),
    "conv2d same, stride 2": case(spec.Conv2d(3, 3, 2, "same"), TANH, spec.Flatten()),
    "conv2d same, kernel 2": case(spec.Conv2d(3, 2, 1, "same"), TANH, spec.Flatten()),
    "conv2d stride 2, no bias": case(spec.Conv2d(3, 2, 2, bias=False), TANH, spec.Flatten()),
    "conv2d twice": case(spec.Conv2d(3), RELU, spec.Conv2d(2, 2), RELU, spec.Flatten()),
    "max_pool2d": case(spec.Conv2d(3), spec.MaxPool2d(), RELU, spec.Flatten()),
    "max_pool2d first": case(spec.MaxPool2d(), spec.Flatten(), spec.Dense(5), TANH),
    "max_pool2d overlapping": case(spec.Conv2d(2), spec.MaxPool2d(3, 1), spec.Flatten()),
    "avg_pool2d": case(spec.Conv2d(3), SIGMOID, spec.AvgPool2d(), spec.Flatten()),
    "avg_pool2d overlapping": case(spec.Conv2d(2), spec.AvgPool2d(3, 2), spec.Flatten()),
    "flatten": case(spec.Flatten(), spec.Dense(5), TANH),
    "batch_norm 1d": _flat(spec.Dense(6, bias=False), spec.BatchNorm(), RELU),
    "batch_norm 1d after a bias": _flat(spec.Dense(6), spec.BatchNorm(0.3, 1e-3), TANH),
    "batch_norm 2d": case(spec.Conv2d(3), spec.BatchNorm(), RELU, spec.MaxPool2d(), spec.Flatten()),
    "batch_norm first": case(spec.BatchNorm(), spec.Flatten(), spec.Dense(5), TANH),
    "batch_norm of a sequence": _tokens(spec.BatchNorm(), spec.Flatten()),
    "layer_norm": _flat(spec.Dense(6), spec.LayerNorm(), RELU),
    "layer_norm of images": case(spec.Conv2d(3), spec.LayerNorm(), RELU, spec.Flatten()),
    "dropout": _flat(spec.Dense(12), TANH, spec.Dropout(0.4)),
    "dropout of images": case(
        spec.Conv2d(3), spec.Dropout(0.2), TANH, spec.Flatten(), spec.Dropout()
    ),
    "embedding": _tokens(spec.Flatten(), spec.Dense(5), TANH),
    "embedding, layer_norm": _tokens(spec.LayerNorm(), spec.Flatten(), spec.Dropout(0.1)),
    "augment shift": _image(augment=spec.Augment(IMAGE, shift=2)),
    "augment flip": _image(augment=spec.Augment(IMAGE, flip=True)),
    "augment shift and flip": _image(augment=spec.Augment(IMAGE, 3, True)),
}
LAYERS |= {
    "conv2d padding 1": case(spec.Conv2d(3, padding=1), TANH, spec.Flatten()),
    "conv2d padding 2, stride 2": case(spec.Conv2d(3, 3, 2, 2), TANH, spec.Flatten()),
    "global_avg_pool2d": case(spec.Conv2d(5), TANH, spec.GlobalAvgPool2d()),
    "gelu_tanh": _flat(spec.Dense(6), spec.Activation("gelu_tanh"), spec.Dense(5), TANH),
    "silu": _flat(spec.Dense(6), spec.Activation("silu"), spec.Dense(5), TANH),
    "leaky_relu": _flat(spec.Dense(6), spec.LeakyReLU(), spec.Dense(5), spec.LeakyReLU(0.3)),
    "batch_norm biased": _flat(spec.Dense(6), spec.BatchNorm(0.01, 1e-3, "biased"), TANH),
    "batch_norm biased of images": case(
        spec.Conv2d(3), spec.BatchNorm(variance="biased"), TANH, spec.Flatten()
    ),
    "dropout in evaluation": _flat(spec.Dense(12), TANH, spec.Dropout(0.4, in_evaluation=True)),
    "dropout of images in evaluation": case(
        spec.Conv2d(3), spec.Dropout(0.2, True), TANH, spec.Flatten(), spec.Dropout(0.5, True)
    ),
}
# Layers that do not learn, by themselves and beside what counts the weights of all.
LAYERS |= {
    "dense held still": _flat(spec.Dense(6, trainable=False), TANH, spec.Dense(5), TANH),
    "dense held still, between": _flat(
        spec.Dense(6), TANH, spec.Dense(5, trainable=False), TANH, optimizer=Adam(clip_norm=0.2)
    ),
    "conv2d held still": case(
        spec.Conv2d(3, trainable=False), spec.MaxPool2d(), RELU, spec.Conv2d(2, 2), spec.Flatten()
    ),
    "batch_norm held still": _flat(spec.Dense(6), spec.BatchNorm(trainable=False), TANH),
    "dense held still, batch_norm": _flat(spec.Dense(6, trainable=False), spec.BatchNorm(), RELU),
    "layer_norm held still": _flat(spec.Dense(6), spec.LayerNorm(trainable=False), TANH),
    "embedding held still": case(
        spec.Embedding(VOCABULARY, 3, trainable=False), spec.Flatten(), inputs="tokens"
    ),
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
_one = partial(_small, loss=Loss("mse", mistake="broadcast_targets"), kind="regression", outputs=1)
LOSSES |= {
    "huber": _small(loss=Loss("huber", "sum", delta=0.4)),
    "huber, regression": _small(loss=Loss("huber"), kind="regression"),
    "label_smoothing": _small(loss=Loss("cross_entropy", label_smoothing=0.2)),
    "class_weights": _small(loss=Loss("cross_entropy", class_weights=(0.5, 2.0, 0.0, 1.0))),
    "class_weights, label_smoothing": _small(
        loss=Loss("cross_entropy", label_smoothing=0.1, class_weights=(3.0, 1.0, 1.0, 0.1))
    ),
    "softmax_twice": _small(loss=Loss("cross_entropy", mistake="softmax_twice")),
    "logits_as_probabilities": _small(
        loss=Loss("cross_entropy", mistake="logits_as_probabilities"), rate=0.01
    ),
    "broadcast_targets": _one(),
    "broadcast_targets of images": case(
        spec.Conv2d(3), TANH, spec.Flatten(), loss=Loss("mse", mistake="broadcast_targets"),
        kind="regression", outputs=1,
    ),
}  # fmt: skip
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
    "adam of an embedding": _tokens(spec.Flatten(), optimizer=Adam(clip_norm=0.5)),
    "adamw": _small(optimizer=AdamW(weight_decay=0.05)),
    "rmsprop": _small(optimizer=RMSprop(), rate=0.003),
    "rmsprop weight_decay": _small(
        optimizer=RMSprop(rho=0.9, epsilon=1e-3, weight_decay=0.02), rate=0.003
    ),
    "rmsprop momentum": _small(optimizer=RMSprop(momentum=0.9), rate=0.003),
    "adagrad": _small(optimizer=Adagrad()),
    "adagrad initial": _small(optimizer=Adagrad(initial=0.1, epsilon=1e-7, weight_decay=0.02)),
}
# The same rules in the forms of other frameworks.
OPTIMIZERS |= {
    "sgd rate inside": _small(optimizer=SGD(momentum=0.9, rate="inside")),
    "sgd keras": _small(
        optimizer=SGD(momentum=0.9, nesterov=True, weight_decay=0.1, formulas="keras")
    ),
    "sgd decay on kernels": _small(
        optimizer=SGD(weight_decay=0.2, decay="decoupled", decay_on="kernels")
    ),
    "sgd clip_value": _small(optimizer=SGD(momentum=0.9, clip_value=0.02), rate=0.2),
    "sgd clip_offset": _small(optimizer=SGD(clip_norm=0.2, clip_offset=0.05), rate=0.2),
    "adam keras": _small(optimizer=Adam(weight_decay=0.1, formulas="keras", epsilon=1e-3)),
    "adam epsilon inside": _small(optimizer=Adam(epsilon=1e-3, epsilon_root="inside")),
    "adam epsilon inside, before": _small(
        optimizer=Adam(epsilon=1e-3, epsilon_root="inside", epsilon_correction="before")
    ),
    "adam amsgrad": _small(optimizer=Adam(beta2=0.5, amsgrad=True)),
    "adam amsgrad keras": _small(optimizer=Adam(beta2=0.5, amsgrad=True, formulas="keras")),
    "adam decay on kernels": _small(optimizer=Adam(weight_decay=0.2, decay_on="kernels")),
    "adamw keras": _small(optimizer=AdamW(formulas="keras", weight_decay=0.2)),
    "rmsprop keras": _small(
        optimizer=RMSprop(momentum=0.5, epsilon=1e-3, formulas="keras"), rate=0.003
    ),
    "rmsprop epsilon inside": _small(
        optimizer=RMSprop(epsilon=1e-2, epsilon_root="inside"), rate=0.003
    ),
    "adagrad keras": _small(optimizer=Adagrad(formulas="keras", weight_decay=0.1)),
}


def _scheduled(schedule: schedules.Schedule) -> Case:
    scores = (1.0, 2.0)  # got worse: a plateau's rate falls
    return _small(rate=1.0, optimizer=SGD(momentum=0.9)).at(
        lambda epoch: schedule.per_step(epoch, STEPS, EPOCHS, scores[:epoch])
    )


SCHEDULES: dict[str, Case] = {
    f"schedule {schedule.name}": _scheduled(schedule)
    for schedule in (
        schedules.Constant(0.03),
        schedules.Phases((0, 1), (0.03, 0.01)),
        schedules.Step(0.03, every=1, factor=0.5),
        schedules.Exponential(0.03, factor=0.7),
        schedules.Cosine(0.03),
        schedules.Warmup(0.03, warmup_epochs=1, decay="linear"),
        schedules.OneCycle(0.03),
        schedules.Plateau(0.03, factor=0.5, patience=0),
    )
}


def _labelled(label: int) -> Callable[[Split], Split]:
    return lambda split: Split(split.inputs, np.full_like(split.targets, label))


def _half_blank(split: Split) -> Split:
    """Every second sample is all zeros."""
    inputs = split.inputs.copy()
    inputs[1::2] = 0
    return Split(inputs, split.targets)


def _hundredfold(split: Split) -> Split:
    """Logits in the hundreds: probabilities round to 0 and 1."""
    return Split(100.0 * split.inputs, split.targets)


_normed = _flat(spec.Dense(6, bias=False), RELU, spec.LayerNorm(), spec.Dense(5), TANH)
EDGES: dict[str, Case] = {
    "all samples of the first class": _small().where(_labelled(0)),
    "all samples of the last class": _small().where(_labelled(OUTPUTS - 1)),
    "all of the last class, bce": _small(loss=Loss("bce")).where(_labelled(OUTPUTS - 1)),
    "two classes": _small(outputs=2),
    "one output, regression": _small(loss=Loss("mse"), kind="regression", outputs=1),
    "inputs of zeros": _normed.where(_half_blank),
    "images of zeros": _image(spec.Dense(5), RELU).where(_half_blank),
    "saturated, cross_entropy": _flat(rate=1e-3).where(_hundredfold),
    "saturated, bce": _flat(loss=Loss("bce"), rate=1e-3).where(_hundredfold),
    "saturated, mse of softmax": _flat(loss=Loss("mse"), output="softmax").where(_hundredfold),
    "batches of 1": _small().in_batches(1),
    "batches of 1, images": case(spec.Conv2d(3), RELU, spec.MaxPool2d(), spec.Flatten()).in_batches(
        1
    ),
    "one batch of all": _small().in_batches(SAMPLES),
}
_noisy = _flat(spec.Dense(6), spec.BatchNorm(), TANH, spec.Dropout(0.3))
BATCHES: dict[str, Case] = {
    "drop_last": _small().dropping_last(),
    "steps of 2 batches": _small().accumulating(2),
    "steps of 3 batches, summed": _small(
        loss=Loss("bce", "sum", "sum"), optimizer=Adam(clip_norm=0.2)
    ).accumulating(3),
    "steps of 3 batches, batch_norm, dropout": _noisy.accumulating(3),
    "steps of 4 batches of images": case(
        spec.Conv2d(3), TANH, spec.Flatten(), optimizer=SGD()
    ).accumulating(4),
    "steps of 3 batches, drop_last": _image(augment=spec.Augment(IMAGE, 2, True))
    .dropping_last()
    .accumulating(3),
}
BLOCKS: dict[str, Case] = LAYERS | LOSSES | OPTIMIZERS | SCHEDULES | EDGES | BATCHES
