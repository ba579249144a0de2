"""From the spec to torch modules and back: layers, losses, layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnbench import spec
from nnbench.errors import UnsupportedSpec
from nnbench.spec import ParamKey

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "softmax": lambda z: functional.softmax(z, dim=-1),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softmax": lambda: nn.Softmax(dim=-1),
}
ROLES = {"kernel": "weight", "bias": "bias"}  # our names and torch's


def build(architecture: spec.Architecture, dtype: torch.dtype) -> nn.Sequential:
    """Return the net that yields logits, with torch's own initial weights."""
    modules: list[nn.Module] = []
    for _, layer, before, _ in architecture.shapes():
        if isinstance(layer, spec.Dense):
            modules.append(nn.Linear(before[0], layer.units, bias=layer.bias, dtype=dtype))
        elif isinstance(layer, spec.Activation) and layer.function in MODULES:
            modules.append(MODULES[layer.function]())
        else:
            raise UnsupportedSpec(f"backend=torch has no layer {layer}.")
    return nn.Sequential(*modules)


def parameters(model: nn.Sequential, architecture: spec.Architecture) -> dict[ParamKey, Tensor]:
    """Return the model's own parameters by key, in torch's layout."""
    return {
        key: getattr(model[key.layer], ROLES[key.role]) for key in architecture.parameter_shapes()
    }


def canonical(key: ParamKey, value: Any) -> Any:
    """Swap between canonical (fan_in, fan_out) and torch's (fan_out, fan_in)."""
    return value.T if key.role == "kernel" else value


def loss_function(
    loss: spec.Loss, activation: spec.ActivationName, outputs: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function (logits, targets) -> scalar, reduced as `loss` says.

    torch's own mean is taken where it is the same reduction, else its sum times a constant.
    """
    functions: dict[str, Callable[..., Tensor]] = {
        "bce": functional.binary_cross_entropy_with_logits,
        "cross_entropy": functional.cross_entropy,
        "mse": lambda z, t, reduction: functional.mse_loss(
            ACTIVATIONS[activation](z), t, reduction=reduction
        ),
    }
    if loss.name not in functions:
        raise UnsupportedSpec(f"backend=torch has no loss {loss.name}.")
    function = functions[loss.name]
    over_outputs = loss.output_scale(outputs)
    one_term = loss.name == "cross_entropy" or loss.over_outputs == "mean"
    if one_term and loss.over_batch == "mean":
        return lambda z, t: function(z, t, reduction="mean")

    def reduced(z: Tensor, t: Tensor) -> Tensor:
        total = function(z, t, reduction="sum")
        scale = over_outputs * loss.batch_scale(len(z))
        return total if scale == 1.0 else total * scale

    return reduced
