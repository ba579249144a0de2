"""What a program does to its activations, whether by a module or by a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from nnbench.backends.torch.reading.chain import Chain, Located
from nnbench.backends.torch.reading.tracing import counted
from nnbench.model import layers as spec
from nnbench.model.layers import ActivationName
from nnbench.model.network import ParamKey
from nnbench.model.reading import Finding, Place


class Call(NamedTuple):
    """One operation of the program: where it stands, and what it gave for the sample."""

    place: Place | None
    result: Any


def unknown(chain: Chain, call: Call, reason: str) -> None:
    """Name an operation that is not understood, and why."""
    text = call.place.text if call.place else ""
    chain.name_unknown(f"{text}: {reason}" if text else reason, call.place, call.result)


def view(chain: Chain, call: Call, change: Callable[[torch.Tensor], Any]) -> None:
    """Carry out on the order of axes what the program does to its values."""
    order = chain.order
    batch = len(call.result) if call.result.dim() else 0
    if chain.pads:
        unknown(chain, call, "padding is followed by a view")
        return
    try:
        found = change(counted(batch, order.shape, order))
    except (RuntimeError, TypeError, IndexError, ValueError):
        unknown(chain, call, "the order of axes cannot be followed")
        return
    own = tuple(found.shape[1:])
    fits = len(found) == batch and batch > 0 and found[0].numel() == order.size
    if not fits or not torch.equal(found, counted(batch, own, found[0])):
        unknown(chain, call, "samples or values are mixed, left out or repeated")
        return
    chain.view(found[0].numpy(), call.place)


def linear(
    chain: Chain, weight: str, axes: tuple[int, int], bias: str | None, units: int, call: Call
) -> None:
    """Append a dense layer; `axes` lead from the program's weight to `(fan_in, fan_out)`."""
    if chain.order.ndim != 1:
        unknown(chain, call, f"a dense layer over the last axis of {chain.order.shape}")
        return
    if len(chain.shape) > 1:  # flat by the program's own doing
        chain.view(chain.order, call.place)
    located = {"kernel": Located(weight, axes, chain.order)}
    located |= {"bias": Located(bias, (0,))} if bias else {}
    chain.add(spec.Dense(units, bias is not None), call.place, call.result, located)


def add_bias(chain: Chain, bias: str, size: int, call: Call) -> bool:
    """Give the dense layer just read its bias; return whether there is one that takes it."""
    last = chain.layers[-1] if chain.layers else None
    if not isinstance(last, spec.Dense) or last.bias or last.units != size:
        return False
    chain.layers[-1] = spec.Dense(last.units)
    chain.located[ParamKey(len(chain.layers) - 1, "bias")] = Located(bias, (0,))
    chain.used.add(bias)
    return True


class Convolution(NamedTuple):
    """What a convolution is given; `shape` of its weight is (c_out, c_in, rows, columns)."""

    weight: str
    bias: str | None
    shape: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1


def conv2d(chain: Chain, given: Convolution, call: Call) -> None:
    """Append a convolution."""
    kernel, step = _one(given.shape[2:]), _one(given.stride)
    odd = {
        "kernel_size": given.shape[2:] if kernel is None else None,
        "stride": given.stride if step is None else None,
        "dilation": given.dilation if _one(given.dilation) != 1 else None,
        "groups": given.groups if given.groups != 1 else None,
    }
    said = [f"{name}={value}" for name, value in odd.items() if value is not None]
    if said or kernel is None or step is None:
        unknown(chain, call, ", ".join(said))
        return
    if not chain.is_image():
        unknown(chain, call, f"a convolution of {chain.order.shape} in an order of axes of its own")
        return
    found = _padding(chain, kernel, step, given.padding)
    if found is None:
        before = f" after {chain.pads}" if chain.pads else ""
        unknown(chain, call, f"padding={given.padding}{before}")
        return
    located = {"kernel": Located(given.weight, (2, 3, 1, 0))}
    located |= {"bias": Located(given.bias, (0,))} if given.bias else {}
    layer = spec.Conv2d(given.shape[0], kernel, step, found, given.bias is not None)
    chain.add(layer, call.place, call.result, located)


def _padding(chain: Chain, kernel: int, stride: int, padding: Any) -> Any:
    """Return nnbench's word for the zeros around an image; None where it has none."""
    if chain.pads:
        left, right, top, bottom = chain.pads
        same = spec.Conv2d(1, kernel, stride, "same").pads(chain.shape)
        if padding not in (0, (0, 0), "valid"):
            return None
        if left == right == top == bottom:
            return left
        return "same" if ((top, bottom), (left, right)) == same else None
    if padding == "same":
        return "same"
    number = 0 if padding == "valid" else _one(padding)
    return "valid" if number == 0 else number


def zero_pad(chain: Chain, pads: Any, call: Call, mode: str = "constant", value: Any = 0) -> None:
    """Keep zeros around images for the convolution that follows."""
    pads = (pads,) * 4 if isinstance(pads, int) else tuple(pads)
    plain = mode == "constant" and not value and len(pads) == 4 and min(pads) >= 0
    if not plain or chain.pads or not chain.is_image():
        unknown(chain, call, "padding that nnbench has not")
        return
    chain.pads = pads


def pool(
    chain: Chain, kind: str, call: Call, size: Any, stride: Any, padding: Any, dilation: Any
) -> None:
    """Append a pooling layer."""
    window, step = _one(size), _one(size if stride in (None, []) else stride)
    plain = _one(padding) == 0 and _one(dilation) == 1
    if window is None or step is None or not plain or not chain.is_image():
        unknown(chain, call, "pooling with padding, dilation, or windows that are not square")
        return
    layer = (spec.MaxPool2d if kind == "max" else spec.AvgPool2d)(window, step)
    chain.add(layer, call.place, call.result)


