"""Random programs in plain torch, each with the description that it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nnbench.model import layers as spec
from nnbench.model import optimizers
from nnbench.model.formulas import documented
from nnbench.model.layers import Layer
from nnbench.model.losses import Loss
from support.chains import Choose, asked, chooser

SHAPES = {"flat": (20,), "plain": (8, 8), "colour": (8, 8, 2), "tokens": (6,)}
OUTPUTS, VOCABULARY = 5, 11
ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "relu": (nn.ReLU(), functional.relu, torch.relu, lambda x: x.relu()),
    "tanh": (nn.Tanh(), torch.tanh),
    "sigmoid": (nn.Sigmoid(), torch.sigmoid),
    "gelu": (nn.GELU(), functional.gelu),
    "gelu_tanh": (nn.GELU(approximate="tanh"),),
    "silu": (nn.SiLU(), functional.silu),
    "softmax": (nn.Softmax(dim=1), lambda x: functional.softmax(x, dim=1)),
}


class Steps(nn.Module):
    """Its steps one after the other, modules or functions."""

    def __init__(self, steps: list[Any]) -> None:
        super().__init__()
        self.steps = steps
        self.own = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x


@dataclass
class Made:
    """A program and its description, which grow together."""

    choose: Choose
    kind: str
    layers: list[Layer] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    width: int = 0
    image: tuple[int, int, int] | None = None

    def add(self, layer: Layer, step: Any) -> None:
        self.layers.append(layer)
        self.steps.append(step)


def made(number: int) -> tuple[str, dict[str, Any], Callable[[], Any]]:
    """Return the kind of input, what should be read, and what builds program `number`."""
    return asked(_made, number)


def _made(number: int) -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(number)
    choose = chooser(number)
    program = Made(choose, choose(*SHAPES))
    _body(program)
    for _ in range(choose(0, 1, 2)):
        _dense(program)
    bias = choose(True, True, False)
    program.add(spec.Dense(OUTPUTS, bias), nn.Linear(program.width, OUTPUTS, bias=bias))
    loss, expected, last = _loss(choose)
    model: nn.Module = Steps([*program.steps, *last])
    modules = [step for step in model.steps if isinstance(step, nn.Module)]
    if len(modules) == len(model.steps) and choose(True, False):
        model = nn.Sequential(*modules)
    rule, optimizer = _optimizer(choose, model)
    found = {"layers": tuple(program.layers), "optimizer": rule, **expected, "kind": program.kind}
    return (model, optimizer, loss), found


def _body(program: Made) -> None:
    choose = program.choose
    if program.kind == "tokens":
        units = choose(2, 3)
        program.add(spec.Embedding(VOCABULARY, units), nn.Embedding(VOCABULARY, units))
        program.width = 6 * units
        program.add(spec.Flatten(), choose(nn.Flatten(), lambda x: x.reshape(len(x), -1)))
        return
    if program.kind == "flat":
        program.width = 20
        return
    program.image = (8, 8, 2 if program.kind == "colour" else 1)
    if choose(True, False, False):
        program.width = int(np.prod(program.image))
        program.steps.append(nn.Flatten())  # of the inputs: no layer
        return
    for _ in range(choose(1, 2)):
        _block(program)
    assert program.image is not None
    rows, columns, channels = program.image
    if choose(True, False, False):
        program.add(spec.GlobalAvgPool2d(), lambda x: x.mean(dim=(2, 3)))
        program.width = channels
        return
    flatten = choose(nn.Flatten(), lambda x: x.flatten(1), lambda x: x.view(x.size(0), -1))
    if not isinstance(flatten, nn.Module):
        program.steps.append(lambda x: x.contiguous())
    program.add(spec.Flatten(), flatten)
    program.width = rows * columns * channels


def _block(program: Made) -> None:
    choose = program.choose
    assert program.image is not None
    channels, filters, size = program.image[2], choose(2, 3), choose(1, 2, 3)
    size = min(size, program.image[0])
    stride, bias = choose(1, 1, 2), choose(True, False)
    padding = choose("valid", "same", 1) if stride == 1 else choose("valid", 1)
    layer = spec.Conv2d(filters, size, stride, padding, bias)
    pad = 0 if padding == "valid" else padding
    program.add(layer, nn.Conv2d(channels, filters, size, stride, padding=pad, bias=bias))
    program.image = layer.output_shape(program.image)  # type: ignore[assignment]
    if choose(True, False):
        momentum, epsilon = choose(0.1, 0.3), choose(1e-5, 1e-3)
        norm = nn.BatchNorm2d(filters, eps=epsilon, momentum=momentum)
        program.add(spec.BatchNorm(momentum, epsilon, "unbiased"), norm)
    _activation(program)
    assert program.image is not None
    if min(program.image[:2]) >= 2 and choose(True, False):
        pool, kind = choose((nn.MaxPool2d, spec.MaxPool2d), (nn.AvgPool2d, spec.AvgPool2d))
        step = choose(1, 2)
        described = kind(2, step)
        program.add(described, pool(2, step))
        program.image = described.output_shape(program.image)
    _dropout(program)


def _dense(program: Made) -> None:
    units = program.choose(3, 6)
    bias = program.choose(True, True, False)
    program.add(spec.Dense(units, bias), nn.Linear(program.width, units, bias=bias))
    program.width = units
    norm = program.choose("batch", "layer", None, None)
    if norm == "batch":
        program.add(spec.BatchNorm(0.1, 1e-5, "unbiased"), nn.BatchNorm1d(units))
    elif norm == "layer":
        program.add(spec.LayerNorm(1e-5), nn.LayerNorm(units))
    _activation(program)
    _dropout(program)


def _activation(program: Made) -> None:
    name = program.choose(*ACTIVATIONS, "leaky_relu")
    if name == "leaky_relu":
        slope = program.choose(0.01, 0.3)
        program.add(spec.LeakyReLU(slope), nn.LeakyReLU(slope))
    else:
        program.add(spec.Activation(name), program.choose(*ACTIVATIONS[name]))


def _dropout(program: Made) -> None:
    rate = program.choose(0.0, 0.0, 0.3)
    if rate:
        program.add(spec.Dropout(rate), nn.Dropout(rate))


def _loss(choose: Choose) -> tuple[Any, dict[str, Any], list[Any]]:
    """Return a loss, what should be read of it, and what the model does before it."""
    reduction = choose("mean", "mean", "sum")
    both = {"over_outputs": reduction, "over_batch": reduction}
    one = {"over_outputs": "mean", "over_batch": reduction}  # one term per sample
    kind = choose("entropy", "smooth", "nll", "twice", "bce", "sigmoid", "mse", "huber")
    if kind in ("entropy", "smooth", "twice"):
        smoothing = 0.1 if kind == "smooth" else 0.0
        mistake = "softmax_twice" if kind == "twice" else None
        read = Loss("cross_entropy", label_smoothing=smoothing, mistake=mistake, **one)  # type: ignore[arg-type]
        own = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)
        return own, _ending(read, "softmax"), [nn.Softmax(1)] if kind == "twice" else []
    if kind == "nll":
        own = choose(
            nn.NLLLoss(reduction=reduction),
            lambda o, y: functional.nll_loss(o, y, reduction=reduction),
        )
        return own, _ending(Loss("cross_entropy", **one), "softmax"), [nn.LogSoftmax(dim=1)]
    if kind in ("bce", "sigmoid"):
        end = [nn.Sigmoid()] if kind == "sigmoid" else []
        loss = nn.BCELoss if kind == "sigmoid" else nn.BCEWithLogitsLoss
        return loss(reduction=reduction), _ending(Loss("bce", **both), "sigmoid"), end
    if kind == "mse":
        return nn.MSELoss(reduction=reduction), _ending(Loss("mse", **both), "tanh"), [nn.Tanh()]
    own = nn.HuberLoss(reduction=reduction, delta=0.3)
    return own, _ending(Loss("huber", delta=0.3, **both), "linear"), []


def _ending(loss: Loss, activation: str) -> dict[str, Any]:
    return {"loss": loss, "output_activation": activation}


def _optimizer(choose: Choose, model: nn.Module) -> tuple[Any, torch.optim.Optimizer]:
    decay = choose(0.0, 0.01)
    given = list(model.parameters())
    kind = choose("sgd", "adam", "adamw", "rmsprop", "adagrad")
    if kind == "sgd":
        momentum = choose(0.0, 0.9)
        nesterov = bool(momentum) and choose(True, False)
        own = torch.optim.SGD(given, 0.01, momentum, weight_decay=decay, nesterov=nesterov)
        rule: Any = optimizers.SGD(momentum=momentum, nesterov=nesterov, weight_decay=decay)
    elif kind in ("adam", "adamw"):
        epsilon, most = choose(1e-8, 1e-6), choose(True, False)
        values = {"weight_decay": decay, "amsgrad": most}
        cls, ours = {
            "adam": (torch.optim.Adam, optimizers.Adam),
            "adamw": (torch.optim.AdamW, optimizers.AdamW),
        }[kind]
        own = cls(given, 0.002, betas=(0.9, 0.99), eps=epsilon, **values)
        rule = ours(beta1=0.9, beta2=0.99, epsilon=epsilon, **values)
    elif kind == "rmsprop":
        own = torch.optim.RMSprop(
            given, 0.001, alpha=0.9, eps=1e-6, weight_decay=decay, momentum=0.5
        )
        rule = optimizers.RMSprop(rho=0.9, epsilon=1e-6, momentum=0.5, weight_decay=decay)
    else:
        own = torch.optim.Adagrad(given, 0.01, weight_decay=decay, initial_accumulator_value=0.1)
        rule = optimizers.Adagrad(initial=0.1, weight_decay=decay)
    return documented(rule, "torch"), own
