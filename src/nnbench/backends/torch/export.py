"""A trained net as plain PyTorch: a state_dict, and the few lines that build its model.

Plain PyTorch has images as `(batch, channels, rows, columns)` and flattens them in that order, so
that what follows a flatten is permuted here. The model yields logits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnbench.backends.protocol import Params
from nnbench.backends.torch.layers import LAYERS
from nnbench.errors import UnsupportedSpec
from nnbench.model import layers as spec
from nnbench.model.layers import Shape, flat_length
from nnbench.model.network import Architecture, ParamKey
from nnbench.writing import replacing, write

Order = NDArray[np.int64] | None
ACTIVATIONS = {
    "linear": "nn.Identity()",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "relu": "nn.ReLU()",
    "gelu": "nn.GELU()",
    "gelu_tanh": "nn.GELU(approximate='tanh')",
    "silu": "nn.SiLU()",
}
ROLES = {"mean": "running_mean", "variance": "running_var"}


def _conv2d(layer: spec.Conv2d, shape: Shape) -> list[str]:
    rows, columns = layer.pads(shape)
    arguments = f"{shape[2]}, {layer.filters}, {layer.kernel_size}, stride={layer.stride}"
    conv = f"nn.Conv2d({arguments}, bias={layer.bias})"
    return [f"nn.ZeroPad2d({(*columns, *rows)})", conv] if sum(rows + columns) else [conv]


def _batch_norm(layer: spec.BatchNorm, shape: Shape) -> list[str]:
    if len(shape) == 2:
        raise UnsupportedSpec("torch.nn has no batch norm over the last axis of sequences.")
    name = "BatchNorm2d" if len(shape) == 3 else "BatchNorm1d"
    return [f"nn.{name}({shape[-1]}, eps={layer.epsilon}, momentum={layer.momentum})"]


def _layer_norm(layer: spec.LayerNorm, shape: Shape) -> list[str]:
    if len(shape) == 3:
        raise UnsupportedSpec("torch.nn has no layer norm over the channels of images alone.")
    return [f"nn.LayerNorm({shape[-1]}, eps={layer.epsilon})"]


def _dropout(layer: spec.Dropout, shape: Shape) -> list[str]:
    if layer.in_evaluation:
        raise UnsupportedSpec("torch.nn.Dropout does not drop in evaluation (in_evaluation=true).")
    return [f"nn.Dropout({layer.rate})"]


def _activation(layer: spec.Activation, shape: Shape) -> list[str]:
    if layer.name == "softmax":
        return [f"nn.Softmax(dim={1 if len(shape) == 3 else -1})"]
    return [ACTIVATIONS[layer.name]]


CODE: dict[type, Callable[[Any, Shape], list[str]]] = {
    spec.Dense: lambda layer, shape: [f"nn.Linear({shape[0]}, {layer.units}, bias={layer.bias})"],
    spec.Conv2d: _conv2d,
    spec.MaxPool2d: lambda layer, shape: [f"nn.MaxPool2d({layer.size}, {layer.step})"],
    spec.AvgPool2d: lambda layer, shape: [f"nn.AvgPool2d({layer.size}, {layer.step})"],
    spec.GlobalAvgPool2d: lambda layer, shape: ["nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"],
    spec.LeakyReLU: lambda layer, shape: [f"nn.LeakyReLU({layer.slope})"],
    spec.Flatten: lambda layer, shape: ["nn.Flatten()"],
    spec.BatchNorm: _batch_norm,
    spec.LayerNorm: _layer_norm,
    spec.Dropout: _dropout,
    spec.Embedding: lambda layer, shape: [f"nn.Embedding({layer.vocabulary}, {layer.units})"],
    spec.Activation: _activation,
}


def export(architecture: Architecture, params: Params, path: Path, note: str) -> list[Path]:
    """Write the state_dict to `path` and the code of its model beside it; return both.

    Raises UnsupportedSpec where plain PyTorch has no such layer.
    """
    lines: list[str] = []
    state: dict[str, torch.Tensor] = {}
    order: Order = None  # of features, from torch's flatten up to the next dense layer
    for i, layer, shape, _ in architecture.shapes():
        code = CODE[type(layer)](layer, shape)
        lines += code
        if isinstance(layer, spec.Flatten) and len(shape) == 3:
            order = np.arange(flat_length(shape)).reshape(shape).transpose(2, 0, 1).ravel()
        for role, place in LAYERS[type(layer)].places.items():
            if (key := ParamKey(i, role)) in params:
                fixed = order is None or (role == "bias" and isinstance(layer, spec.Dense))
                value = params[key] if fixed else params[key][order]
                inverse = np.argsort(place.axes)
                name = ROLES.get(role, place.attribute)
                tensor = torch.tensor(value.transpose(inverse).copy())
                state[f"{len(lines) - 1}.{name}"] = tensor
        if isinstance(layer, spec.BatchNorm):
            state[f"{len(lines) - 1}.num_batches_tracked"] = torch.tensor(0)
        if isinstance(layer, spec.Dense):
            order = None
    with replacing(path) as new:
        torch.save(state, new)
    program = path.with_suffix(".py")
    write(program, _program(architecture, lines, path, note).encode())
    return [path, program]


def _program(architecture: Architecture, lines: list[str], path: Path, note: str) -> str:
    shape = architecture.input_shape
    inputs = (shape[2], *shape[:2]) if len(shape) == 3 else shape
    layers = "\n".join(f"        {line}," for line in lines)
    return f'''"""{architecture}: plain PyTorch, as exported by nnbench.

{note}
Inputs `(batch, {", ".join(map(str, inputs))})`, outputs logits; apply {architecture.output_activation} for probabilities or values.
"""

from pathlib import Path

import torch
from torch import nn


def build() -> nn.Sequential:
    """Return the model with its trained weights, in evaluation mode."""
    model = nn.Sequential(
{layers}
    )
    path = Path(__file__).with_name("{path.name}")
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()
'''  # noqa: E501 - text