def adaptive_pool(chain: Chain, size: Any, call: Call) -> None:
    """Append what an adaptive average comes to for images of this size."""
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    if not chain.is_image():
        unknown(chain, call, "pooling of what is no image")
        return
    rows, columns, _ = chain.shape
    if sizes == (1, 1):
        chain.add(spec.GlobalAvgPool2d(), call.place, call.result)
    elif rows == columns and sizes[0] == sizes[1] and sizes[0] and rows % sizes[0] == 0:
        window = rows // sizes[0]
        chain.add(spec.AvgPool2d(window, window), call.place, call.result)
    else:
        unknown(chain, call, f"windows of several sizes for {chain.shape}")


def global_average(chain: Chain, call: Call) -> None:
    """Append the mean over rows and columns."""
    if chain.is_image():
        chain.add(spec.GlobalAvgPool2d(), call.place, call.result)
    else:
        unknown(chain, call, "a mean of what is no image")


def batch_norm(chain: Chain, name: str, momentum: float, epsilon: float, call: Call) -> None:
    """Append batch norm with the parameters and statistics of module `name`."""
    order = chain.channel_order()
    if order is None:
        unknown(chain, call, f"batch norm of {chain.order.shape}")
        return
    names = {"scale": "weight", "offset": "bias", "mean": "running_mean", "variance": "running_var"}
    located = {role: Located(f"{name}.{own}", (0,), order) for role, own in names.items()}
    layer = spec.BatchNorm(momentum, epsilon, "unbiased")
    chain.add(layer, call.place, call.result, located)


def layer_norm(chain: Chain, name: str, shape: tuple[int, ...], epsilon: float, call: Call) -> None:
    """Append layer norm over the last axis."""
    order = chain.last_order()
    if order is None or len(shape) != 1:
        unknown(chain, call, f"layer norm over {list(shape)} of {chain.order.shape}")
        return
    names = {"scale": "weight", "offset": "bias"}
    located = {role: Located(f"{name}.{own}", (0,), order) for role, own in names.items()}
    chain.add(spec.LayerNorm(epsilon), call.place, call.result, located)


def embedding(chain: Chain, weight: str, vocabulary: int, units: int, call: Call) -> None:
    """Append an embedding, which nnbench has as a first layer."""
    if not chain.at_input or not np.array_equal(chain.order, np.arange(chain.order.size)):
        unknown(chain, call, "an embedding that is not the first layer")
        return
    located = {"kernel": Located(weight, (0, 1))}
    chain.add(spec.Embedding(vocabulary, units), call.place, call.result, located)


def dropout(chain: Chain, rate: float, call: Call, in_evaluation: bool = False) -> None:
    """Append dropout; `in_evaluation` tells whether evaluation drops, too."""
    if not 0.0 <= rate < 1.0:
        unknown(chain, call, f"a rate of {rate:g}")
        return
    position = len(chain.layers)
    chain.add(spec.Dropout(float(rate), in_evaluation), call.place, call.result)
    if len(chain.layers) == position:
        return
    chain.masks[position] = chain.order
    if in_evaluation and rate:
        text = "dropout that evaluation does not stop (training is not self.training)"
        finding = Finding("dropout_ignores_evaluation", text, call.place, position)
        chain.findings.append(finding)


def activation(chain: Chain, name: ActivationName, call: Call) -> None:
    """Append an activation, value by value."""
    chain.add(spec.Activation(name), call.place, call.result)


def leaky_relu(chain: Chain, slope: float, call: Call) -> None:
    """Append a leaky ReLU."""
    if not 0.0 <= slope <= 1.0:
        unknown(chain, call, f"a slope of {slope:g}")
        return
    chain.add(spec.LeakyReLU(float(slope)), call.place, call.result)


def gelu(chain: Chain, approximate: str, call: Call) -> None:
    """Append GELU in its exact form or by tanh."""
    activation(chain, "gelu_tanh" if approximate == "tanh" else "gelu", call)


def softmax(chain: Chain, dim: int | None, call: Call) -> None:
    """Append a softmax over nnbench's last axis."""
    if _over_channels(chain, dim):
        activation(chain, "softmax", call)
    else:
        unknown(chain, call, f"softmax over axis {dim} of {chain.order.shape}")


def log_softmax(chain: Chain, dim: int | None, call: Call) -> None:
    """Keep a log-softmax for the loss that must follow."""
    if chain.tail or not _over_channels(chain, dim) or chain.order.ndim != 1:
        unknown(chain, call, f"log_softmax over axis {dim} of {chain.order.shape}")
    else:
        chain.tail = "log_softmax"


def log(chain: Chain, call: Call) -> None:
    """Make one with a softmax before it a log-softmax."""
    last = chain.layers[-1] if chain.layers else None
    if last == spec.Activation("softmax") and chain.order.ndim == 1 and not chain.tail:
        chain.layers.pop()
        chain.places.pop()
        chain.tail = "log_softmax"
    else:
        unknown(chain, call, "a logarithm is not a layer that nnbench has")


def _over_channels(chain: Chain, dim: int | None) -> bool:
    """Tell whether axis `dim` of the program, the batch counted, is nnbench's last one."""
    axes = chain.order.ndim + 1
    dim = 1 if dim is None else dim % axes
    if axes == 2:
        return dim == 1 and len(chain.shape) == 1
    if dim == 1 and axes == 4:
        return chain.is_image()
    return dim == axes - 1 and chain.last_order() is not None


def _one(value: Any) -> int | None:
    """Return the number that a size is, of rows as of columns; None where they differ."""
    values = set(value) if isinstance(value, tuple | list | torch.Size) else {value}
    only = values.pop()
    return only if isinstance(only, int) and not values else None
