"""torch's functions and methods of tensors in nnbench's words; one table entry each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from nnbench.backends.torch.reading import operations as op
from nnbench.backends.torch.reading.chain import Chain
from nnbench.backends.torch.reading.dropping import IN_EVALUATION
from nnbench.backends.torch.reading.operations import Call

VIEWS = (
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "swapaxes", "swapdims", "movedim", "moveaxis", "contiguous", "clone", "view_as",
)  # fmt: skip
SAME = ("float", "long", "to", "type", "double", "int", "requires_grad_", "cpu", "detach")


class Given:
    """The arguments of a node by position or name, the activations left out."""

    def __init__(self, node: fx.Node, values: dict[fx.Node, Any]) -> None:
        self.node = node
        plain = fx.map_arg((node.args, node.kwargs), lambda n: _Constant(n, values[n]))
        self.positional, self.named = plain[0][1:], plain[1]

    def __call__(self, position: int, name: str, default: Any = None) -> Any:
        """Return argument `name`, or the one at `position` after the activations."""
        if name in self.named:
            return _value(self.named[name])
        found = self.positional[position] if position < len(self.positional) else default
        return _value(found)

    def parameter(self, position: int, name: str) -> tuple[str, bool] | None:
        """Return the name of a parameter and whether it is transposed; None for anything else."""
        given = self.named.get(name)
        if given is None and position < len(self.positional):
            given = self.positional[position]
        return _parameter(given.node) if isinstance(given, _Constant) else None


class _Constant:
    """What another node of the graph gave."""

    def __init__(self, node: fx.Node, value: Any) -> None:
        self.node, self.value = node, value


def _value(given: Any) -> Any:
    if isinstance(given, tuple | list):
        return type(given)(map(_value, given))
    return given.value if isinstance(given, _Constant) else given


def _parameter(node: fx.Node) -> tuple[str, bool] | None:
    if node.op == "get_attr":
        return str(node.target), False
    transposes = node.target in ("t", "transpose", torch.t, torch.transpose)
    is_t = node.target is getattr and node.args[1:] == ("T",)
    if (transposes or is_t) and isinstance(node.args[0], fx.Node):
        inner = _parameter(node.args[0])
        return (inner[0], not inner[1]) if inner else None
    return None


Read = Callable[[Chain, Given, Call], None]


def _linear(chain: Chain, given: Given, call: Call) -> None:
    weight, bias = given.parameter(0, "weight"), given.parameter(1, "bias")
    biased = given(1, "bias") is not None
    if weight is None or (biased and bias is None):
        op.unknown(chain, call, "weights that are no parameters")
        return
    axes = (0, 1) if weight[1] else (1, 0)
    units = given(0, "weight").shape[0]
    op.linear(chain, weight[0], axes, bias[0] if bias else None, units, call)


def _matmul(chain: Chain, given: Given, call: Call) -> None:
    weight = given.parameter(0, "other") or given.parameter(0, "mat2")
    if weight is None:
        op.unknown(chain, call, "a product with what is no parameter")
        return
    op.linear(chain, weight[0], (1, 0) if weight[1] else (0, 1), None, call.result.shape[1], call)


def _add(chain: Chain, given: Given, call: Call) -> None:
    bias = given.parameter(0, "other")
    if bias is None or not op.add_bias(chain, bias[0], given(0, "other").numel(), call):
        op.unknown(chain, call, "arithmetic is not a layer that nnbench has")


def _conv2d(chain: Chain, given: Given, call: Call) -> None:
    weight, bias = given.parameter(0, "weight"), given.parameter(1, "bias")
    if weight is None or (given(1, "bias") is not None and bias is None):
        op.unknown(chain, call, "weights that are no parameters")
        return
    found = op.Convolution(
        weight[0],
        bias[0] if bias else None,
        tuple(given(0, "weight").shape),
        given(2, "stride", 1),
        given(3, "padding", 0),
        given(4, "dilation", 1),
        given(5, "groups", 1),
    )
    op.conv2d(chain, found, call)


def _max_pool(chain: Chain, given: Given, call: Call) -> None:
    size, stride = given(0, "kernel_size"), given(1, "stride")
    padding, dilation = given(2, "padding", 0), given(3, "dilation", 1)
    op.pool(chain, "max", call, size, stride, padding, dilation)


def _avg_pool(chain: Chain, given: Given, call: Call) -> None:
    if given(5, "divisor_override"):
        op.unknown(chain, call, "divisor_override")
        return
    size, stride = given(0, "kernel_size"), given(1, "stride")
    op.pool(chain, "avg", call, size, stride, given(2, "padding", 0), 1)


def _dropout(chain: Chain, given: Given, call: Call) -> None:
    if given(1, "training", given(1, "train", True)):
        too = given.node.meta.get(IN_EVALUATION, False)
        op.dropout(chain, given(0, "p", 0.5), call, too)


def _mean(chain: Chain, given: Given, call: Call) -> None:
    axes = given(0, "dim")
    axes = {a % 4 for a in axes} if isinstance(axes, tuple | list) and len(axes) else set()
    if axes == {2, 3} and chain.order.ndim == 3:
        op.global_average(chain, call)
    else:
        op.unknown(chain, call, "a mean that nnbench has not")


def _activation(name: Any) -> Read:
    return lambda chain, given, call: op.activation(chain, name, call)


def _softmax(chain: Chain, given: Given, call: Call) -> None:
    op.softmax(chain, given(0, "dim"), call)


def _log_softmax(chain: Chain, given: Given, call: Call) -> None:
    op.log_softmax(chain, given(0, "dim"), call)


def _pad(chain: Chain, given: Given, call: Call) -> None:
    mode, value = given(1, "mode", "constant"), given(2, "value", 0)
    op.zero_pad(chain, given(0, "pad"), call, mode, value)


_RELU, _SIGMOID, _TANH = map(_activation, ("relu", "sigmoid", "tanh"))
_MATMULS = (operator.matmul, torch.matmul, torch.mm, "matmul", "mm")
FUNCTIONS: dict[Any, Read] = {
    functional.linear: _linear,
    functional.conv2d: _conv2d,
    torch.conv2d: _conv2d,
    functional.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    functional.avg_pool2d: _avg_pool,
    functional.adaptive_avg_pool2d: lambda c, g, call: op.adaptive_pool(
        c, g(0, "output_size"), call
    ),
    functional.dropout: _dropout,
    torch.dropout: _dropout,
    functional.pad: _pad,
    functional.leaky_relu: lambda c, g, call: op.leaky_relu(c, g(0, "negative_slope", 0.01), call),
    functional.gelu: lambda c, g, call: op.gelu(c, g(0, "approximate", "none"), call),
    functional.silu: _activation("silu"),
    torch.mean: _mean,
    "mean": _mean,
    torch.log: lambda c, g, call: op.log(c, call),
    "log": lambda c, g, call: op.log(c, call),
    **dict.fromkeys((functional.relu, torch.relu, "relu", "relu_", functional.relu_), _RELU),
    **dict.fromkeys((functional.sigmoid, torch.sigmoid, "sigmoid", "sigmoid_"), _SIGMOID),
    **dict.fromkeys((functional.tanh, torch.tanh, "tanh", "tanh_"), _TANH),
    **dict.fromkeys((functional.softmax, torch.softmax, "softmax"), _softmax),
    **dict.fromkeys((functional.log_softmax, torch.log_softmax, "log_softmax"), _log_softmax),
    **dict.fromkeys(_MATMULS, _matmul),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
}


def read_function(
    chain: Chain, node: fx.Node, values: dict[fx.Node, Any], active: fx.Node, call: Call
) -> None:
    """Append what a function or a method of a tensor does to the activations, node `active`."""
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    first = node.args[0] if node.args else node.kwargs.get("input")
    if (isinstance(target, str) and target in (*VIEWS, *SAME)) or _is_view(target):
        op.view(chain, call, _rerun(node, values, active))
    elif target not in FUNCTIONS or first is not active:
        op.unknown(chain, call, f"{name} is not a layer that nnbench has")
    else:
        FUNCTIONS[target](chain, Given(node, values), call)


def _is_view(target: Any) -> bool:
    known = {getattr(torch, name, None) for name in VIEWS}
    return not isinstance(target, str) and target in known


def _rerun(
    node: fx.Node, values: dict[fx.Node, Any], active: fx.Node
) -> Callable[[torch.Tensor], Any]:
    """Return the node's view as a function of another tensor in the place of the activations."""

    def change(tensor: torch.Tensor) -> Any:
        if node.target in SAME:
            return tensor
        args, kwargs = fx.map_arg(
            (node.args, node.kwargs), lambda n: tensor if n is active else values[n]
        )
        if isinstance(node.target, str):
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)

    return change
